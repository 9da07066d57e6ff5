"""Watches a release after its deployment, and rolls back when it turns out worse, in a process of its own.

`watch.json` is the order: the process ends when it is replaced or removed. `watched.json` is what was seen last.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.crash_report import as_error
from slipway.agent.deadline import Stop
from slipway.agent.docker import facts
from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.agent.edge.edge import Edge
from slipway.agent.move.claims import taken_over_by
from slipway.agent.state.atomic_files import read_object, remove_files, write_atomically
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import HeldError, is_held, lock
from slipway.agent.state.stack_dir import moment
from slipway.agent.traffic.calm_traffic import calm, counted
from slipway.agent.traffic.canary_analysis import ALPHA, TrafficAnalysis
from slipway.agent.traffic.canary_statistics import EMPTY, Window
from slipway.agent.traffic.traffic_shift import retire
from slipway.agent.watch.watch_rollback import roll_back
from slipway.contract import CONTRACT
from slipway.contract.deployment import WatchLimits
from slipway.contract.outcomes import DEPLOYED, FAILED, RETURNED, illness
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.edge.metrics import Counters
    from slipway.agent.output import Output
    from slipway.agent.state.ledger import Live
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["observe", "start_watch", "watch", "watched"]

_LOOK_SECONDS = 1.0
_SLICE_SECONDS = 60.0
_SICK_SECONDS = 10.0  # that a container may be unhealthy or down before the release counts as bad
_BEGIN_SECONDS = 5.0  # in which the process of a watch has said something


def start_watch(attempt: Attempt) -> None:
    """Begin to watch what was just deployed, in a process of its own; ends an earlier watch of this stack."""
    document, folder, out = attempt.document, attempt.folder, attempt.out
    rules = document.watch
    if rules is None and not attempt.keeping.kept:
        remove_files(folder.watch, folder.watched, folder.secrets_before)
        return
    again = attempt.live and attempt.live.release == document.release.id and attempt.outcome != DEPLOYED
    before = attempt.ledger.before() if again else attempt.live
    left = before and before.release in attempt.ledger.left()  # whoever flees it does not measure by it
    order = {
        "id": os.urandom(8).hex(),
        "host": document.host,
        "release": document.release.id,
        "began": runtime.time(),
        "rules": rules and rules._asdict(),
        "options": document.options._asdict(),
        "run": attempt.origin.get("run", ""),
        "baseline": {} if left else calm(folder, before),  # of the previous generations
    }
    write_atomically(folder.watch, json.dumps(order).encode())
    argv = [sys.executable, os.path.abspath(sys.argv[0]), "watch", "--stack", folder.stack]
    runtime.detach(argv, f"slipway-watch-{folder.stack}-{os.getpid()}", folder.watch_log)
    if rules is not None:
        out.progress("watch", f"for {rules.seconds} s, in the background (slipway watch shows it)")


def watch(folder: StackFolder, out: Output) -> None:
    """The watch itself: until its time is over and nothing is kept any more, or another deployment took over."""
    order = read_object(folder.watch)
    if order:
        _Watch(order, folder, out).run()


def watched(folder: StackFolder) -> dict[str, Any] | None:
    """What the watch saw last; None when nothing is or was watched."""
    seen = read_object(folder.watched)
    if not seen:
        return None
    seen["alive"] = bool(seen.get("pid")) and os.path.exists(f"/proc/{seen['pid']}")
    return seen


def observe(folder: StackFolder, out: Output) -> None:
    """Print what the watch sees, a line of JSON whenever it changes, until standard input ends."""
    import select

    said: object = ...  # so that the first answer is one, also when nothing is watched
    while True:
        seen = watched(folder)
        if seen != said and not _begins(folder, seen):
            out.result({"contract": CONTRACT, "watch": seen})
            said = seen
        readable, _, _ = select.select([0], [], [], 0.5)
        if readable and not os.read(0, 4096):
            return


def _begins(folder: StackFolder, seen: dict[str, Any] | None) -> bool:
    """Whether the watch that was ordered last has yet to say something: `seen` is of the one before it, or nothing."""
    order = read_object(folder.watch)
    young = bool(order) and runtime.time() - order["began"] < _BEGIN_SECONDS
    return young and not (seen and seen["alive"] and seen.get("release") == order["release"])


class _Watch:
    def __init__(self, order: dict[str, Any], folder: StackFolder, out: Output) -> None:
        self.order = order
        self.rules = WatchLimits(**order["rules"]) if order["rules"] else None
        self.folder = folder
        self.out = out
        self.api = DockerApi(find_socket())
        self.edge = Edge(self.api, out)
        self.keeping = Keeping(folder)
        self.stop = Stop()
        self.until = order["began"] + (self.rules.seconds if self.rules else 0)
        self.restarts: dict[str, int] = {}
        self.sick: dict[str, float] = {}
        self.slice_began = 0.0
        self.analyses: dict[str, TrafficAnalysis] = {}
        self.before: dict[str, Counters] = {}
        self.figures: dict[str, Any] = {}

    def run(self) -> None:
        self.stop.install()
        while self._ordered() and not self.stop.asked:
            bad = ""
            try:
                if taken_over_by(self.folder.stack, self.api):  # its containers are the way back of another stack
                    self._note("over", "")
                    self._forget()
                    return
                self._retire_due()
                if self.rules and runtime.time() < self.until:
                    bad = self._look(self.rules)
                else:  # nothing is judged any more, but something may still be kept
                    self._note("over", "")
            except Exception as error:  # noqa: BLE001 - Docker is restarted, say: looked at again a second later
                self._note("watching", f"cannot look: {self._what(error)}")
            if bad and self._roll_back(bad):
                return
            if runtime.time() >= self.until and not self.keeping.kept:
                self._note("over", "")
                self._forget()
                return
            runtime.sleep(_LOOK_SECONDS)

    def _forget(self) -> None:
        """The order is carried out; nobody needs the previous secrets any more."""
        with contextlib.suppress(OSError):
            remove_files(self.folder.watch, self.folder.secrets_before)

    def _what(self, error: Exception) -> str:
        return as_error(error, self.folder, self.out.redactor).what

    def _ordered(self) -> bool:
        return bool(read_object(self.folder.watch).get("id") == self.order["id"])

    def _retire_due(self) -> None:
        for kept in self.keeping.kept:
            if runtime.time() < kept.until and any(map(self.api.container, kept.containers)):
                continue
            try:
                with lock(self.folder.lock, owner="watch", reason=f"retire the old {kept.service}", wait=0.0):
                    if not self._ordered() or kept not in self.keeping.kept:
                        return
                    retire(kept, self.api, runtime.sleep, self.out)
                    self.keeping.forget(kept.service)
            except (SlipwayError, OSError) as error:  # also a full disk, which a release may be rolled back for
                self.out.progress("watch", f"{kept.service} is removed later: {self._what(error)}")

    def _look(self, rules: WatchLimits) -> str:
        """Why the release is bad; empty while it is not."""
        live = Ledger(self.folder.ledger).live()
        if is_held(self.folder.lock):  # what a deployment stops and starts, and brings back, is no fault of the release
            for seen in (self.sick, self.restarts, self.before, self.analyses):
                seen.clear()
            return ""
        if live is None or live.release != self.order["release"]:
            self._note("over", "")  # whoever deployed the other one was cut off before it had that watched
            return ""
        bad = self._containers(live, rules) or self._traffic(live, rules)
        self._note("watching", bad)
        return bad

    def _containers(self, live: Live, rules: WatchLimits) -> str:
        now = runtime.time()
        for each in facts.containers(self.api, self.folder.stack, list(live.services)):
            proof = live.services[each.service]
            if each.config != proof.config or proof.completed or each.ended_well:
                continue
            more = each.restarts - self.restarts.setdefault(each.id, each.restarts)
            if more >= rules.restarts:
                return f"{each.name} was restarted {more} times, last {each.ending}"
            ill = illness(each.state, each.health)
            if not ill:
                self.sick.pop(each.id, None)
            elif now - self.sick.setdefault(each.id, now) > _SICK_SECONDS:
                return f"{each.name} is {ill} for {_SICK_SECONDS:.0f} s"
        return ""

    def _traffic(self, live: Live, rules: WatchLimits) -> str:
        over = runtime.time() - self.slice_began >= _SLICE_SECONDS
        for service, sample in counted(self.edge, self.folder.stack, live).items():
            if service not in self.analyses:
                alpha = ALPHA / max(1, rules.seconds // 60)
                self.analyses[service] = TrafficAnalysis(rules.thresholds, alpha)
                self.before[service] = sample
                continue
            window = Window.between(self.before[service], sample)
            baseline = Window.of(self.order["baseline"].get(service, EMPTY))
            ended = over and window.requests >= rules.minimum  # a minute, or as long as it takes
            verdict = self.analyses[service].look(window, baseline, ended=ended, last=ended)
            self.figures[service] = {
                "requests": window.requests,
                "errors": window.errors,
                "p50": window.quantile(0.5),
                "p95": window.quantile(0.95),
                "verdict": verdict.reason,
            }
            if verdict.state == "bad":
                return f"{service}: {verdict.reason}"
            if ended:
                del self.analyses[service]
        if over and not self.analyses:
            self.slice_began = runtime.time()
        return ""

    def _roll_back(self, why: str) -> bool:
        """Roll back; false where that has to be judged anew."""
        why = self.out.redactor.text(why)
        self._note("returning", why)
        try:
            said = roll_back(self.order, self.folder, why, self.out)
            state = RETURNED
            if not said:
                return False
        except HeldError:  # by a deployment, which may cure what is wrong
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else tells of it
            said, state = self.out.redactor.text(f"the rollback failed: {self._what(error)}"), FAILED
        self._note(state, f"{why}; {said}")
        self._forget()
        self._tell("rolled-back" if state == RETURNED else "failed", why, said)
        return True

    def _tell(self, event: str, why: str, said: str) -> None:
        notify = self.rules.notify if self.rules else None
        if not notify:
            return
        from slipway.notify.delivery import Target
        from slipway.notify.message import Message
        from slipway.notify.sending import send

        message = Message(
            event,
            self.folder.stack,
            host=self.order["host"],
            release=self.order["release"],
            commit=notify["commit"],
            subject=notify["subject"],
            author=notify["author"],
            actor="the watch",
            run=self.order["run"],
            reason=why,
            outcome=said,
            command=f"slipway rollback --stack {notify['stack']}" if event == "failed" else "",
        )
        targets = [Target.from_json(each) for each in notify["targets"]]
        for each in send(targets, message, redact=self.out.redactor.text):
            if not each.accepted:
                self.out.progress("watch", f"{each.target.name} did not take the message: {each.said}")

    def _note(self, state: str, reason: str) -> None:
        now = runtime.time()
        kept = [{"service": each.service, "left": max(0, int(each.until - now))} for each in self.keeping.kept]
        seen = {
            "release": self.order["release"],
            "state": state,
            "reason": self.out.redactor.text(reason),
            "at": moment(),
            "left": max(0, int(self.until - now)),
            "kept": kept,
            "services": self.figures,
            "pid": os.getpid(),
        }
        with contextlib.suppress(OSError):
            if not self._ordered():  # withdrawn meanwhile: whoever did so has removed what it said
                return
            write_atomically(self.folder.watched, json.dumps(seen).encode())
