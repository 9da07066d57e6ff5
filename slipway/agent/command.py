"""The agent's command line. Parsed by hand: a library for it would cost more start-up time than the probe itself."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.output import Output
from slipway.agent.state.atomic_files import read_object
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract import CONTRACT
from slipway.contract.host_paths import is_stack
from slipway.contract.outcomes import VALIDATED
from slipway.contract.problems import SlipwayError, UsageError
from slipway.contract.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slipway.contract.deployment import Deployment

__all__ = ["known_here", "main"]

_WORD = 12  # characters: a secret of as many is not weak

USAGE = """\
slipway agent: deploys one stack's releases on this host

  version                             which agent this is
  probe --stack S                     what is here, as one line of JSON; changes nothing
  attend --stack S                    as probe, then the channel of a fleet deployment until standard input ends
  plan --stack S                      as probe, then what a deployment of the document on standard input would do
  look --stack S                      plan for a key that may do nothing else: says first that the agent is here
  plan-recorded --stack S             what the document after the record on standard input (record.schema.json) would do
  deploy [--stack S --release R]      deploy what standard input describes; S and R must match it
  cancel --stack S --actor WHO        have the deployment of WHO that runs here go back, wait for it, then as probe
  watch --stack S                     watch what was deployed last, as that deployment ordered
  history --stack S                   the ledger, a line of JSON an entry, then what is kept here
  release --stack S --release R       a release that is kept here, as one line of JSON
  containers --stack S                the stack's containers with their generations, as one line of JSON
  logs --stack S [--services A,B]     what they write, a line of JSON each; the last N of each, since seconds of the
       [--tail N] [--since T]         epoch (-N: N seconds ago); follow until standard input ends
       [--follow]
  observe --stack S                   what the watch sees, a line of JSON per change, until standard input ends
  maintenance --stack S --on|--off    serve the page (HTML) on standard input instead of the stack, or stop that
  certificate --stack S               keep the certificate and key on standard input (JSON, PEM) for requests that name
                                      no host that the edge knows, unless there is one
  mark --stack S --release R          note that a release proven here is validated; a reason on standard input
         --as validated [--actor WHO]
  move --stack S [--do WHAT]          how far the move from another project is; WHAT: undo, finish or remove (which
                                      finishes, and removes the old containers)
  destroy --stack S [--volumes A,B]   remove the stack, unless standard input says that it is another's; volumes stay
                                      unless named
  cancel, maintenance, mark, move     also take --owner OWNER, and refuse another's stack
  help                                this text"""
_LOGS = re.compile(r"(all|[0-9]{1,9}) -?[0-9]{1,12}(\.[0-9]{1,9})?\Z")
_OPTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("version", "help"), ()),
    **dict.fromkeys(("probe", "attend", "plan", "plan-recorded", "look", "watch"), ("--stack",)),
    **dict.fromkeys(("certificate", "observe", "containers", "history"), ("--stack",)),
    "maintenance": ("--stack", "--owner", "--on", "--off"),
    "logs": ("--stack", "--services", "--tail", "--since", "--follow"),
    "release": ("--stack", "--release"),
    "cancel": ("--stack", "--owner", "--actor"),
    "mark": ("--stack", "--owner", "--release", "--as", "--actor"),
    "deploy": ("--stack", "--release"),
    "destroy": ("--stack", "--volumes"),
    "move": ("--stack", "--owner", "--do"),
}
_PLANNED_BYTES = 8 << 20  # 1 MB ships with a release, in base64
_CANCEL_SECONDS = 300.0
_STDIN_SECONDS = 5.0
_LOOK_MEMORY, _LOOK_CPU, _LOOK_SECONDS = 1 << 30, 30, 600  # bytes, seconds of the processor, seconds
_FLAGS = ("--on", "--off", "--follow")


class _Session:
    """What a failure needs to know wherever it happens."""

    def __init__(self) -> None:
        self.out = Output(os.uname().nodename)
        self.folder: StackFolder | None = None
        self.answers = False
        """whether a program reads the results, and the failure, from standard output"""


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. No traceback leaves here."""
    os.umask(0o077)
    session = _Session()
    try:
        _run(arguments, session)
    except KeyboardInterrupt:
        failure = SlipwayError("interrupted", "the command did not end by itself", "run it again")
    except Exception as error:  # noqa: BLE001 - the last line of defence
        from slipway.agent.crash_report import as_error

        failure = as_error(error, session.folder, session.out.redactor)
    else:
        return 0
    session.out.failure(failure)
    if session.answers:
        session.out.result({"contract": CONTRACT, "failed": [problem.to_json() for problem in failure.problems]})
    return failure.exit_code


