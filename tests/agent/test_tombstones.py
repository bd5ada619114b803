"""Tombstones: ranges that add up however they are joined, cut and told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.share.tombstones import MIXED, Cause, Tombstone, join


def stone(first: int, last: int, rows: int = 0, kind: str = "links", cause: Cause = Cause.FULL) -> Tombstone:
    return Tombstone(first, last, kind, rows, cause, 1.0)


def test_neighbours_of_one_cause_become_one() -> None:
    joined = join([stone(3, 3, 5), stone(1, 2, 4), stone(4, 4, 1, kind="host")])
    assert joined == [stone(1, 4, 10, kind=MIXED)]


def test_a_gap_or_another_cause_keeps_them_apart() -> None:
    apart = [stone(1, 1), stone(3, 3), stone(4, 4, cause=Cause.CORRUPT)]
    assert join(apart) == apart


@given(length=st.integers(1, 50), rows=st.integers(0, 500), data=st.data())
def test_told_rows_add_up_wherever_it_is_cut(length: int, rows: int, data: st.DataObject) -> None:
    whole = stone(10, 9 + length, rows)
    cut = data.draw(st.integers(9, 10 + length))
    rest = whole.after(cut)
    told = sum(whole.body_of(s).rows for s in range(10, min(cut, whole.last) + 1))
    assert told + (rest.rows if rest else 0) == rows
    if rest is not None:
        numbers = range(rest.first, rest.last + 1)
        assert [rest.body_of(s).rows for s in numbers] == [whole.body_of(s).rows for s in numbers]
