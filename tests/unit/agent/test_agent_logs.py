"""The engine may write a container's two streams to its log in another order than that of their moments."""

from hypothesis import given
from hypothesis import strategies as st

from slipway.agent.logs import _NEIGHBOURS, Entry, _in_order


@given(st.lists(st.integers(0, 50), max_size=300), st.integers(0, _NEIGHBOURS))
def test_lines_come_by_moment_and_those_of_one_moment_as_they_were_written(moments: list[int], reach: int) -> None:
    lines = [Entry(f"{at:04}", "web", "stdout", str(number)) for number, at in enumerate(sorted(moments))]
    mixed = [line for start in range(0, len(lines), reach + 1) for line in reversed(lines[start : start + reach + 1])]
    written = [line._replace(text=str(number)) for number, line in enumerate(mixed)]
    assert list(_in_order(iter(written))) == sorted(written, key=lambda line: line.at)
