"""Promoting the release that runs in one environment to another, by digest.

The Compose file is that of the release's commit, read with the target's own domain, variables, secrets and replicas.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.compose.application import read_application
from slipway.compose.git import read_revision, repository_of, run_git
from slipway.contract.commands import of_stack
from slipway.contract.outcomes import PROMOTION
from slipway.contract.problems import Problem, SlipwayError, in_brief
from slipway.hosts.host_sessions import survey
from slipway.images.image_check import missing_images
from slipway.releases.engine import Stack
from slipway.releases.format import short
from slipway.releases.github_settings import github_repository, token_in
from slipway.releases.history.stack_history import StackHistory, read_history
from slipway.releases.past_releases import PastRelease, named_entry, past_release
from slipway.releases.rollback import IMAGES_LEFT_ALONE
from slipway.releases.status import status_document
from slipway.settings.registry_names import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.releases.engine import Engine
    from slipway.releases.rollback import Deploy
    from slipway.settings.model import Settings

__all__ = ["Environment", "Promotion", "carry_out", "planned", "source_at", "with_source"]

_COMMITS = 20  # shown


@dataclass(frozen=True, kw_only=True)
class Environment:
    """One of the two environments, as it is now."""

    history: StackHistory
    status: Mapping[str, Any] | None
    """slipway/cli/schemas/status.schema.json; None before its first deployment."""
    live: PastRelease | None

    @property
    def stack(self) -> str:
        """The stack's name."""
        return self.history.stack

    @property
    def since(self) -> str:
        """When its release became live on its first host, RFC 3339; empty when that is not known."""
        lives = [(host["probe"] or {}).get("live") for host in (self.status or {}).get("hosts", ())]
        return min((str(live["since"]) for live in lives if live), default="")

    @property
    def healthy(self) -> bool:
        """Whether every host runs what was deployed."""
        return bool(self.status and self.status["as_deployed"])


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """A promotion that was planned and not carried out yet."""

    source: Environment
    target: Environment
    release: PastRelease
    """What is promoted."""
    checks: str
    """What GitHub says of the commit's checks; empty when it was not asked."""
    commits: Sequence[str] | None
    """Between the two, newest first; None when git does not know."""
    configuration: Mapping[str, Sequence[str]]
    """Keys: `differ`, `only_source`, `only_target`."""
    obstacles: Sequence[Problem]
    """Why it should not be made; `--force` makes it all the same."""

    @property
    def settled(self) -> bool:
        """Whether the target runs the same images of the same commit already."""
        here, there = self.release.document, self.target.live.document if self.target.live else {}
        return all(there.get(key) == here[key] for key in ("commit", "images"))


def planned(source: Engine, target: Engine, *, repository: str = "", commit: str = "", release: str = "") -> Promotion:
    """Look at both environments, all at once; changes nothing.

    Raises `SlipwayError` for another release than that one, and one of another commit than that.
    """
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(_environment, source), pool.submit(_environment, target)
        here, there = first.result(), second.result()
    if here.live is None:
        raise SlipwayError(
            f"nothing is live on stack {here.stack}", "there is nothing to promote", "deploy a release there"
        )
    wanted, commit = commit, str(here.live.document["commit"])
    if not commit.startswith(wanted):
        raise SlipwayError(
            f"{here.live.id} on {here.stack} is of commit {short(commit) or 'none'}, not of {short(wanted)}",
            "what would go on is not what was asked for",
            f"deploy commit {short(wanted)} to {here.stack} and validate it, then promote",
        )
    if release and here.live.id != release:
        raise SlipwayError(
            f"{here.live.id} runs on {here.stack}, no longer {release}",
            "what would go on is not what was asked for",
            f"{of_stack(f'slipway rollback --to {shlex.quote(release)}', here.stack)}, then promote",
        )
    before = str(there.live.document["commit"]) if there.live else ""
    state, found = _checks(commit, repository, here.history.settings, source)
    obstacles = [
        *_unproven(here, here.live),
        *found,
        *(problem for error in there.history.errors for problem in error.problems),
        *missing_images(here.live.document["images"], there.history.settings),
        *_other_registry(here.live, there.history.settings),
    ]
    return Promotion(
        source=here,
        target=there,
        release=here.live,
        checks=state,
        commits=_commits_between(here.history.settings.application, before, commit),
        configuration=_compared(here.history.settings, there.history.settings),
        obstacles=obstacles,
    )


