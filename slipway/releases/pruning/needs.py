"""The images that the stacks of a project need: to run, for their next update, and for every way back.

The images that a stack's state has count, and the releases that its history or one of its hosts can go back to. A stack
of which that cannot be known is an error: nothing may be deleted then.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from slipway.compose.git import tag_of
from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.bundles.state import exported_state, resources_of
from slipway.releases.engine import engine_of, listed_stacks, settings_of
from slipway.releases.history.ledgers import HostLedger, read_ledgers, read_release
from slipway.releases.history.stack_history import read_history
from slipway.releases.locks.engine_locks import stack_locks
from slipway.settings.dotenv_file import read_dotenv
from slipway.settings.registry_names import without_tag
from slipway.settings.setting_files import (
    config_set,
    project_default,
    read_stack_file,
    stack_file,
    stack_files_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.releases.engine import Engine
    from slipway.releases.history.stack_history import StackHistory
    from slipway.settings.model import Settings

__all__ = ["Needs", "StackNeeds", "read_needs", "unchanged"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_BUILT = "docker-build:index:Image"
_NAMING = (  # what the next update, or a rollback, takes images from
    _BUILT, "slipway:images:RegistryImages", "slipway:release:ReleaseRecord", "slipway:deployment:ComposeDeployment",
)  # fmt: skip
_AT_ONCE = 4  # processes of the engine
_SO = "so nothing was deleted"
_NO_MORE = "so nothing more is deleted"
_REGISTRY = "SLIPWAY_REGISTRY"


@dataclass(frozen=True, kw_only=True)
class StackNeeds:
    """What one stack needs of its registry."""

    stack: str
    settings: Settings
    digests: frozenset[str]
    named: Mapping[str, frozenset[str]]
    """Repository → every digest that the history names, needed or not."""
    repositories: frozenset[str]
    """Where the stack's builds are pushed."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What all of them need."""

    stacks: tuple[StackNeeds, ...]
    updates: Mapping[str, str]
    """Stack → when it was updated last, as the engine lists it."""

    @property
    def digests(self) -> frozenset[str]:
        """The images by digest."""
        return frozenset[str]().union(*(each.digests for each in self.stacks))

    @property
    def tags(self) -> frozenset[str]:
        """The tags by which builds are pushed, of each stack one."""
        return frozenset(tag_of(each.stack) for each in self.stacks)

    @property
    def repositories(self) -> dict[str, Settings]:
        """Repository → settings with a login for it."""
        return {name: each.settings for each in self.stacks for name in sorted(each.repositories)}

    def named(self, repository: str) -> frozenset[str]:
        """Every digest there that a history names."""
        return frozenset[str]().union(*(each.named.get(repository, ()) for each in self.stacks))


def read_needs(engine: Engine, keep: int) -> Needs:
    """What the project's stacks need, with the last `keep` releases of each that ran well, or `retention` if more.

    Raises `SlipwayError` when any of them cannot be read, is being updated, or has its state elsewhere.
    """
    listed = listed_stacks(engine)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda name: _tried(engine, name, listed[name], keep), sorted(listed)))
    if problems := [problem for each in found if isinstance(each, SlipwayError) for problem in each.problems]:
        raise SlipwayError(problems)
    needs = Needs(stacks=tuple(each for each in found if isinstance(each, StackNeeds)), updates=_updates(listed))
    if problems := list(_elsewhere(engine, needs, listed)):
        raise SlipwayError(problems)
    return needs


def unchanged(engine: Engine, needs: Needs) -> None:
    """Raise `SlipwayError` when a stack is being updated, or was updated, made or removed since `needs` were read."""
    listed = listed_stacks(engine)
    if changed := sorted({name for name, _ in {*_updates(listed).items()} ^ {*needs.updates.items()}}):
        raise SlipwayError(
            f"{', '.join(changed)} changed meanwhile",
            f"what it needs now was not looked at, {_NO_MORE}",
            "slipway prune",
        )
    for name, entry in listed.items():
        _idle(engine_of(name), entry, _NO_MORE)


def _idle(stack: Engine, entry: Mapping[str, Any], so: str = _SO) -> None:
    locks = stack_locks(stack)
    if entry.get("updateInProgress") or (locks and locks.read()):
        what = f"an update of {stack.short} runs, or has left a lock"
        raise SlipwayError(what, so, of_stack("slipway lock", stack.stack))


def _updates(listed: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: str(each.get("lastUpdate") or "") for name, each in listed.items()}


def _tried(engine: Engine, name: str, entry: Mapping[str, Any], keep: int) -> StackNeeds | SlipwayError | None:
    try:
        return _of_stack(engine, name, entry, keep)
    except SlipwayError as error:
        return SlipwayError(
            [
                Problem(
                    f"what stack {name} needs is not known: {problem.what}",
                    f"one of its images could be among the old ones, {_SO}",
                    problem.of_stack(name).fix,
                )
                for problem in error.problems
            ]
        )


