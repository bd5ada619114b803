"""What a cost model sees of a run: the same for the same run, and finite for any."""

from __future__ import annotations

from math import exp, inf, isfinite, nan

from hypothesis import given
from hypothesis import strategies as st

from common.kinds.kind import Cost
from common.models import task_cost

HINT = Cost(0.2)


def test_a_row_tells_kinds_words_and_sizes_apart() -> None:
    rows = {
        task_cost.encode("pack", {"method": "zlib"}, {"data": 1000}, HINT).tobytes(),
        task_cost.encode("pack", {"method": "lzma"}, {"data": 1000}, HINT).tobytes(),
        task_cost.encode("pack", {"method": "zlib"}, {"data": 2000}, HINT).tobytes(),
        task_cost.encode("scan", {"method": "zlib"}, {"data": 1000}, HINT).tobytes(),
    }
    assert len(rows) == 4


def test_the_order_of_names_does_not_matter() -> None:
    one = task_cost.encode("pack", {"a": 1, "b": 2}, {"x": 3, "y": 4}, HINT)
    assert one == task_cost.encode("pack", {"b": 2, "a": 1}, {"y": 4, "x": 3}, HINT)


@given(
    st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), st.floats() | st.integers() | st.text(max_size=40) | st.none()),
    st.dictionaries(st.text(max_size=5), st.integers(0, 1 << 62)),
)
def test_any_run_gives_a_finite_row(kind: str, given: dict[str, object], sizes: dict[str, int]) -> None:
    row = task_cost.encode(kind, given, sizes, HINT)
    assert len(row) == task_cost.INPUTS
    assert all(map(isfinite, row))


def test_a_correction_is_bounded_and_nonsense_none() -> None:
    assert task_cost.decode(0.5) == exp(0.5)
    assert task_cost.decode(1e9) == exp(task_cost.LIMIT)
    assert task_cost.decode(nan) == task_cost.decode(inf) == 1.0
