"""How all environments of a project are: every stack's state is read, and every address of it asked, side by side."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import Redactor
from slipway.releases.backend.checkpoints import deployment_in
from slipway.releases.bundles.state import exported_state, resources_of
from slipway.releases.engine import engine_of, known_stacks
from slipway.releases.health.addresses import GUARDED, Target, targets_in
from slipway.releases.health.look import Looker, browser_tls
from slipway.settings.setting_files import stack_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.releases.engine import Engine
    from slipway.releases.health.look import Look

__all__ = ["DOWN", "EXPIRING", "LOGIN_VARIABLE", "UP", "health_document", "stacks_asked"]

LOGIN_VARIABLE = "SLIPWAY_HEALTH_LOGIN"
"""USER:PASSWORD for services with `basicAuth`."""
UP, EXPIRING, DOWN = "up", "expiring", "down"
_AT_ONCE = 32
_STATES_AT_ONCE = 4  # processes
_THIS_MACHINE = "127.0.0.1"  # what components/host.py calls a host that is `local`
_AGAIN_SECONDS = 2.0  # one lost packet is no outage
_SHOWN = 300  # characters of what others said


class _Deployed(NamedTuple):
    engine: Engine
    application: str = ""
    release: str = ""
    targets: Sequence[Target] = ()
    local: bool = False
    problems: Sequence[Problem] = ()


def stacks_asked(name: str) -> list[Engine]:
    """The stack called `name`; when empty, all of the project that have a stack file here.

    A pull request's environment has none: it comes and goes. Raises `SlipwayError` when there is no stack.
    """
    if name:
        return [engine_of(name)]
    engine = engine_of("production")  # any name will do to ask for all of them
    found = sorted(each for each in known_stacks(engine) if stack_file(engine.root, each).is_file())
    if not found:
        raise SlipwayError(
            "the project has no stack with a stack file here",
            "there is nothing to probe",
            "pulumi whoami && pulumi stack ls && ls Pulumi.*.yaml",
        )
    return [engine_of(each, own_key=True) for each in found]


def health_document(engines: Sequence[Engine], *, warn_days: int, login: str = "") -> dict[str, Any]:
    """The form that `--json` prints (slipway/cli/schemas/health.schema.json); `login` is USER:PASSWORD or empty.

    Raises `SlipwayError` when no stack has anything to probe. A state that cannot be read is an error of its stack.
    """
    with ThreadPoolExecutor(_STATES_AT_ONCE) as pool:
        stacks = list(pool.map(lambda engine: _deployed(engine, login=bool(login)), engines))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        if not any(each.targets or each.problems for each in stacks):
            raise SlipwayError(
                f"nothing to probe on {', '.join(each.engine.short for each in stacks)}",
                "nothing is deployed there, or it has neither a route nor a published port with an HTTP smoke check",
                of_stack("slipway status", stacks[0].engine.short),
            )
        redactor = Redactor({LOGIN_VARIABLE: login, "password": login.partition(":")[2]})
        tls = browser_tls()
        lookers = [Looker([to.url for to in each.targets], tls, local=each.local, login=login) for each in stacks]
        asked = [
            [pool.submit(_looked, looker, target) for target in each.targets]
            for each, looker in zip(stacks, lookers, strict=True)
        ]
        now = datetime.now(UTC)
        found = [
            _stack(
                each,
                [
                    _probe(to, done.result(), redactor, now, warn_days)
                    for to, done in zip(each.targets, looks, strict=True)
                ],
            )
            for each, looks in zip(stacks, asked, strict=True)
        ]
    return {
        "contract": 1,
        "checked": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "up": all(each["up"] for each in found),
        "stacks": found,
    }


def _deployed(engine: Engine, *, login: bool) -> _Deployed:
    """What the state of a stack says; no targets where nothing is deployed."""
    try:
        state = exported_state(engine)
        if state is None:
            meaning, fix = engine.absent()
            return _Deployed(engine, problems=[Problem(f"there is no stack {engine.short}", meaning, fix)])
        outputs = deployment_in(state.get("deployment") or {})
        if not outputs:
            return _Deployed(engine)
        addresses = [
            (each.get("outputs") or {}).get("address")
            for each in resources_of(state)
            if each.get("type") == "slipway:host:Host"
        ]
        about, local = outputs["about"], _THIS_MACHINE in addresses
        targets = targets_in(outputs, login=login)
        return _Deployed(engine, about["application"], outputs["release"], targets, local)
    except SlipwayError as error:
        return _Deployed(engine, problems=error.problems)
    except (ValueError, TypeError, KeyError, AttributeError):
        what = f"the state of stack {engine.short} is not as this version of Slipway writes it"
        fix = of_stack("pulumi up", engine.short)
        return _Deployed(engine, problems=[Problem(what, "it is not known where it answers", fix)])


def _looked(looker: Looker, target: Target) -> Look:
    """One look; another one where that found a fault."""
    look = looker.look(target)
    if look.fault:
        time.sleep(_AGAIN_SECONDS)
        look = looker.look(target)
    return look


def _probe(target: Target, look: Look, redactor: Redactor, now: datetime, warn_days: int) -> dict[str, Any]:
    left = look.expires - now if look.expires else None
    # One of six days is renewed long before the last fortnight.
    expiring = left is not None and left < min(timedelta(days=warn_days), look.lifetime / 3)
    state = DOWN if look.fault else EXPIRING if expiring else UP
    return {
        "url": target.url,
        "service": target.service,
        "state": state,
        "fault": look.fault or None,
        "reason": redactor.brief(look.reason, _SHOWN),
        "status": look.status,
        "seconds": round(look.seconds, 3),
        "expires": f"{look.expires:%Y-%m-%dT%H:%M:%SZ}" if look.expires else None,
        "days_left": left.days if left is not None else None,
        "behind_login": target.checks == (GUARDED,),
    }


def _stack(found: _Deployed, probes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "stack": found.engine.short,
        "application": found.application or None,
        "release": found.release or None,
        "up": not found.problems and all(each["state"] != DOWN for each in probes),
        "errors": [problem.of_stack(found.engine.short).to_json() for problem in found.problems],
        "probes": list(probes),
    }
