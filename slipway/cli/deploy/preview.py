"""One `pulumi preview` of a stack, read as a document: what every host plans, and what else the engine would change."""

from __future__ import annotations

import json
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from slipway.cli.deploy.engine_run import engine_run
from slipway.cli.deploy.preview_view import rendered
from slipway.cli.deploy.up_events import Line, Story
from slipway.cli.deploy.up_view import in_words
from slipway.cli.deploy.update import engine_error
from slipway.cli.printing import print_out
from slipway.contract.commands import of_stack
from slipway.contract.plan import PLANS_VARIABLE
from slipway.contract.problems import SlipwayError
from slipway.hosts.hetzner.prices import COST
from slipway.releases.history.stack_history import read_history
from slipway.releases.past_releases import named_entry, past_release
from slipway.releases.rollback import Rollback, carry_out

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.releases.engine import Engine

__all__ = ["NothingLiveError", "live_previewed", "previewed", "show"]

_HOST = "slipway:host:Host"
_DEPLOYMENT = "slipway:deployment:"  # in the URN of what the hosts' plans say, and of what serves it
_REMOVAL = "-removal"  # ends the name of what takes a project off a host
_INNER = ("pulumi:", "slipway:")
_LINES = 40  # of what was said before a preview failed
_EVIDENCE = ("error", "evidence")


class NothingLiveError(SlipwayError):
    """There is no live release that a preview could be of."""


class _Resources:
    """What the engine would do to resources other than services and what groups them."""

    def __init__(self) -> None:
        self.changed: list[dict[str, str]] = []
        self.unlike = False
        self.hosts: list[str] = []
        self._gone: list[str] = []
        self._left: list[str] = []

    @property
    def removed(self) -> list[dict[str, str]]:
        """The projects that go from hosts which stay: what the application is called has changed."""
        found = []
        for name in self._gone:
            of = [host for host in (*self.hosts, *self._left) if name.endswith(f"-{host}{_REMOVAL}")]
            host = max(of, key=len, default="")  # the name of one may end as another's
            if host in self.hosts:
                found.append({"project": name.removesuffix(f"-{host}{_REMOVAL}"), "host": host})
        return found

    def report(self, event: Mapping[str, Any]) -> None:
        step = (event.get("resourcePreEvent") or {}).get("metadata")
        if step and step["type"] == _HOST and step["op"] != "delete":
            self.hosts.append(step["urn"].rpartition("::")[2])
        if step and step["type"] == _HOST and step["op"] == "delete":
            self._left.append(step["urn"].rpartition("::")[2])
        if not step or step["op"] in ("same", "read", "refresh"):
            return
        if step["op"] == "delete" and step["urn"].endswith(_REMOVAL):
            self._gone.append(step["urn"].rpartition("::")[2])
        self.unlike |= not step["type"].startswith("pulumi:")
        left = step["type"] == _HOST and step["op"] == "delete"  # with all that runs there
        if left or not (step["type"].startswith(_INNER) or _DEPLOYMENT in step["urn"]):
            name = step["urn"].rpartition("::")[2]
            self.changed.append({"type": step["type"], "name": name, "operation": step["op"]})


def show(
    engine: Engine,
    given: Sequence[str],
    *,
    message: str = "",  # noqa: ARG001  # a preview is in no history
    settings: Mapping[str, str],
    command: str,
) -> int:
    """Show what `deploy` (update.py) would do with the same arguments; 0, or 1 where a host's plan is not known."""
    found = previewed(engine, given, settings=settings, command=command)
    print_out(rendered(found))
    return 1 if found["unplanned"] else 0