def _run(arguments: Sequence[str], session: _Session) -> None:
    command, options = _parse(arguments)
    out = session.out
    if command == "help":
        out.say(USAGE)
    elif command == "version":
        from slipway.agent.state.identity import version

        out.say(version())
    elif command == "deploy":
        _deploy(session, options)
    else:
        folder = StackFolder(options["--stack"])
        session.folder = None if command in ("look", "plan-recorded") else folder  # where a crash leaves its report
        session.answers = command not in ("destroy", "watch")
        out.redactor = _hiding([folder.stack], *known_here(folder))
        if "--owner" in options:
            from slipway.agent.state.owner import check_owner

            check_owner(folder, options["--owner"])
        _run_for(folder, command, options, out)


def _run_for(folder: StackFolder, command: str, options: dict[str, str], out: Output) -> None:
    """Run a command that is about one stack, other than a deployment of it."""
    if command in ("destroy", "maintenance", "certificate", "mark"):
        out.result(_change(folder, command, options, out))
    elif command in ("watch", "observe"):
        from slipway.agent.watch import watch

        (watch.watch if command == "watch" else watch.observe)(folder, out)
    elif command in ("history", "release"):
        from slipway.agent.ledger_query import print_history, print_release

        if command == "history":
            print_history(folder, out)
        else:
            print_release(folder, options.get("--release", ""), out)
    elif command == "plan-recorded":
        _plan_recorded(sys.stdin.buffer.read(), folder, out)
    elif command == "cancel":
        from slipway.agent.host_probe import cancel

        out.result(cancel(folder, options.get("--actor", ""), _CANCEL_SECONDS))
    elif command == "move":
        from slipway.agent.move.commands import move

        out.result(move(folder, options.get("--do", "show"), out))
    elif command == "containers":
        from slipway.agent.container_report import listing

        out.result(listing(folder))
    elif command == "logs":
        from slipway.agent.logs import LogRequest, read_logs

        since, follow = options.get("--since", ""), "--follow" in options
        read_logs(folder, LogRequest(_names(options, "--services"), options.get("--tail", "all"), since, follow))
    else:
        _look(folder, command, out)


def _look(folder: StackFolder, command: str, out: Output) -> None:
    """Probe, and go on as `attend` or `plan`."""
    from slipway.agent.host_probe import probe

    if command == "look":
        _limit(folder.stack)
        out.say("agent: here")
    out.result(probe(folder))
    if command == "look":
        out.redactor = Redactor()  # what is hidden of a document of theirs would betray a value that it guesses
    if command == "attend":
        from slipway.agent.fleet import attend

        attend(folder, out)
    elif command in ("plan", "look") and (given := sys.stdin.buffer.read(_PLANNED_BYTES)):
        _plan(given, folder, out, redacted=command == "plan")


def _limit(stack: str) -> None:
    """Bound what a key that may only look can use up, and fail whoever asks for more.

    A deployment must not take the answer to a look for its own success.
    """
    import resource
    import signal

    # Of what is written to: the programs that it starts reserve far more address space than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (_LOOK_MEMORY, _LOOK_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_LOOK_CPU, _LOOK_CPU))
    signal.alarm(_LOOK_SECONDS)
    runtime.lower_priority(19)
    asked = os.environ.get("SSH_ORIGINAL_COMMAND", "")
    if asked and not any(f" {each} --stack {stack}" in asked for each in ("plan", "probe")):
        raise SlipwayError(
            "this key may look at the host for previews, and do nothing else",
            "nothing was done",
            "set sshKey to the key that deploys",
        )


def _names(options: dict[str, str], option: str) -> list[str]:
    return [name for name in options.get(option, "").split(",") if name]


def _change(folder: StackFolder, command: str, options: dict[str, str], out: Output) -> dict[str, Any]:
    if command == "destroy":
        from slipway.agent.deploy.destroy import destroy

        return destroy(folder, _names(options, "--volumes"), out, *_said_on_stdin())
    given = sys.stdin.buffer.read() if "--off" not in options else b""
    if command == "maintenance":
        from slipway.agent.maintenance import maintain

        return maintain(folder, given.decode("utf-8", "replace") if "--on" in options else None, out)
    if command == "certificate":
        from slipway.agent.edge.secret_files import accept_certificate

        return accept_certificate(given, out)
    from slipway.agent.state.validation_mark import mark

    note, actor = given.decode("utf-8", "replace"), options.get("--actor", "")
    return mark(folder, options["--release"], note, out, actor=actor)


