"""The arithmetic of comparing two generations: windows of counters, and how likely a difference is by chance. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EMPTY", "Window", "exceeds", "exceeds_half", "upper"]

_EXACT = 10**8  # requests up to which Fisher's sum is exact; above, its normal limit is as good and quicker


class Window(NamedTuple):
    """Traffic of one side: requests, those answered 5xx, and requests so far by upper bound in seconds (last: inf)."""

    requests: int
    errors: int
    buckets: tuple[tuple[float, int], ...]

    @staticmethod
    def of(sample: tuple[float, float, Iterable[tuple[float, float]]]) -> Window:
        """The same, put right: whole numbers from 0, errors among the requests, counts rising with bounds up to inf."""
        requests = _count(sample[0])
        rising: dict[float, int] = {}
        most = 0
        for bound, count in sorted((bound, _count(count)) for bound, count in sample[2] if not math.isnan(bound)):
            most = rising[bound] = max(most, count)
        if rising:
            rising[math.inf] = most
        return Window(requests, min(_count(sample[1]), requests), tuple(rising.items()))

    @staticmethod
    def between(before: tuple[int, int, Any], after: tuple[int, int, Any]) -> Window:
        """Traffic between two samples of the counters; a counter that fell, or other bounds, is a restarted edge.

        Then the later sample counts alone: requests from before the restart are lost to the judgement.
        """
        first, then = Window.of(before), Window.of(after)
        if not first.buckets:
            first = first._replace(buckets=tuple((bound, 0) for bound, _ in then.buckets))
        pairs = list(zip(first.buckets, then.buckets))  # each ends with inf, so other lengths are other bounds
        if (
            then.requests < first.requests
            or then.errors < first.errors
            or any(old[0] != new[0] or new[1] < old[1] for old, new in pairs)
        ):
            return then
        buckets = [(new[0], new[1] - old[1]) for old, new in pairs]
        return Window.of((then.requests - first.requests, then.errors - first.errors, buckets))

    def plus(self, other: Window) -> Window:
        """Both together (hosts, parts of a window); of the bounds those that both have, where the sum is exact."""
        if not (self.buckets and other.buckets):
            buckets = self.buckets or other.buckets
        else:
            theirs = dict(other.buckets)
            buckets = tuple((bound, count + theirs[bound]) for bound, count in self.buckets if bound in theirs)
        return Window(self.requests + other.requests, self.errors + other.errors, buckets)

    @property
    def timed(self) -> int:
        """Requests in the histogram: differs a little from `requests`, the counters are not read at one instant."""
        return self.buckets[-1][1] if self.buckets else 0

    @property
    def error_rate(self) -> float:
        """Share of requests answered 5xx; 0 without requests."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share was answered; None when unknown. In the last bucket: its lower bound."""
        if len(self.buckets) < 2 or not self.timed:  # noqa: PLR2004 - one bucket bounds nothing, as in Prometheus
            return None
        wanted, lower, below = share * self.timed, 0.0, 0
        for bound, count in self.buckets[:-1]:
            if count >= wanted and count > below:
                return lower + max(bound - lower, 0.0) * (wanted - below) / (count - below)
            lower, below = max(bound, 0.0), count
        return lower

    def slower(self, seconds: float) -> float:
        """Requests that took longer, evenly spread within the bucket; past the last finite bound, its whole bucket."""
        lower, below = 0.0, 0
        for bound, count in self.buckets[:-1]:
            if bound > seconds:
                part = (seconds - lower) / (bound - lower) if seconds > lower else 0.0
                return self.timed - below - (count - below) * part
            lower, below = max(bound, 0.0), count
        return float(self.timed - below)


EMPTY = Window(0, 0, ())


def exceeds(hits: int, requests: int, old_hits: int, old_requests: int) -> float:
    """Fisher: the chance of that many hits or more on the new side, were all hits dealt out blindly; 1 at the mean."""
    every, drawn = requests + old_requests, hits + old_hits
    mean = requests * drawn / every if every else 0.0
    if hits <= mean:
        return 1.0
    if every > _EXACT:
        variance = mean * (1 - drawn / every) * old_requests / (every - 1)
        return upper((hits - 0.5 - mean) / math.sqrt(variance)) if variance > 0 else 1.0
    term = math.exp(_choose(requests, hits) + _choose(old_requests, old_hits) - _choose(every, drawn))
    # Above the mean each term is smaller than the one before.
    ratios = (
        (requests - count) * (drawn - count) / ((count + 1) * (old_requests - drawn + count + 1))
        for count in range(hits, min(requests, drawn))
    )
    return _sum(term, ratios)


def exceeds_half(hits: int, requests: int) -> float:
    """The chance of that many hits or more, were every second request one (a sum of two alike sides is enough)."""
    if 2 * hits <= requests:
        return 1.0
    if requests > _EXACT:
        return upper((2 * hits - 1 - requests) / math.sqrt(requests))
    term = math.exp(_choose(requests, hits) - requests * math.log(2))
    return _sum(term, ((requests - count) / (count + 1) for count in range(hits, requests)))


def _sum(term: float, ratios: Iterable[float]) -> float:
    total = term
    for ratio in ratios:
        term *= ratio
        total += term
        if term < total * 1e-12:
            break
    return min(total, 1.0)


def _choose(every: int, some: int) -> float:
    return math.lgamma(every + 1) - math.lgamma(some + 1) - math.lgamma(every - some + 1)


def upper(deviations: float) -> float:
    """The chance of a normal value that many standard deviations above the mean, or further."""
    return 0.5 * math.erfc(deviations / math.sqrt(2))


def _count(value: float) -> int:
    return int(value) if math.isfinite(value) and value > 0 else 0