def _of_stack(engine: Engine, name: str, entry: Mapping[str, Any], keep: int) -> StackNeeds | None:
    """What it needs; None of one that is empty and has no settings here."""
    stack = engine_of(name, own_key=True)
    _idle(stack, entry)
    owner = _with_settings(engine, name)
    if owner is None:
        if not entry.get("lastUpdate"):
            return None
        meaning = f"{_SO}; {stack.stack_file.name} is with whoever deploys it, or nobody needs the stack"
        fix = f"pulumi destroy --remove --stack {name}"
        raise SlipwayError("it has no stack file here, which names its hosts", meaning, fix)
    if owner == name:
        history = read_history(stack)
    else:
        history = read_history(stack, hosts=False)
        settings = settings_of(engine_of(owner, own_key=True))
        hosts = read_ledgers(settings, history.project) if history.project else {}
        history = replace(history, known_settings=settings, hosts=hosts)
    if problems := [problem for error in history.errors for problem in error.problems]:
        raise SlipwayError(problems)
    state = exported_state(stack) or {"deployment": {}}
    named = [each.get("outputs") for each in resources_of(state) if each.get("type") in _NAMING]
    images = [image for release in _releases(history, keep) for image in _images(history, release)]
    everything = (*images, *(image for each in history.entries for image in each.images.values()))
    return StackNeeds(
        stack=name,
        settings=history.settings,
        digests=frozenset(_DIGEST.findall(f"{json.dumps(named)} {' '.join(images)}")),
        named=_by_repository(everything),
        repositories=frozenset(_built_in(state)),
    )


def _with_settings(engine: Engine, name: str) -> str | None:
    """The stack whose file has its settings: its own, or the one that a pull request's was made from."""
    template = re.fullmatch(r"(.+)-\d+", name)
    names = [name, *([template[1]] if template else [])]
    return next((each for each in names if stack_file(engine.root, each).is_file()), None)


def _releases(history: StackHistory, keep: int) -> Iterator[str]:
    """The live one, what any host keeps, and the last ones that the stack can go back to."""
    certain = {ledger.live for ledger in history.hosts.values() if isinstance(ledger, HostLedger)} | {history.live}
    certain |= {each for ledger in history.hosts.values() if isinstance(ledger, HostLedger) for each in ledger.warm}
    yield from filter(None, certain)
    proven = [str(entry.release) for entry in reversed(history.entries) if entry.proven]
    ways = [each for each in dict.fromkeys(proven) if history.way_back(each).kind != "no"]
    validated = [each for each in history.validated if each in ways][-1:]
    yield from {*ways[: max(keep, history.settings.retention)], *validated} - certain


def _images(history: StackHistory, release: str) -> list[str]:
    for entry in reversed(history.entries):
        if entry.release == release and entry.images:
            return list(entry.images.values())
    for host in history.hosts:
        if history.project and (document := read_release(history.settings, host, history.project, release)):
            return list(document["images"].values())
    raise SlipwayError(
        f"neither its state nor a host says which images {release} has", _SO, of_stack("slipway history", history.stack)
    )


def _by_repository(images: Iterable[str]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for image in images:
        repository, at, digest = without_tag(image).partition("@")
        if at:
            found.setdefault(repository, set()).add(digest)
    return {repository: frozenset(digests) for repository, digests in found.items()}


def _built_in(state: Mapping[str, Any]) -> Iterator[str]:
    for each in resources_of(state):
        if each.get("type") == _BUILT and (reference := (each.get("outputs") or {}).get("ref")):
            yield without_tag(str(reference)).partition("@")[0]


def _elsewhere(engine: Engine, needs: Needs, listed: Mapping[str, Any]) -> Iterator[Problem]:
    """Stacks whose file is here and whose state is not, that push to where something would be deleted."""
    everywhere = engine.environment.get(_REGISTRY)
    default = project_default(engine.root, engine.project, "registry")
    default = default or read_dotenv(engine.root / ".env").values.get(_REGISTRY)
    for file in sorted(stack_files_folder(engine.root).glob("Pulumi.*.yaml")):
        name = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        stated = read_stack_file(file, engine.project)
        places = [each for each in (everywhere, stated.entries.get("registry", default)) if each]
        shared = [each for each in places if _pushed_to(each, needs.repositories)]
        if name not in listed and (shared or stated.unreadable):
            registry = next((each for each in shared if isinstance(each, str)), "an unknown registry")
            yield Problem(
                f"stack {name} pushes to {registry}, and is not in this backend",
                f"its images there are not known, {_SO}",
                f"give it a registry of its own: {config_set(name, 'registry')}",
            )


def _pushed_to(registry: object, repositories: Iterable[str]) -> bool:
    """Whether any of the repositories is there; it may be if that cannot be read, as when it is encrypted."""
    return not isinstance(registry, str) or any(each.startswith(f"{registry}/") for each in repositories)
