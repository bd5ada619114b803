"""Positions of streams, against a plain set of sequences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Corrupt, Rejected
from coordinator.repository.position import MAX_RANGES, Position

SEQUENCES = st.lists(st.integers(1, 40), max_size=60)


def contiguous(stored: set[int]) -> int:
    return next(n for n in range(len(stored) + 1) if n + 1 not in stored)


@given(SEQUENCES)
def test_knows_every_sequence_in_whatever_order_they_come(sequences: list[int]) -> None:
    position, stored = Position(), set[int]()
    for sequence in sequences:
        assert position.take(sequence) == (sequence not in stored)
        stored.add(sequence)
        position = Position.parse(position.contiguous, position.ahead_text(), position.lost)
    assert position.contiguous == contiguous(stored)
    missing = [n for first, last in position.holes() for n in range(first, last + 1)]
    assert missing == [n for n in range(1, max(stored, default=0)) if n not in stored]


@given(SEQUENCES, st.integers(0, 50))
def test_skipping_counts_exactly_what_is_missing(sequences: list[int], oldest: int) -> None:
    position = Position()
    for sequence in sequences:
        position.take(sequence)
    stored = set(sequences)
    missing = set(range(1, oldest)) - stored
    assert position.skip_to(oldest) == position.lost == len(missing)
    assert position.contiguous == contiguous(stored | missing)


def test_refuses_holes_without_end_but_takes_what_fills_them() -> None:
    position = Position()
    for n in range(1, MAX_RANGES + 1):
        position.take(2 * n)
    with pytest.raises(Rejected):
        position.take(10_000)
    assert position.take(3)
    assert position.take(1)
    assert position.contiguous == 4


def test_unreadable_ranges_are_corrupt() -> None:
    for text in ("{", "[1]", '[["a", 2]]', "7"):
        with pytest.raises(Corrupt):
            Position.parse(1, text, 0)
