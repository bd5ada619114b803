"""When the signal of a link counts as fallen."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from common.policy.foresight import SEEN_FALL_DB
from edge_agent.infer.falls import Falls
from edge_agent.observe.links import LinkBook
from firmware_bridge.link import NeighbourCount, NeighbourReport

KEY = (2, 3)


def told(signals: Iterable[int | None], probes: int = 10, at_once: int = 1) -> Falls:
    """What is seen of a link whose windows came with these signals, `at_once` of them between two looks."""
    links, falls = LinkBook(), Falls()
    for at, rssi in enumerate(signals):
        heard = 0 if rssi is None else probes
        row = NeighbourCount(KEY[0], heard, probes, 2, rssi)
        links.report(NeighbourReport(float(probes * at), KEY[1], (row,)), 0.5)
        if at % at_once == at_once - 1:
            falls.follow(links)
    falls.follow(links)
    return falls


def seen(signals: Iterable[int | None], probes: int = 10) -> bool:
    return told(signals, probes).falling_db.get(KEY, 0.0) >= SEEN_FALL_DB


def test_a_fall_of_three_decibels_is_seen_in_two_windows_of_ten_probes() -> None:
    assert not seen([-80] * 12 + [-83])
    assert seen([-80] * 12 + [-83, -83])


def test_one_window_of_thirty_probes_tells_as_much() -> None:
    assert seen([-80] * 4 + [-83], probes=30)
    assert not seen([-80] * 4 + [-81], probes=30)


def test_a_slow_decay_is_not_taken_for_the_usual() -> None:
    # A decibel every thirty seconds: the last eight windows alone fall by less than three.
    assert seen([-80] * 20 + [-80 - at // 3 for at in range(12)])


def test_a_fall_is_usual_after_some_minutes() -> None:
    assert seen([-80] * 20 + [-84] * 6)
    assert not seen([-80] * 20 + [-84] * 60)


def test_a_rise_is_no_fall_and_ends_one() -> None:
    assert not seen([-80] * 12 + [-76] * 4)
    assert not seen([-80] * 12 + [-84, -84, -80, -80])


def test_a_link_that_was_just_met_has_not_fallen() -> None:
    assert not told([-80, -95]).falling_db
    assert not told([-95]).falling_db


def test_windows_without_a_signal_strength_say_nothing() -> None:
    assert not told([None] * 20).falling_db
    assert seen([-80] * 12 + [None, -84, -84])
    assert not told([-80] * 12 + [-84, None]).falling_db


def test_windows_of_few_probes_are_remembered_too() -> None:
    assert seen([-80] * 60 + [-86] * 4, probes=2)


@pytest.mark.parametrize("at_once", [2, 3, 5])
def test_several_windows_between_two_looks_are_all_taken_in(at_once: int) -> None:
    signals = [-80] * 15 + [-83] * 5
    assert told(signals, at_once=at_once).falling_db == told(signals).falling_db


def test_chance_is_rarely_taken_for_a_fall() -> None:
    random = Random(1)
    # Of one end; the policy wants the mean of both to be so deep.
    signals = [round(random.gauss(-80.0, 3.0 / 10**0.5)) for _ in range(300)]
    links, falls = LinkBook(), Falls()
    for at, rssi in enumerate(signals):
        row = NeighbourCount(KEY[0], 10, 10, 2, rssi)
        links.report(NeighbourReport(10.0 * at, KEY[1], (row,)), 0.5)
        falls.follow(links)
        assert falls.falling_db.get(KEY, 0.0) < 1.5 * SEEN_FALL_DB


def test_a_fall_that_one_end_reads_while_the_other_is_silent_is_that_ends_alone() -> None:
    links, falls = LinkBook(), Falls()
    for at, rssi in enumerate([-80] * 12 + [-84] * 2):
        ends = [KEY, KEY[::-1]] if at < 12 else [KEY]
        for transmitter, receiver in ends:
            row = NeighbourCount(transmitter, 10, 10, 2, rssi)
            links.report(NeighbourReport(10.0 * at, receiver, (row,)), 0.5)
        falls.follow(links)
    assert falls.alone(links) == [KEY]
    links.report(NeighbourReport(140.0, KEY[0], (NeighbourCount(KEY[1], 10, 10, 2, -80),)), 0.5)
    falls.follow(links)
    assert falls.alone(links) == []
