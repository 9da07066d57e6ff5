"""An equally good canary is promoted, a worse one is stopped, and no counter the edge may show breaks the judgement."""

from __future__ import annotations

import math
import random
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import pytest
from thorough import THOROUGH

from slipway.agent.traffic.canary_analysis import ALPHA, TrafficAnalysis, alphas
from slipway.agent.traffic.canary_statistics import EMPTY, Window, exceeds, exceeds_half
from slipway.contract.deployment import Canary, Thresholds, WatchLimits

STEPS = (5, 25, 50, 100)
SAMPLE = 500
RUNS, SHARE = (400, 0.99) if THOROUGH else (100, 0.96)  # of few runs one more may go wrong by chance
# Seconds, in steps of about 1.5; the edge's own are finer, which only tells more.
BOUNDS = (0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1, 1.5, 2, 3, 4.5, 7, 10,
          15, 30)  # fmt: skip
EDGES = (*BOUNDS, math.inf)
THRESHOLDS = Thresholds(minimum=SAMPLE)


class Behaviour(NamedTuple):
    """Of one generation: share of errors, and latencies as a mixture of (weight, median seconds, sigma)."""

    errors: float
    modes: tuple[tuple[float, float, float], ...]


@cache
def probabilities(modes: tuple[tuple[float, float, float], ...]) -> list[float]:
    """Of each bucket of the edge."""
    below = [
        sum(
            weight * 0.5 * math.erfc(-math.log(bound / median) / sigma / math.sqrt(2))
            for weight, median, sigma in modes
        )
        for bound in BOUNDS
    ]
    return [high - low for low, high in zip((0.0, *below), (*below, 1.0), strict=True)]


LOGNORMAL = ((1.0, 0.1, 0.8),)  # p95 0.37 s
HEAVY = ((1.0, 0.1, 1.2),)  # p95 0.72 s
BIMODAL = ((0.85, 0.03, 0.4), (0.15, 0.6, 0.3))  # a cache that misses now and then: p95 in the slow mode
CLIFF = ((0.95, 0.03, 0.4), (0.05, 0.9, 0.3))  # p95 between the modes: the quantile itself jumps


def slowed(
    modes: tuple[tuple[float, float, float], ...], *, all_of_it: bool = True
) -> tuple[tuple[float, float, float], ...]:
    """Half as slow again: every request, or those of the last mode only."""
    return tuple(
        (weight, median * (1.5 if all_of_it or index == len(modes) - 1 else 1), sigma)
        for index, (weight, median, sigma) in enumerate(modes)
    )


def binomial(chance: random.Random, count: int, share: float, normal_from: float = 100) -> int:
    """A draw: by its normal limit where that is as good, else by waiting times between hits."""
    if share > 0.5:
        return count - binomial(chance, count, 1 - share, normal_from)
    if count * share * (1 - share) > normal_from:
        drawn = round(chance.gauss(count * share, math.sqrt(count * share * (1 - share))))
        return min(max(drawn, 0), count)
    if count * share < 1e-9:
        return 0
    hits, seen, scale = 0, 0, 1 / math.log1p(-share)
    while True:
        seen += int(math.log(1 - chance.random()) * scale) + 1
        if seen > count:
            return hits
        hits += 1


def traffic(chance: random.Random, requests: int, behaviour: Behaviour) -> Window:
    counts, left, rest = [], requests, 1.0
    for share in probabilities(behaviour.modes):
        counts.append(binomial(chance, left, min(share / rest, 1.0), 9) if left and share > 0 else 0)
        left, rest = left - counts[-1], max(rest - share, 1e-12)
    errors = binomial(chance, requests, behaviour.errors)
    return Window(requests, errors, tuple(zip(EDGES, accumulate(counts), strict=True)))


class Run(NamedTuple):
    """A whole canary: how it ended, in which step, after how many requests to the canary in that step."""

    state: str
    step: int
    requests: int
    decisions: int


