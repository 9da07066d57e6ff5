"""Whether the new generation is worse than the old, from the edge's counters alone; pure, no clock, no network.

The statistics, and why these, are explained in docs/reference/agent.md ("How traffic is compared").
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent.traffic.canary_statistics import EMPTY, Window, exceeds, exceeds_half, upper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.contract.deployment import Thresholds

__all__ = ["ALPHA", "Comparison", "TrafficAnalysis", "Verdict", "alphas"]

ALPHA = 0.01  # equally good canaries that may be stopped, over a whole run with all its looks
_WEIGHTS = {"errors": 0.6, "p95": 0.25, "p50": 0.15}  # of a look's budget; errors are rarest, so they need the most
_EARLY = 0.1  # of a step's budget, for looks before its end
_EARLY_FROM, _EARLY_GROWTH = 20, 1.25  # requests at the first early look, and how they grow until the next
_DECISIONS = (2 / 3, 1 / 6, 1 / 6)  # of the rest, for deciding at n, 2n and 4n requests
_AT_LIMIT, _AT_LIMIT_EARLY = 0.1, 0.01  # how often a canary exactly at the limit may count as beyond it
_ALONE = 30  # requests below which the old side is no comparison; then only most requests failing is bad


class Comparison(NamedTuple):
    """One measure of both sides (share, or seconds) with the chance of what was seen if nothing were wrong."""

    measure: str
    new: float
    old: float
    limit: float
    over: bool  # observed beyond the limit
    p_alike: float  # were both sides alike
    p_limit: float  # were the new side exactly at the limit

    def bad(self, alpha: float, at_limit: float) -> bool:
        """Worse, and by more than is allowed, both beyond chance."""
        return self.p_alike <= alpha * _WEIGHTS[self.measure] and self.p_limit <= at_limit

    def __str__(self) -> str:
        def shown(value: float) -> str:
            return f"{value * 100:.2f} %" if self.measure == "errors" else f"{value * 1000:.0f} ms"

        return (
            f"{self.measure} {shown(self.new)} against {shown(self.old)}, at most {shown(self.limit)}"
            f" (p {self.p_alike:.1g} if alike, {self.p_limit:.1g} if at the limit)"
        )


class Verdict(NamedTuple):
    """`state` is "good", "bad" or "wait"; `figures` are plain values for the journal and the report."""

    state: str
    reason: str
    comparisons: tuple[Comparison, ...]
    figures: dict[str, float | None]


def alphas(steps: int) -> list[float]:
    """The budget of each step of a run: half of what is left, the last two alike; sums to ALPHA."""
    return [ALPHA * 0.5 ** min(step, steps - 1) for step in range(1, steps + 1)] if steps > 1 else [ALPHA] * steps


class TrafficAnalysis:
    """Judges one step, or one slice of the watch: owns its budget, so make one for each and keep it for its length.

    For step i of a canary `alpha` is `alphas(len(steps))[i]`; for a watch of n slices `ALPHA / n` each.
    """

    def __init__(self, thresholds: Thresholds, alpha: float = ALPHA) -> None:
        self.thresholds = thresholds
        self._early = alpha * _EARLY
        self._decide = alpha * (1 - _EARLY)
        self._looks = self._decisions = 0
        self._look_at: float = _EARLY_FROM
        self._decide_at = max(thresholds.minimum, 1)

    def look(
        self, new: Window, old: Window, baseline: Window = EMPTY, *, ended: bool = False, last: bool = False
    ) -> Verdict:
        """Judge all traffic since the step began; call it as often as wanted, with windows that only grow.

        `baseline` is traffic of the old generation from before; it is added where the old side of the window itself
        has fewer than `minimum` requests (the step with 100 %). `ended`: the pause is over, a decision is wanted.
        `last`: so is the patience; then "wait" means too little traffic, and nothing else does.
        """
        new, old = Window.of(new), Window.of(old)
        before = old.requests < self.thresholds.minimum and bool(baseline.requests)
        if before:
            old = old.plus(Window.of(baseline))
        seen = tuple(_comparisons(new, old, self.thresholds))
        enough = min(new.requests, old.requests) >= max(self.thresholds.minimum, 1)
        decides = last or (ended and enough and new.requests >= self._decide_at)
        alpha = self._spend(new.requests, decides=decides, last=last)
        at_limit = _AT_LIMIT if decides else _AT_LIMIT_EARLY
        found = [each for each in seen if alpha and each.bad(alpha, at_limit)]
        doubts = [each for each in seen if each.over]
        sides = f"{new.requests} requests against {old.requests}" + (" (some from earlier)" if before else "")
        if found:
            state, why = "bad", f"worse than before: {_listed(found)}; {sides}"
        elif not (ended or last):
            state, why = "wait", f"nothing against it so far: {sides}"
        elif not enough:
            needed = self.thresholds.minimum
            state, why = "wait", f"too little traffic to judge: {sides}, {needed} are needed of each"
        elif doubts and not last and self._decisions < len(_DECISIONS):
            state, why = "wait", f"beyond the limit, but maybe by chance: {_listed(doubts)}; {sides}, more are needed"
        else:
            how = "not proven worse" if doubts else "within the limits"
            state, why = "good", f"{how}: {_listed(seen)}; {sides}"
        return Verdict(state, why, seen, _figures(new, old))

    def _spend(self, requests: int, *, decides: bool, last: bool) -> float:
        """The probability of a false alarm that this look may cost; 0 when it is too early for another one."""
        if decides:
            left = _DECISIONS[self._decisions :]
            self._decisions = len(_DECISIONS) if last else self._decisions + 1
            self._decide_at = requests * 2
            return self._decide * (sum(left) if last else sum(left[:1]))
        if requests < self._look_at:
            return 0.0
        self._looks += 1
        self._look_at = requests * _EARLY_GROWTH
        return self._early / (self._looks * (self._looks + 1))


def _comparisons(new: Window, old: Window, allowed: Thresholds) -> Iterable[Comparison]:
    if new.requests and old.requests < _ALONE:
        # Nothing to compare with: a generation that fails most requests is bad by any measure.
        chance = exceeds_half(new.errors, new.requests)
        yield Comparison("errors", new.error_rate, old.error_rate, 0.5, new.error_rate > 0.5, chance, chance)  # noqa: PLR2004
        return
    if new.requests:
        yield _errors(new, old, allowed)
    for measure, share in (("p95", 0.95), ("p50", 0.5)):
        if new.timed and old.timed >= _ALONE and len(new.buckets) > 1:
            yield from _latency(measure, share, new, old, allowed)


def _errors(new: Window, old: Window, allowed: Thresholds) -> Comparison:
    rate, base = new.error_rate, old.error_rate
    relative = base * allowed.error_relative > allowed.error_floor
    limit = base * (1 + allowed.error_relative) if relative else base + allowed.error_floor
    slope = 1 + allowed.error_relative if relative else 1.0
    # Half an error more than seen: a base of none among few is not known to be none.
    spread = (old.errors + 0.5) / (old.requests + 1)
    # The new side's variance is the one at the limit, so that more errors never look less certain.
    at_limit = min(limit, 1.0)
    variance = at_limit * (1 - at_limit) / new.requests + slope**2 * spread * (1 - spread) / old.requests
    p_alike = exceeds(new.errors, new.requests, old.errors, old.requests)
    return Comparison("errors", rate, base, limit, rate > limit, p_alike, upper((rate - limit) / math.sqrt(variance)))


def _latency(measure: str, share: float, new: Window, old: Window, allowed: Thresholds) -> Iterable[Comparison]:
    base, value = old.quantile(share), new.quantile(share)
    if base is None or value is None:
        return
    limit = max(base * (1 + allowed.latency_relative), base + allowed.latency_floor)
    last = min(old.buckets[-2][0], new.buckets[-2][0])
    most = 1 - share
    if limit >= last:
        # What is slower than the last bound cannot be distinguished: there the share itself is compared.
        most = max(most, old.slower(last) / old.timed * (1 + allowed.latency_relative))
    most = min(most, 1.0)
    slow = new.slower(min(limit, last)) / new.timed
    variance = most * (1 - most) * (1 / new.timed + 1 / old.timed)
    at = min(base, last)
    # Rounded against finding anything: interpolated counts are not whole.
    p_alike = exceeds(math.floor(new.slower(at)), new.timed, math.ceil(old.slower(at)), old.timed)
    p_limit = upper((slow - most) / math.sqrt(variance)) if variance > 0 else float(slow <= most)
    yield Comparison(measure, value, base, limit, slow > most, p_alike, p_limit)


def _figures(new: Window, old: Window) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for side, window in (("new", new), ("old", old)):
        figures[f"{side}_requests"] = window.requests
        figures[f"{side}_error_rate"] = window.error_rate
        figures[f"{side}_p50"] = window.quantile(0.5)
        figures[f"{side}_p95"] = window.quantile(0.95)
    return figures


def _listed(comparisons: Iterable[Comparison]) -> str:
    return "; ".join(str(each) for each in comparisons)