@contextlib.contextmanager
def source_at(folder: Path, commit: str) -> Iterator[Path]:
    """The application's folder as it was at `commit`: `folder` itself where it is that, else a temporary work tree.

    Without a commit (the release was made outside of git) it is `folder` as it is.
    """
    if not commit or read_revision(folder).commit == commit:
        yield folder
        return
    top = repository_of(folder)
    if top is None or run_git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
        raise SlipwayError(
            f"commit {short(commit)} is not in the repository of {folder}",
            "the Compose file that belongs to the release is not known here; a checkout of that commit has it",
            f"git -C {shlex.quote(str(folder))} fetch origin",
        )
    with tempfile.TemporaryDirectory(prefix="slipway-") as temporary:
        tree = Path(temporary) / "source"
        added = run_git(top, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        if added.returncode != 0:
            said = in_brief(added.stderr)
            raise SlipwayError(
                f"git cannot check out commit {short(commit)} ({said})",
                "the Compose file that belongs to the release cannot be read",
                f"git -C {shlex.quote(str(top))} checkout {short(commit)}",
            )
        try:
            yield tree / folder.resolve().relative_to(top.resolve())
        finally:
            run_git(top, "worktree", "remove", "--force", str(tree))


def with_source(promotion: Promotion, folder: Path) -> dict[str, str]:
    """The images by the target's services, whose Compose file is read in `folder`."""
    settings = promotion.target.history.settings.model_copy(update={"application": folder})
    application = read_application(settings)
    images = promotion.release.document["images"]
    services = [*application.builds, *application.images]
    missing = [name for name in application.builds if name not in images]
    if missing:
        raise SlipwayError(
            f"{promotion.target.stack} builds {', '.join(missing)}, which {promotion.source.stack} did not run",
            "its image was proven nowhere, and a promotion never builds",
            f"run it on {promotion.source.stack} too (the setting profiles, x-slipway.hosts), validate, then promote",
        )
    return {name: images[name] for name in services if name in images}


def carry_out(
    target: Engine, folder: Path, images: Mapping[str, str], *, deploy: Deploy, message: str, again: str
) -> int:
    """Deploy `images` (see `with_source`) with the application in `folder`; the engine's exit code.

    `message` is for the history, `again` the command to run again after a fix.
    """
    settings = {
        "SLIPWAY_IMAGES": json.dumps(images),
        "SLIPWAY_KIND": PROMOTION,
        "SLIPWAY_APPLICATION": str(folder.resolve()),
    }
    return deploy(target, IMAGES_LEFT_ALONE, message=message, settings=settings, command=again)


def _environment(engine: Engine) -> Environment:
    history = read_history(engine)
    if history.project is None:
        return Environment(history=history, status=None, live=None)
    stack = Stack(
        settings=history.settings, application=history.project.removesuffix(f"-{engine.short}"), project=history.project
    )
    status = status_document(stack, survey(history.settings, history.project))
    live = past_release(history, named_entry(history, "live")) if history.live else None
    return Environment(history=history, status=status, live=live)


def _unproven(here: Environment, live: PastRelease) -> Iterator[Problem]:
    """Why the source's release is not fit to go on."""
    if live.id not in here.history.validated:
        yield Problem(
            f"{live.id} was not validated on {here.stack}",
            "nobody said that its tests passed",
            of_stack("slipway validate", here.stack),
        )
    if not here.healthy:
        hosts = (here.status or {}).get("hosts", ())
        found = [text for host in hosts for text in host["findings"]]
        found += [each["what"] for host in hosts for each in host["errors"]]
        yield Problem(
            f"{here.stack} does not run as deployed ({'; '.join(found[:3]) or 'nothing is known of it'})",
            "what would go on is not what was proven",
            of_stack("slipway status", here.stack),
        )
    if str(live.document["commit"]).endswith("-dirty"):
        yield Problem(
            f"{live.id} was made from uncommitted changes",
            "its Compose file is in no commit, so the current one would be used",
            f"commit, deploy to {here.stack}, validate, then promote",
        )


def _other_registry(release: PastRelease, settings: Settings) -> Iterator[Problem]:
    """Images of the source's own registry, which the target's credentials are not for."""
    homes = {address_of(image) for image in release.document["images"].values() if "/" in image}
    if settings.registry and settings.registry_username and address_of(settings.registry) not in homes:
        yield Problem(
            f"the release's images are in {', '.join(sorted(homes))}, and {settings.stack} has credentials for "
            f"{address_of(settings.registry)}",
            "its hosts may not be let in",
            "use one registry for both environments (a promotion never copies or builds)",
        )


def _commits_between(folder: Path, before: str, after: str) -> list[str] | None:
    """Commits in `after` that are not in `before`, newest first; None when git does not know them."""
    if not before or not after or "-dirty" in before:
        return None
    done = run_git(folder, "log", "--oneline", f"--max-count={_COMMITS + 1}", f"{before}..{after}")
    return done.stdout.splitlines() if done.returncode == 0 else None


def _checks(commit: str, repository: str, settings: Settings, engine: Engine) -> tuple[str, list[Problem]]:
    """What GitHub says of the commit, in a word, and what that means; nothing where it cannot be asked."""
    environment, folder = engine.environment, settings.application
    if not commit or commit.endswith("-dirty") or not token_in(environment):
        return "", []
    name = github_repository(repository, folder, environment)
    if not name:
        return "", []
    from slipway.releases.github import Repository  # noqa: PLC0415  # 0.4 s, and not always needed

    found = Repository(name, environment).checks(commit, own_run=environment.get("GITHUB_RUN_ID", ""))
    if not found.checks:
        return "none", []
    bad = [check.name for check in found.checks if check.state != "success"]
    problem = Problem(
        f"checks of commit {short(commit)} have not passed: {', '.join(bad[:5])}",
        "its tests failed, or have not ended",
        of_stack(f"slipway await-checks --sha {commit}", engine.stack),
    )
    return found.state, [] if found.state == "success" else [problem]


def _compared(source: Settings, target: Settings) -> dict[str, list[str]]:
    """Keys of configuration that are not the same, without values: some are secret."""
    old, new = _flat(source), _flat(target)
    return {
        "differ": sorted(key for key in old.keys() & new.keys() if old[key] != new[key]),
        "only_source": sorted(old.keys() - new.keys()),
        "only_target": sorted(new.keys() - old.keys()),
    }


def _flat(settings: Settings) -> dict[str, object]:
    """Setting → value, variables and secrets one by one; without what no environment shares by its nature."""
    own = {"stack", "variables", "secrets", "images", "release", "kind", "pin", "application"}
    flat: dict[str, object] = {
        key: value for key, value in settings.model_dump(by_alias=True, exclude_unset=True).items() if key not in own
    }
    flat |= {f"variables.{name}": value for name, value in settings.variables.items()}
    # Two secrets of one name should differ; that they do is no news.
    return flat | {f"secrets.{name}": None for name in settings.secrets}