def run(chance: random.Random, old: Behaviour, new: Behaviour, looks: tuple[int, ...] = (30, 200)) -> Run:
    """Four steps, each with just the sample it needs, looked at early, then decided; patience for four times that."""
    baseline = EMPTY
    for index, (percent, alpha) in enumerate(zip(STEPS, alphas(len(STEPS)), strict=True)):
        judge = TrafficAnalysis(THRESHOLDS, alpha)
        ours = theirs = EMPTY
        decisions = 0
        for at in (*looks, SAMPLE, 2 * SAMPLE, 4 * SAMPLE):
            more = at - ours.requests
            ours = ours.plus(traffic(chance, more, new))
            others = traffic(chance, more * (100 - percent) // percent, old)
            theirs = theirs.plus(others)
            decisions += at >= SAMPLE
            verdict = judge.look(ours, theirs, baseline, ended=at >= SAMPLE, last=at == 4 * SAMPLE)
            if verdict.state == "bad":
                return Run("bad", index, at, decisions)
            if verdict.state == "good":
                break
        else:
            return Run("wait", index, ours.requests, decisions)
        baseline = baseline.plus(theirs)
    return Run("good", len(STEPS), 0, 0)


def runs(seed: str, old: Behaviour, new: Behaviour, count: int = RUNS) -> list[Run]:
    chance = random.Random(seed)  # noqa: S311 - a simulation
    return [run(chance, old, new) for _ in range(count)]


def share(of: list[Run], state: str) -> float:
    return sum(each.state == state for each in of) / len(of)


@pytest.mark.parametrize("errors", [0.0, 0.001, 0.01, 0.05])
def test_equally_good_canary_is_promoted_in_99_of_100_runs(errors: float) -> None:
    same = Behaviour(errors, LOGNORMAL)
    assert share(runs(f"equal {errors}", same, same), "good") >= SHARE


@pytest.mark.parametrize("modes", [HEAVY, BIMODAL, CLIFF], ids=["heavy tail", "bimodal", "cliff"])
def test_shape_of_latencies_stops_no_equally_good_canary(modes: tuple[tuple[float, float, float], ...]) -> None:
    same = Behaviour(0.001, modes)
    assert share(runs(f"shape {modes}", same, same), "good") >= SHARE


@pytest.mark.parametrize("errors", [0.0, 0.001, 0.01, 0.02, 0.05])
def test_canary_5_points_worse_is_stopped_in_its_first_step(errors: float) -> None:
    ended = runs(f"errors {errors}", Behaviour(errors, LOGNORMAL), Behaviour(errors + 0.05, LOGNORMAL))
    assert share(ended, "bad") >= SHARE
    assert sum(each.step == 0 for each in ended) / RUNS >= SHARE
    if errors <= 0.02:  # above, 500 requests cannot tell with both mistakes below 1 in 100: the step takes more
        assert sum(each.step == 0 and each.requests <= SAMPLE for each in ended) / RUNS >= SHARE


def test_canary_that_answers_500s_only_is_given_up_within_30_requests() -> None:
    ended = runs("all 500s", Behaviour(0.01, LOGNORMAL), Behaviour(1.0, LOGNORMAL))
    assert all(each == Run("bad", 0, 30, 0) for each in ended)


@pytest.mark.parametrize(
    ("modes", "slow"),
    [(LOGNORMAL, slowed(LOGNORMAL)), (HEAVY, slowed(HEAVY)), (BIMODAL, slowed(BIMODAL, all_of_it=False))],
    ids=["lognormal", "heavy tail", "only the slow mode"],
)
def test_canary_with_p95_half_as_slow_again_is_stopped(
    modes: tuple[tuple[float, float, float], ...], slow: tuple[tuple[float, float, float], ...]
) -> None:
    assert share(runs(f"slow {modes}", Behaviour(0.001, modes), Behaviour(0.001, slow)), "bad") >= SHARE


def window(requests: int, errors: int = 0, slow: int = 0) -> Window:
    """Requests of 150 to 200 ms, and the slow ones of 1 to 1.5 s."""
    return Window(
        requests,
        errors,
        ((0.15, 0), (0.2, requests - slow), (1.0, requests - slow), (1.5, requests), (math.inf, requests)),
    )


def decide(new: Window, old: Window, baseline: Window = EMPTY, minimum: int = 100) -> str:
    return TrafficAnalysis(Thresholds(minimum)).look(new, old, baseline, ended=True).state


def test_budget_of_all_looks_is_never_overspent() -> None:
    for steps in range(1, 12):
        assert sum(alphas(steps)) == pytest.approx(ALPHA)
        assert alphas(steps) == sorted(alphas(steps), reverse=True)
    assert alphas(0) == []
    judge = TrafficAnalysis(Thresholds(100), 0.004)
    early = [judge._spend(requests, decides=False, last=False) for requests in range(5000)]
    decisions = [judge._spend(requests, decides=True, last=requests == 400) for requests in (100, 200, 400)]
    assert sum(early) <= 0.0004
    assert sum(decisions) == pytest.approx(0.0036)
    assert sum(spent > 0 for spent in early) < 30
    assert judge._spend(800, decides=True, last=True) == 0


def test_patience_that_ends_early_spends_what_was_kept_for_later() -> None:
    judge = TrafficAnalysis(Thresholds(100), 0.004)
    assert judge._spend(50, decides=True, last=True) == pytest.approx(0.0036)


def test_too_little_traffic_on_either_side_is_never_good() -> None:
    for new, old in ((99, 5000), (5000, 99), (0, 0), (0, 5000), (5000, 0), (1, 1)):
        for last in (False, True):
            verdict = TrafficAnalysis(Thresholds(100)).look(window(new), window(old), ended=True, last=last)
            assert verdict.state == "wait", (new, old)
            assert f"{new} requests against {old}" in verdict.reason


def test_running_step_is_not_called_good() -> None:
    assert TrafficAnalysis(Thresholds(100)).look(window(5000), window(5000)).state == "wait"
    assert decide(window(5000), window(5000)) == "good"


def test_minimum_of_one_is_enough_when_the_user_says_so() -> None:
    assert decide(window(1), window(1), minimum=1) == "good"
    assert decide(window(0), window(0), minimum=0) == "wait"


def test_baseline_is_the_comparison_where_the_old_generation_has_no_traffic() -> None:
    assert decide(window(1000, 10), EMPTY, window(5000, 50)) == "good"
    assert decide(window(1000, 100), EMPTY, window(5000, 50)) == "bad"
    assert decide(window(1000, slow=200), EMPTY, window(5000, slow=50)) == "bad"
    verdict = TrafficAnalysis(Thresholds(100)).look(window(1000, 100), window(3), window(5000, 50), ended=True)
    assert "1000 requests against 5003 (some from earlier)" in verdict.reason


def test_baseline_does_not_dilute_a_comparison_over_the_same_window() -> None:
    """Both sides suffer together (a database is down): that is not the canary's fault, whatever was before."""
    assert decide(window(1000, 300), window(1000, 300), window(10**6)) == "good"
    assert decide(window(1000, slow=400), window(1000, slow=400), window(10**6)) == "good"


def test_failing_most_requests_is_bad_also_with_nothing_to_compare_with() -> None:
    judge = TrafficAnalysis(THRESHOLDS, alphas(4)[0])
    assert judge.look(window(40, 40), EMPTY).state == "bad"
    assert TrafficAnalysis(THRESHOLDS, alphas(4)[0]).look(window(40, 22), EMPTY).state == "wait"


def test_canary_that_mends_a_broken_release_is_good() -> None:
    assert decide(window(1000), window(1000, 1000)) == "good"
    assert decide(window(1000, 500), window(1000, 1000)) == "good"
    assert decide(window(1000), window(1000, slow=900)) == "good"


def test_difference_that_is_certain_but_allowed_stops_nobody() -> None:
    assert decide(window(10**6, 5000), window(10**6)) == "good"  # half a point, a whole one is allowed
    assert decide(window(10**6, 108_000), window(10**6, 100_000)) == "good"  # 8 % more, 10 % are allowed
    assert decide(window(10**6, 112_000), window(10**6, 100_000)) == "bad"
    assert decide(window(10**6, 430_000), window(10**6, 400_000)) == "good"  # 3 points, but less than a tenth
    assert decide(window(10**6, 450_000), window(10**6, 400_000)) == "bad"


def test_difference_in_latency_that_is_certain_but_allowed_stops_nobody() -> None:
    def around(seconds: float) -> Window:
        return Window(10**6, 0, ((seconds - 0.01, 0), (seconds, 10**6), (9.0, 10**6), (math.inf, 10**6)))

    assert decide(around(1.1), around(1.0)) == "good"
    assert decide(around(1.19), around(1.0)) == "good"
    assert decide(around(1.3), around(1.0)) == "bad"


def test_canary_exactly_at_the_limit_is_stopped_in_1_of_10_decisions() -> None:
    chance = random.Random("limit")  # noqa: S311 - as above
    states = [
        decide(window(20_000, binomial(chance, 20_000, 0.02)), window(20_000, binomial(chance, 20_000, 0.01)))
        for _ in range(1000)
    ]
    assert 0.05 <= states.count("bad") / 1000 <= 0.13
    assert states.count("good") / 1000 >= 0.4


def test_doubt_waits_for_twice_the_requests_and_is_for_the_canary_in_the_end() -> None:
    judge = TrafficAnalysis(Thresholds(100))
    states = [
        judge.look(window(requests, requests * 3 // 100), window(400, 4), ended=True).state
        for requests in (100, 150, 200, 399, 400)
    ]
    assert states == ["wait", "wait", "wait", "wait", "good"]
    judge = TrafficAnalysis(Thresholds(100))
    assert judge.look(window(100, 3), window(1900, 19), ended=True).state == "wait"
    assert judge.look(window(150, 3), window(2800, 28), ended=True).state == "good"  # the doubt is gone
    assert (
        TrafficAnalysis(Thresholds(100)).look(window(100, 3), window(1900, 19), last=True).state == "good"
    )  # so is the patience


def test_reason_names_both_sides_their_figures_and_the_chance() -> None:
    verdict = TrafficAnalysis(Thresholds(100)).look(window(1000, 100), window(9000, 90), ended=True)
    assert verdict.reason.startswith("worse than before: errors 10.00 % against 1.00 %, at most 2.00 % (p ")
    assert verdict.reason.endswith("1000 requests against 9000")
    assert verdict.figures["new_requests"] == 1000
    assert verdict.figures["old_requests"] == 9000
    assert verdict.figures["new_error_rate"] == 0.1
    assert verdict.figures["new_p95"] == pytest.approx(0.1975)
    assert [each.measure for each in verdict.comparisons] == ["errors", "p95", "p50"]
    assert verdict.comparisons[0].p_alike < 1e-20


def test_median_that_doubles_below_an_unmoved_p95_is_bad() -> None:
    bounds = (0.1, 0.2, 0.4, 1.0, 2.0, math.inf)
    old = Window(1000, 0, tuple(zip(bounds, (0, 900, 900, 900, 1000, 1000), strict=True)))
    new = Window(1000, 0, tuple(zip(bounds, (0, 0, 900, 900, 1000, 1000), strict=True)))
    verdict = TrafficAnalysis(Thresholds(100)).look(new, old, ended=True)
    assert verdict.state == "bad"
    assert "p50 " in verdict.reason
    assert "p95 " not in verdict.reason


def test_latency_floor_forgives_what_nobody_feels() -> None:
    bounds = (0.005, 0.01, 0.02, 0.045, math.inf)
    old = Window(10**5, 0, tuple(zip(bounds, (0, 10**5, 10**5, 10**5, 10**5), strict=True)))
    new = Window(10**5, 0, tuple(zip(bounds, (0, 0, 10**5, 10**5, 10**5), strict=True)))
    assert decide(new, old) == "good"
    strict = TrafficAnalysis(Thresholds(100, latency_floor=0)).look(new, old, ended=True)
    assert strict.state == "bad"


def test_slowness_beyond_the_last_bound_is_judged_by_its_share() -> None:
    def beyond(requests: int, slow: int) -> Window:
        return Window(requests, 0, ((1.0, 0), (2.0, requests - slow), (math.inf, requests)))

    assert decide(beyond(10**4, 2000), beyond(10**4, 2000)) == "good"
    assert decide(beyond(10**4, 2200), beyond(10**4, 2000)) == "good"
    assert decide(beyond(10**4, 4000), beyond(10**4, 2000)) == "bad"
    assert decide(beyond(10**4, 10**4), beyond(10**4, 10**4)) == "good"
    assert decide(beyond(10**4, 10**4), beyond(10**4, 0)) == "bad"


def test_histogram_without_bounds_leaves_errors_to_judge() -> None:
    for buckets in ((), ((math.inf, 1000),), ((0.1, 0), (math.inf, 0))):
        assert decide(Window(1000, 0, buckets), Window(1000, 0, buckets)) == "good"
        assert decide(Window(1000, 90, buckets), Window(1000, 0, buckets)) == "bad"
        assert decide(window(1000), Window(1000, 0, buckets)) == "good"
        assert decide(Window(1000, 0, buckets), window(1000)) == "good"


def test_quantile_is_that_of_prometheus() -> None:
    """Expectations by the rules in the documentation of histogram_quantile."""
    some = Window(100, 0, ((0.1, 50), (0.2, 90), (0.4, 98), (math.inf, 100)))
    assert some.quantile(0.5) == pytest.approx(0.1)
    assert some.quantile(0.25) == pytest.approx(0.05)
    assert some.quantile(0.95) == pytest.approx(0.2 + 0.2 * 5 / 8)
    assert some.quantile(0.99) == 0.4
    assert EMPTY.quantile(0.5) is None
    assert Window(5, 0, ((math.inf, 5),)).quantile(0.5) is None
    assert Window(0, 0, ((0.1, 0), (math.inf, 0))).quantile(0.5) is None


def test_slower_is_the_other_face_of_the_quantile() -> None:
    some = Window(100, 0, ((0.1, 50), (0.2, 90), (0.4, 98), (math.inf, 100)))
    for share in (0.1, 0.5, 0.7, 0.9, 0.95):
        seconds = some.quantile(share)
        assert seconds is not None
        assert some.slower(seconds) == pytest.approx(100 * (1 - share))
    assert some.slower(0) == some.slower(-1) == 100
    assert some.slower(9) == 2


def test_window_between_samples_is_their_difference() -> None:
    before, after = window(100, 3, slow=2), window(250, 10, slow=9)
    assert Window.between(before, after) == window(150, 7, slow=7)
    assert Window.between(after, after) == window(0)
    assert Window.between(EMPTY, after) == after


@pytest.mark.parametrize(
    "after",
    [
        window(50, 1),
        window(100, 2),  # errors fell
        window(100, 3, slow=30),  # a bucket fell
        Window(500, 9, ((0.1, 400), (math.inf, 500))),  # other bounds: another configuration
        EMPTY,
    ],
    ids=["requests", "errors", "bucket", "bounds", "gone"],
)
def test_restarted_edge_counts_from_its_start(after: Window) -> None:
    assert Window.between(window(100, 3), after) == after


def test_restart_shows_also_without_a_histogram() -> None:
    assert Window.between(Window(100, 0, ()), Window(50, 0, ())) == Window(50, 0, ())
    assert Window.between(Window(100, 0, ()), Window(150, 0, ())) == Window(50, 0, ())


def test_sum_of_windows_keeps_the_bounds_that_both_have() -> None:
    assert window(100, 1, slow=5).plus(window(50, 2, slow=1)) == window(150, 3, slow=6)
    assert EMPTY.plus(window(5)) == window(5).plus(EMPTY) == window(5)
    one = Window(10, 0, ((0.1, 4), (0.2, 7), (math.inf, 10)))
    other = Window(20, 0, ((0.2, 9), (0.3, 11), (math.inf, 20)))
    assert one.plus(other) == Window(30, 0, ((0.2, 16), (math.inf, 30)))


def test_nonsense_of_an_edge_is_put_right() -> None:
    buckets = [(0.3, 40.0), (math.nan, 7.0), (0.1, -5.0), (0.2, 50.0), (math.inf, math.nan)]
    assert Window.of((-3, 5, buckets)) == Window(0, 0, ((0.1, 0), (0.2, 50), (0.3, 50), (math.inf, 50)))
    assert Window.of((10, 99, ())) == Window(10, 10, ())
    assert Window.of((math.nan, math.inf, ())) == Window(0, 0, ())


def test_huge_counts_are_judged_in_no_time_and_alike_on_both_sides_of_the_shortcut() -> None:
    for requests in (10**7, 4 * 10**7, 10**8, 10**12, 2**53):
        for old, new, state in ((0.01, 0.01, "good"), (0.05, 0.0501, "good"), (0.01, 0.021, "bad"), (0, 0.011, "bad")):
            sides = (window(requests, int(requests * new)), window(requests, int(requests * old)))
            assert decide(*sides) == state, (requests, old, new)


def test_fisher_is_exact() -> None:
    for requests, old_requests in ((5, 7), (20, 380), (40, 3), (1, 1)):
        every = requests + old_requests
        for hits in range(requests + 1):
            for old_hits in range(0, old_requests + 1, max(1, old_requests // 9)):
                drawn = hits + old_hits
                if hits <= requests * drawn / every:
                    assert exceeds(hits, requests, old_hits, old_requests) == 1
                    continue
                tail = sum(
                    math.comb(requests, k) * math.comb(old_requests, drawn - k)
                    for k in range(hits, min(requests, drawn) + 1)
                )
                expected = tail / math.comb(every, drawn)
                assert exceeds(hits, requests, old_hits, old_requests) == pytest.approx(expected, rel=1e-9)


def test_half_is_exact() -> None:
    for requests in (1, 2, 30, 61):
        for hits in range(requests + 1):
            tail = sum(math.comb(requests, k) for k in range(hits, requests + 1)) / 2**requests
            expected = 1.0 if 2 * hits <= requests else tail
            assert exceeds_half(hits, requests) == pytest.approx(expected, rel=1e-9)


def any_window(chance: random.Random) -> Window:
    requests = chance.choice((0, 1, 5, 29, 30, 100, 101, 500, 3000, 10**6))
    counts = sorted(chance.randint(0, requests) for _ in range(4))
    bounds = (0.05, 0.2, 0.7, 2.0, math.inf)
    return Window(
        requests, chance.choice((0, chance.randint(0, requests))), tuple(zip(bounds, (*counts, requests), strict=True))
    )


RANK = {"good": 0, "wait": 1, "bad": 2}


def test_worse_counters_never_look_better() -> None:
    """More errors or slower requests, all else alike, move the verdict from good over wait to bad only."""
    chance = random.Random("worse")  # noqa: S311 - as above
    seen = set()
    for _ in range(1000 if THOROUGH else 200):
        new, old, baseline = any_window(chance), any_window(chance), chance.choice((EMPTY, any_window(chance)))
        if chance.random() < 0.5:
            errors = min(new.requests, round(old.error_rate * new.requests))
            new = new._replace(errors=errors)
        thresholds = Thresholds(
            chance.choice((1, 100, 500)),
            chance.choice((0, 0.1, 2)),
            chance.choice((0, 0.01, 1)),
            chance.choice((0, 0.2)),
            chance.choice((0, 0.05)),
        )
        ended, last = chance.choice(((False, False), (True, False), (True, True)))
        more = min(new.requests, new.errors + chance.choice((0, 1, 10, 10**5)))
        at = chance.randrange(4)
        taken = chance.choice((0, 1, new.buckets[at][1]))
        slower = tuple(
            (bound, max(0, count - taken) if index <= at else count) for index, (bound, count) in enumerate(new.buckets)
        )
        worse = Window(new.requests, more, slower)
        first = TrafficAnalysis(thresholds).look(new, old, baseline, ended=ended, last=last)
        second = TrafficAnalysis(thresholds).look(worse, old, baseline, ended=ended, last=last)
        assert RANK[second.state] >= RANK[first.state], (new, worse, old, baseline, thresholds, ended, last)
        seen.add((first.state, second.state))
        for each in (*first.comparisons, *second.comparisons):
            assert all(math.isfinite(value) for value in (each.new, each.old, each.limit, each.p_alike, each.p_limit))
            assert 0 <= each.p_alike <= 1
            assert 0 <= each.p_limit <= 1
        assert not any(value is not None and math.isnan(value) for value in first.figures.values())
    assert {("good", "bad"), ("good", "wait"), ("wait", "bad")} <= seen


def test_thresholds_are_read_from_the_document() -> None:
    allowed = {"error_relative": 0.3, "error_floor": 0.02, "latency_relative": 0.4, "latency_floor": 0.1}
    watch = WatchLimits(seconds=60, minimum=50, restarts=2, notify=None, **allowed)
    canary = Canary(steps=(5, 100), pause=1, patience=2, too_little="fail", minimum=50, **allowed)
    assert watch.thresholds == canary.thresholds == Thresholds(50, 0.3, 0.02, 0.4, 0.1)