def _said_on_stdin() -> tuple[str, str]:
    """Whose the stack is, and on which of its hosts, by what the engine sends: the document of its last deployment."""
    import select

    if select.select([sys.stdin], [], [], _STDIN_SECONDS)[0]:
        with contextlib.suppress(ValueError, AttributeError):
            given = json.loads(sys.stdin.buffer.read())
            return str(given.get("owner", "")), str(given.get("host", ""))
    return "", ""


def _plan(given: bytes, folder: StackFolder, out: Output, *, redacted: bool) -> None:
    from slipway.agent.deploy import deploy
    from slipway.agent.release import document

    content = document.parse(given)
    if content.stack != folder.stack:
        raise _usage(f"--stack is {folder.stack!r}, and the document says {content.stack!r}")
    out.redactor = _redactor(content, folder) if redacted else out.redactor
    out.result(deploy.planned(content, folder, out))


def _plan_recorded(given: bytes, folder: StackFolder, out: Output) -> None:
    from slipway.agent.deploy.recorded import planned_from_record
    from slipway.agent.release import document

    content = json.loads(given)
    plan = planned_from_record(document.parse(json.dumps(content["document"]).encode()), content["record"], folder)
    out.result(plan)


def _redactor(content: Deployment, folder: StackFolder) -> Redactor:
    """Knows every secret that a document or this host holds."""
    others = {f"password of {each.address}": each.password for each in content.registries}
    for number, certificate in enumerate(content.edge.certificates if content.edge else ()):
        others[f"key of certificate {number}"] = certificate.key
    messages = _addresses(content.watch and content.watch.notify)
    release = content.release
    names = [content.stack, content.host, str(release.content["application"]), *release.services]
    return _hiding([*names, *release.images.values()], content.secrets, *known_here(folder), others, messages)


def _hiding(names: Iterable[str], *secrets: Mapping[str, str]) -> Redactor:
    """Hides secrets, but not weak ones that are words of these names."""
    words = {word for name in names for word in (name, *re.split(r"[\W_]+", name)) if len(word) < _WORD}
    return Redactor(*secrets, shown=words)


def known_here(folder: StackFolder) -> tuple[dict[str, str], ...]:
    """What this host holds: the secrets of now and before, and where its watch sends its message to."""
    notify = (read_object(folder.watch).get("rules") or {}).get("notify")
    return folder.stored_secrets(), folder.previous_secrets(), _addresses(notify)


def _addresses(notify: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    """Name → address of who gets messages; an order of an older Slipway holds the one address alone."""
    targets = [{"name": "notifyUrl", "url": notify}] if isinstance(notify, str) else (notify or {}).get("targets", ())
    return {f"notify.{each['name']}": str(each["url"]) for each in targets}


def _deploy(session: _Session, options: dict[str, str]) -> None:
    from slipway.agent.deploy import deploy
    from slipway.agent.release import document
    from slipway.agent.watch.watch import start_watch

    content = document.parse(sys.stdin.buffer.read())
    for name, stated in (("--stack", content.stack), ("--release", content.release.id)):
        if options.get(name, stated) != stated:
            raise _usage(f"{name} is {options[name]!r}, and the document says {stated!r}")
    folder = session.folder = StackFolder(content.stack)
    session.out.host = content.host
    session.out.redactor = _redactor(content, folder)
    session.out.result(deploy.deploy(content, folder, session.out, start_watch))


def _parse(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    command, *rest = arguments or ("",)
    command = {"--help": "help", "-h": "help", "--version": "version"}.get(command, command)
    if command not in _OPTIONS:
        raise _usage(f"unknown command {command!r}" if command else "no command")
    options = {}
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name not in _OPTIONS[command]:
            raise _usage(f"{command} has no option {name!r}")
        if name not in _FLAGS and not equals:
            if not rest:
                raise _usage(f"{name} needs a value")
            value = rest.pop(0)
        options[name] = value
    if command not in ("help", "version", "deploy") and not is_stack(options.get("--stack")):
        raise _usage(f"{command} needs --stack with a stack's name")
    if command == "maintenance" and ("--on" in options) == ("--off" in options):
        raise _usage("maintenance needs either --on or --off")
    if command == "logs" and not _LOGS.match(f"{options.get('--tail', 'all')} {options.get('--since', '0')}"):
        raise _usage("logs needs a number or all for --tail, and seconds for --since")
    if command == "mark" and ("--release" not in options or options.get("--as") != VALIDATED):
        raise _usage("mark needs --release with a release's id, and --as validated")
    return command, options


def _usage(what: str) -> UsageError:
    return UsageError(what, "the command line is not one of the agent's, so nothing was done", "python3 agent.pyz help")