def previewed(
    engine: Engine, given: Sequence[str] = (), *, settings: Mapping[str, str] | None = None, command: str = ""
) -> dict[str, Any]:
    """The preview of a stack (cli/schemas/preview.schema.json).

    `given` are further options of `pulumi preview`, `settings` variables of the environment that hold for it alone;
    `command` is what errors advise to run again, `slipway preview` if empty.

    Ends the command, after printing why, where it fails.
    """
    plain = ["--non-interactive", "--color", "never", "--cwd", str(engine.root)]
    story, resources, lines = Story(), _Resources(), list[Line]()

    def report(event: Mapping[str, Any]) -> None:
        resources.report(event)
        lines.extend(line._replace(seconds=None) for line in story.report(event, 0.0))

    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        environment = {**engine.environment, **(settings or {}), PLANS_VARIABLE: folder}
        with engine_run(["preview", *plain, *engine.options, *given], environment) as run:
            code = run.follow(report, lambda: None)
            if code:
                for line in _words(lines, story):
                    typer.echo(line, err=True)
                if unreported := story.unreported(run.output):
                    typer.echo(unreported, err=True)
                again = command or f"slipway preview --stack {engine.short}"
                for error in story.errors or [engine_error(run, story, code, again, engine, what="preview")]:
                    typer.echo(error, err=True)
                raise typer.Exit(1)
        plans = [json.loads(file.read_text()) for file in sorted(Path(folder).iterdir())]
    warnings = [line.text for line in lines if line.kind == "warning"]
    unplanned = sorted(set(resources.hosts) - {plan["host"] for plan in plans})
    if unplanned and not warnings:
        warnings.append(
            "no plan: add plan=view.plan to ComposeDeploymentArgs(…) in __main__.py, as the template has it"
        )
    for each in resources.removed:
        name = each["project"].removesuffix(f"-{engine.short.lower()}")
        warnings.append(
            f"{each['project']} is removed from {each['host']} with all that serves, and its volumes stay behind: the "
            "application has another name now (setting name, the Compose file's name or its folder); to keep it: "
            + of_stack(f"pulumi config set name {shlex.quote(name)}", engine.short)
        )
    cost = [line.text.removeprefix(COST) for line in lines if line.text.startswith(COST)]
    return {
        "contract": 1,
        "stack": engine.short,
        "changes": resources.unlike or any(plan["changes"] for plan in plans),
        "hosts": [{key: value for key, value in plan.items() if key != "contract"} for plan in plans],
        "unplanned": unplanned,
        "removed": resources.removed,
        "resources": resources.changed,
        "warnings": list(dict.fromkeys(warnings)),
        **({"cost": cost[0]} if cost else {}),
    }


def live_previewed(engine: Engine, options: Sequence[str] = ()) -> dict[str, Any]:
    """The preview of the release that is live, as it was deployed: what differs is drift. Otherwise as `previewed`.

    Raises `NothingLiveError` before a first deployment.
    """
    history = read_history(engine)
    if not history.live:
        fix = of_stack("slipway up", engine.short)
        raise NothingLiveError(f"nothing is live on stack {engine.short}", "nothing can have drifted", fix)
    live = Rollback(target=past_release(history, named_entry(history, "live")), history=history, warm=True)
    again = of_stack("slipway preview --live", engine.short)
    found: list[dict[str, Any]] = []

    def preview(
        engine: Engine,
        given: Sequence[str],
        *,
        message: str,  # noqa: ARG001  # as in `show`
        settings: Mapping[str, str],
        command: str,
    ) -> int:
        found.append(previewed(engine, [*given, *options], settings=settings, command=command))
        return 0

    carry_out(engine, live, deploy=preview, message="", again=again)
    document = found[0]
    # The deployment itself always shows as changed: it would be one more of the same release.
    differs = any(host["changes"] or host.get("refused") for host in document["hosts"])
    return {**document, "changes": bool(differs or document["removed"] or document["resources"])}


def _words(lines: Sequence[Line], story: Story) -> list[str]:
    """What was said before a preview failed: all of the last lines, or the evidence for errors that explain it."""
    shown = [line for line in lines if line.text not in story.errors]
    if story.errors:
        shown = [line for line in shown if line.kind in _EVIDENCE]
    return [in_words(line) for line in shown[-_LINES:]]
