"""`slipway promote`: what it refuses, what it hands to the engine, and that nothing of it stays behind.

Both environments are given here; Git and Compose are real. That the engine deploys what it is handed is what
tests/engine/test_stack_promotion.py shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samples import DIGEST, settings

from slipway.cli.main import main
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases import promotion
from slipway.releases.engine import Engine, Stack
from slipway.releases.history.entries import HistoryEntry
from slipway.releases.history.stack_history import StackHistory
from slipway.releases.past_releases import PastRelease
from slipway.releases.rollback import IMAGES_LEFT_ALONE
from slipway.releases.status import status_document

LIVE, BEFORE = "r-0123456789ab", "r-00000000000d"
IMAGES = {name: f"ghcr.io/acme/shop-{name}:staging@{DIGEST}" for name in ("web", "side")}
COMPOSE = "services:\n  web: {build: ., environment: {COLOUR: green}}\n  side: {build: .}\n"
AWAY = SlipwayError(Problem("host web-1: it cannot be reached", "its state is unknown", "ssh web-1 true"))
GONE = Problem("the image of web is gone from its registry", "hosts could not pull it", "slipway history")


class World:
    """What a promotion meets, and what it did; a test changes it before."""

    def __init__(self, folder: Path, staging: Stack, probe: dict[str, Any]) -> None:
        self.folder, self._staging, self.probe = folder, staging, probe
        self.seen: dict[str, Any] = {"web-1": probe}
        self.validated: str | None = LIVE
        self.gone: list[Problem] = []
        self.source: dict[str, Any] = {"id": LIVE, "branch": "main", "commit": "", "images": IMAGES}
        self.target: dict[str, Any] | None = {**self.source, "id": BEFORE, "commit": "f" * 40}
        self.target_settings: dict[str, Any] = {}
        self.target_hosts: dict[str, Any] = {}
        self.live_now: str | None = BEFORE
        self.done: list[Any] = []
        self.engines: dict[str, Any] = {}
        """Stack → how its engine was asked for."""
        self._git("init", "-q", "-b", "main")
        (folder / "Dockerfile").write_text("FROM scratch\n")
        self.commit(COMPOSE)

    def commit(self, compose: str) -> None:
        """What runs on staging is of this commit; the work tree has gone on since."""
        for text in (compose, "services:\n  later: {build: .}\n"):
            (self.folder / "compose.yaml").write_text(text)
            self._git("add", "--all")
            self._git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "Next")
        self.source["commit"] = self._git("rev-parse", "HEAD~1")

    def work_trees(self) -> int:
        return len(self._git("worktree", "list").splitlines())

    def environment(self, engine: Engine) -> promotion.Environment:
        here = engine.stack == "staging"
        document = self.source if here else self.target
        made = {"number": 1, "kind": "deploy", "result": "succeeded", "at": datetime(2026, 11, 20, tzinfo=UTC)}
        entries = [HistoryEntry(**made, release=str(document["id"]))] if document else []
        history = StackHistory(
            stack=engine.stack, project=f"shop-{engine.stack}", entries=entries, checkpoints=None,  # type: ignore[arg-type]  # no state is read
            hosts={} if here else self.target_hosts, tagged=self.validated if here else None,
            known_settings=settings(self.folder, stack=engine.stack, **({} if here else self.target_settings)),
        )  # fmt: skip
        status = status_document(self._staging, self.seen)
        return promotion.Environment(
            history=history, status=status, live=PastRelease(document=document) if document else None
        )

    def deploy(self, engine: Engine, given: tuple[str, ...], **more: Any) -> int:
        assert (engine.stack, given) == ("production", IMAGES_LEFT_ALONE)
        folder = Path(more["settings"].pop("SLIPWAY_APPLICATION"))
        self.done.append(((folder / "compose.yaml").read_text(), more))
        return 0

    def _git(self, *argv: str) -> str:
        argv = ("git", "-C", str(self.folder), *argv)
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture
def world(tmp_path: Path, stack: Callable[..., Stack], probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> World:
    """Staging runs a validated release of a commit that is not checked out, production the one before."""
    (tmp_path / "shop").mkdir()
    made = World(tmp_path / "shop", stack("web-1"), probe)
    backup = made.done.append
    for name, stand_in in {
        "promotion._environment": made.environment,
        "promotion.missing_images": lambda *_: made.gone,
        "engine.engine_of": lambda name, **how: (
            made.engines.update({name: how}) or Engine(root=tmp_path, stack=name, environment={}, options=[])
        ),
        "history.stack_history.read_history": lambda _: SimpleNamespace(live=made.live_now),
        "locks.waiting.when_free": lambda _, deployment: deployment(""),
        "bundles.exporting.keep_backup": lambda engine: backup(f"backup of {engine.stack}"),
    }.items():
        monkeypatch.setattr(f"slipway.releases.{name}", stand_in)
    monkeypatch.setattr("slipway.cli.deploy.update.deploy", made.deploy)
    return made


Promote = Callable[..., tuple[int, str]]


@pytest.fixture
def promote(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Promote:
    """Runs the command with the word; its exit code and all that it said."""

    def run(*words: str, confirm: str = "DEPLOY") -> tuple[int, str]:
        confirmed = ("--confirm", confirm) if confirm else ()
        monkeypatch.setattr(
            sys, "argv", ["slipway", "promote", "--from=staging", "--to=production", *confirmed, *words]
        )
        with pytest.raises(SystemExit) as ended:
            main()
        assert world.work_trees() == 1, "the work tree of a while is gone"
        said = capsys.readouterr()
        return int(str(ended.value.code or 0)), said.out + said.err

    return run


def test_the_images_go_on_with_the_compose_file_of_their_commit(world: World, promote: Promote) -> None:
    assert promote("-m", "for the sale")[0] == 0
    backup, (compose, handed) = world.done
    assert (backup, compose) == ("backup of production", COMPOSE)
    assert json.loads(handed["settings"].pop("SLIPWAY_IMAGES")) == IMAGES
    assert world.engines == {"staging": {"own_key": True}, "production": {"deploys": True}}
    assert handed == {
        "message": f"promotion of {LIVE} from staging: for the sale",
        "settings": {"SLIPWAY_KIND": "promotion"},
        "command": "slipway promote --from staging --to production",
    }


def _unvalidated(world: World) -> None:
    world.validated = BEFORE


def _drifted(world: World) -> None:
    world.probe["drift"] = [{"service": "side", "what": "it is gone"}]


def _unreachable(world: World) -> None:
    world.seen["web-1"] = AWAY


def _uncommitted(world: World) -> None:
    world.source["commit"] += "-dirty"


def _gone(world: World) -> None:
    world.gone = [GONE]


def _target_unreachable(world: World) -> None:
    world.target_hosts = {"web-1": AWAY}


def _another_registry(world: World) -> None:
    world.target_settings = {"registry": "registry.example/team", "registryUsername": "ann"}


@pytest.mark.parametrize(
    ("how", "what", "fix"),
    [
        (_unvalidated, f"{LIVE} was not validated on staging", "slipway validate --stack staging"),
        (_drifted, "staging does not run as deployed (side: it is gone)", "slipway status --stack staging"),
        (_unreachable, "does not run as deployed (host web-1: it cannot be reached)", "slipway status"),
        (_uncommitted, f"{LIVE} was made from uncommitted changes", "commit, deploy to staging"),
        (_gone, GONE.what, GONE.fix),
        (_target_unreachable, "host web-1: it cannot be reached", "ssh web-1 true"),
        (_another_registry, "production has credentials for registry.example", "use one registry"),
    ],
)
def test_what_was_not_proven_is_refused_and_force_says_what_it_overrides(
    world: World, promote: Promote, how: Callable[[World], None], what: str, fix: str
) -> None:
    how(world)
    code, said = promote()
    assert (code, world.done) == (1, [])
    assert "slipway: error: " in said
    for words in (what, fix, "or --force"):
        assert words in said
    code, said = promote("--force")
    assert (code, len(world.done)) == (0, 2)
    assert what in said.partition("overridden: ")[2]


def test_the_release_of_another_commit_than_the_one_named_is_refused(world: World, promote: Promote) -> None:
    code, said = promote("--commit", "e" * 40, "--force")
    assert (code, world.done) == (1, [])
    assert f"not of {'e' * 12}" in said
    assert promote("--commit", world.source["commit"])[0] == 0


def test_another_release_than_the_one_named_is_refused(world: World, promote: Promote) -> None:
    code, said = promote("--release", BEFORE, "--commit", world.source["commit"], "--force")
    assert (code, world.done) == (1, [])
    assert f"{LIVE} runs on staging, no longer {BEFORE}" in said
    assert f"slipway rollback --to {BEFORE} --stack staging" in said
    assert promote("--release", LIVE)[0] == promote("--release", "")[0] == 0


def test_nothing_happens_until_somebody_says_the_word(world: World, promote: Promote) -> None:
    assert "nobody can confirm it here (no terminal)" in promote(confirm="")[1]
    code, said = promote(confirm="deploy")
    assert (code, world.done) == (2, [])
    assert "only DEPLOY confirms it" in said


def _needs_a_secret(world: World) -> None:
    world.commit(COMPOSE.replace("COLOUR: green", "NEW: '${NEW_TOKEN:?}'"))


def _builds_another(world: World) -> None:
    world.commit(f"{COMPOSE}  worker: {{build: .}}\n")


def _commit_of_elsewhere(world: World) -> None:
    world.source["commit"] = "e" * 40


def _changed_meanwhile(world: World) -> None:
    world.live_now = "r-22222222222f"


@pytest.mark.parametrize(
    ("how", "what", "fix"),
    [
        (_needs_a_secret, "NEW_TOKEN", "pulumi config set"),
        (_builds_another, "production builds worker, which staging did not run", "run it on staging too"),
        (_commit_of_elsewhere, "commit eeeeeeeeeeee is not in the repository", "fetch origin"),
        (_changed_meanwhile, "production changed since it was shown here", "slipway promote --from staging"),
    ],
)
def test_what_the_target_lacks_is_told_before_anything_changes_and_no_force_helps(
    world: World, promote: Promote, how: Callable[[World], None], what: str, fix: str
) -> None:
    how(world)
    for force in ((), ("--force",)):
        code, said = promote(*force)
        assert (code, world.done) == (1, [])
        assert what in said
        assert fix in said


def test_a_first_promotion_has_no_state_to_save(world: World, promote: Promote) -> None:
    world.target = world.live_now = None
    assert promote()[0] == 0
    assert [compose for compose, _ in world.done] == [COMPOSE]


def test_what_runs_there_already_is_nothing_to_do(world: World, promote: Promote) -> None:
    world.target = {**world.source, "id": BEFORE}
    code, said = promote()
    assert (code, world.done) == (0, [])
    assert "production runs these images of this commit already: nothing to do" in said


def test_nothing_live_is_nothing_to_promote(world: World, promote: Promote) -> None:
    world.source = {}
    assert "nothing is live on stack staging" in promote()[1]
