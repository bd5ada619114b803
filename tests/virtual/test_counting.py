"""What a simulated receiver makes of probes heard and missed."""

from __future__ import annotations

from firmware_bridge.access.link_monitor import EXPECTED_MAX
from firmware_bridge.virtual.counting import (
    FORGOTTEN_AFTER,
    MAX_NEIGHBOURS,
    NeighbourCounts,
    misses_needed,
)


def after(heard: int, transmitter: int = 5) -> NeighbourCounts:
    counts = NeighbourCounts()
    for _ in range(heard):
        counts.heard(transmitter)
    return counts


def test_heard_and_expected_are_reported_once() -> None:
    counts = after(3)
    counts.missed(5)
    (entry,) = counts.take_report(8, transmissions=2)
    assert (entry.transmitter, entry.heard, entry.expected, entry.transmissions) == (5, 3, 4, 2)
    assert counts.take_report(8, transmissions=2) == []


def test_those_that_wait_longest_are_reported_first() -> None:
    counts = NeighbourCounts()
    for _ in range(2):
        for transmitter in (5, 6, 7):
            counts.heard(transmitter)
        counts.take_report(2, 1)
    assert [entry.transmitter for entry in counts.take_report(8, 1)] == [6]


def test_a_window_never_outgrows_its_field() -> None:
    (entry,) = after(10 * EXPECTED_MAX).take_report(8, 1)
    assert entry.heard == entry.expected <= EXPECTED_MAX


def test_the_second_miss_of_a_good_neighbour_is_a_loss_told_once() -> None:
    counts = after(50)
    assert [counts.missed(5) for _ in range(6)] == [False, True, False, False, False, False]
    assert counts.silence(5) is not None


def test_hearing_it_again_ends_the_loss_and_arms_the_next() -> None:
    counts = after(200)
    counts.missed(5)
    counts.missed(5)
    counts.heard(5)
    assert counts.silence(5) is None
    for _ in range(300):
        counts.heard(5)
    assert [counts.missed(5), counts.missed(5)] == [False, True]


def test_a_poor_or_new_neighbour_is_not_missed() -> None:
    poor = NeighbourCounts()
    for _ in range(60):
        poor.heard(5)
        poor.missed(5)
    assert not any(poor.missed(5) for _ in range(10))
    new = after(2)
    assert not any(new.missed(5) for _ in range(10))


def test_the_less_is_usually_heard_the_more_misses_are_needed() -> None:
    assert [misses_needed(share) for share in (1.0, 0.98, 0.9, 0.8, 0.7)] == [2, 2, 3, 5, 6]


def test_the_long_silent_are_forgotten() -> None:
    counts = after(9)
    for _ in range(FORGOTTEN_AFTER):
        counts.missed(5)
    assert len(counts) == 0


def test_the_table_is_bounded() -> None:
    counts = NeighbourCounts()
    for transmitter in range(1, 500):
        counts.heard(transmitter)
    assert len(counts) == MAX_NEIGHBOURS
