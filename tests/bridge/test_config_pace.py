"""How questions to nodes are paced, and who gets an answer."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import Unavailable
from firmware_bridge.foundation.answers import Answers
from firmware_bridge.foundation.config_client import RoundTrips


def test_an_unknown_node_is_asked_again_after_a_quarter_of_a_second_or_so() -> None:
    assert 0.25 <= RoundTrips().first_wait(0x0105) <= 0.3


def test_the_wait_follows_the_round_trip_within_bounds() -> None:
    trips = RoundTrips()
    for _ in range(20):
        trips.record(1, 0.02)
        trips.record(2, 0.3)
        trips.record(3, 3.0)
    assert trips.first_wait(1) == 0.15
    assert 0.3 < trips.first_wait(2) < 0.56
    assert trips.first_wait(3) == 0.56


def test_a_spread_of_round_trips_lengthens_the_wait() -> None:
    steady, spread = RoundTrips(), RoundTrips()
    for i in range(20):
        steady.record(1, 0.15)
        spread.record(1, 0.05 + 0.2 * (i % 2))
    assert spread.first_wait(1) > steady.first_wait(1)


async def test_everybody_who_waits_gets_a_statement() -> None:
    answers = Answers()
    with answers.expect(5, 0x8028) as one, answers.expect(5, 0x8028) as two:
        assert answers.offer_all(5, 0x8028, b"x")
        assert await one.get() == await two.get() == b"x"
    assert not answers.offer_all(5, 0x8028, b"x")


async def test_answers_to_requests_are_dealt_in_turn() -> None:
    answers = Answers()
    with answers.expect(5, 0x8204) as one, answers.expect(5, 0x8204) as two:
        assert answers.offer_first(5, 0x8204, b"1")
        assert answers.offer_first(5, 0x8204, b"2")
        assert (await one.get(), await two.get()) == (b"1", b"2")
        assert not answers.offer_first(6, 0x8204, b"3")


async def test_a_flood_of_answers_keeps_the_latest() -> None:
    answers = Answers()
    with answers.expect(5, 1) as inbox:
        for number in range(100):
            answers.offer_all(5, 1, bytes((number,)))
        assert (await inbox.get())[0] == 92


async def test_who_waits_hears_that_the_link_is_gone() -> None:
    answers = Answers()
    with answers.expect(5, 1) as inbox:
        waiting = asyncio.ensure_future(inbox.get())
        await asyncio.sleep(0)
        answers.fail(Unavailable("gone"))
        with pytest.raises(Unavailable):
            await waiting
