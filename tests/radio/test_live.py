"""The simulator in pieces: the same as a batch, the same however it is cut, and changeable while it runs."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from common.errors import Rejected
from common.mesh.configuration import Transmit
from common.radio import simulate
from common.radio.live import Delivery, LiveRadio
from common.scenario import Scenario
from tests.radio.networks import chain, flow, grid, pair

ONCE = Transmit(1, 20)


def lively(radio: LiveRadio, step_s: float) -> list[Delivery]:
    """Ten seconds of everything there is, played in steps."""
    nodes = range(1, 26)
    heard: list[Delivery] = []
    for second in range(10):
        for node in nodes:
            radio.send(node, 0xFFFF, 8, ttl=0, at_s=second + node / 40, everyone=True)
            if node % 5 == second % 5:
                radio.send(node, 13, 60, at_s=second + node / 50)
        radio.attenuate(1, 2, float(second))
        radio.configure(3, relay=second % 2 == 0, relay_retransmit=ONCE, ttl=5)
        radio.interfere(7, 20.0, 0.35)
        (radio.fail if second % 2 else radio.restore)(9)
        for step in range(1, round(1 / step_s) + 1):
            heard += radio.advance(second + step * step_s)
    return heard


def test_the_pieces_do_not_matter() -> None:
    site = grid(5, 9, relays=2, period_s=1.0)
    whole, cut, other = (
        lively(LiveRadio(site, seed=seed), step) for seed, step in ((3, 1.0), (3, 0.0125), (4, 1.0))
    )
    assert whole == cut
    assert whole != other
    assert len(whole) > 1000
    assert [one.time_s for one in whole] == sorted(one.time_s for one in whole)


def test_nobody_gets_a_message_twice() -> None:
    heard = lively(LiveRadio(grid(5, 9, relays=1, period_s=1.0, configuration={"message_cache": 2})), 0.1)
    assert max(Counter((one.message, one.node) for one in heard).values()) == 1


@pytest.mark.parametrize("payload", [8, 30])
def test_live_messages_fare_as_those_of_a_batch(payload: int) -> None:
    pairs = [(1, 8), (8, 1), (4, 1)]
    site = chain(8, flows=[flow(a, b, payload_bytes=payload) for a, b in pairs])
    batch = simulate(site, duration_s=1500.0).flows
    radio, sent = LiveRadio(site, seed=5), {}
    for second in range(1500):
        for number, (source, destination) in enumerate(pairs):
            at = second + 0.9 * math.sin(second * (number + 1)) ** 2
            sent[radio.send(source, destination, payload, at_s=at)] = (number, at)
    heard = radio.advance(1510.0)
    for number, found in enumerate(batch):
        mine = [one for one in heard if sent[one.message][0] == number]
        delay = np.mean([one.time_s - sent[one.message][1] for one in mine])
        assert len(mine) / 1500 == pytest.approx(found.pdr, abs=0.02)
        assert np.mean([one.hops for one in mine]) == pytest.approx(found.hops, abs=0.1)
        assert found.one_way_ms is not None
        assert 1000 * delay == pytest.approx(found.one_way_ms.mean, rel=0.05)


def test_a_probe_is_heard_by_the_neighbours_alone_and_says_how_strong_it_was() -> None:
    radio = LiveRadio(chain(4), seed=1)
    number = radio.send(2, 0xFFFF, 8, ttl=0)
    heard = radio.advance(1.0)
    assert {(one.message, one.node, one.hops) for one in heard} == {(number, 1, 1), (number, 3, 1)}
    assert all(one.rssi_dbm == pytest.approx(-60.0, abs=0.01) for one in heard)
    # To one node's address the others listen only if all are asked for.
    radio.send(2, 3, 8, ttl=0)
    assert {one.node for one in radio.advance(2.0)} == {3}
    radio.send(2, 3, 8, ttl=0, everyone=True)
    assert {one.node for one in radio.advance(3.0)} == {1, 3}


def test_groups_are_who_they_are_made_of_now() -> None:
    radio = LiveRadio(chain(4, groups={"0xC000": [1, 4]}), seed=1)
    radio.send(2, 0xC000, 8)
    assert {one.node for one in radio.advance(1.0)} == {1, 4}
    radio.group(0xC000, [3])
    radio.send(2, 0xC000, 60)
    assert {one.node for one in radio.advance(5.0)} == {3}
    radio.send(2, 0xC123, 8)
    radio.send(2, 77, 8)
    assert radio.advance(6.0) == []


def test_what_is_configured_holds_from_then_on() -> None:
    radio = LiveRadio(chain(3), seed=1)

    def reaches() -> bool:
        number = radio.send(1, 3, 8)
        return any(one.message == number for one in radio.advance(radio.now_s + 1.0))

    assert reaches()
    radio.configure(2, relay=False)
    assert not reaches()
    radio.configure(2, relay=True)
    assert reaches()
    radio.fail(2)
    assert not reaches()
    radio.restore(2)
    assert reaches()
    radio.configure(1, ttl=1)
    assert not reaches()
    radio.configure(1, ttl=3, network_transmit=Transmit(8, 10))
    radio.configure(2, relay_retransmit=Transmit(4, 20))
    assert reaches()
    before = radio.totals()["transmissions"]
    radio.send(1, 3, 8, transmit=Transmit(3, 10))
    radio.advance(radio.now_s + 1.0)
    # Three of the source, four of the relay; the destination passes nothing on.
    assert radio.totals()["transmissions"] - before == 3 + 4


def test_links_and_noise_change_while_it_runs() -> None:
    radio = LiveRadio(pair(80.0), seed=1)

    def share() -> float:
        for number in range(200):
            radio.send(1, 2, 8, ttl=0, at_s=radio.now_s + number / 50, transmit=ONCE)
        return len(radio.advance(radio.now_s + 5.0)) / 200

    assert share() > 0.95
    radio.attenuate(1, 2, 15.0)
    assert radio.received_dbm(1, 2) == pytest.approx(-95.0)
    assert 0.2 < share() < 0.9
    radio.attenuate(1, 2, 60.0)
    assert share() == 0.0
    radio.attenuate(1, 2, 0.0)
    radio.interfere(2, 30.0, 5.0)
    assert share() == 0.0
    assert share() > 0.95
    radio.attenuate_all(np.full((2, 2), 60.0))
    assert share() == 0.0
    radio.attenuate_all(np.zeros((2, 2)))
    assert share() > 0.95


def test_a_link_appears_that_was_out_of_range() -> None:
    radio = LiveRadio(pair(130.0), seed=1)
    radio.send(1, 2, 8)
    assert radio.advance(1.0) == []
    radio.attenuate(1, 2, -60.0)
    radio.send(1, 2, 8)
    assert [one.node for one in radio.advance(2.0)] == [2]


def test_tables_grow_when_much_comes_at_once() -> None:
    everyone = list(range(1, 41))
    links = [[a, b, 60.0] for a in everyone for b in everyone if a != b]
    site = chain(40, links=links, nodes=[{"address": a} for a in everyone], groups={"0xC000": everyone})
    radio = LiveRadio(site, seed=2)
    numbers = [radio.send(a, 0xC000, 24, at_s=2.5 * k + 0.02 * a) for k in range(12) for a in everyone]
    heard = radio.advance(300.0)
    assert len(heard) > 0.95 * 39 * len(numbers)
    assert radio.send(1, 2, 8) == len(numbers) + 1
    assert [one.node for one in radio.advance(301.0)] == [2]


def test_failures_of_the_scenario_are_played() -> None:
    site = Scenario.model_validate(
        pair(60.0).model_dump() | {"failures": [[1.0, 2, "down"], [2.0, 2, "up"]]},
    )
    radio = LiveRadio(site, seed=1)
    for second in range(3):
        radio.send(1, 2, 8, at_s=second + 0.5)
    assert [round(one.time_s - 0.5) for one in radio.advance(4.0)] == [0, 2]


def test_absurd_calls_are_refused_and_change_nothing() -> None:
    radio = LiveRadio(pair(60.0), seed=1)
    radio.advance(1.0)
    for wrong in (
        lambda: radio.send(3, 1, 8),
        lambda: radio.send(1, 2, 0),
        lambda: radio.send(1, 2, 381),
        lambda: radio.send(1, 2, 8, ttl=128),
        lambda: radio.send(1, 2, 8, at_s=math.nan),
        lambda: radio.send(1, 2, 60, everyone=True),
        lambda: radio.advance(0.5),
        lambda: radio.advance(math.nan),
        lambda: radio.attenuate(1, 2, math.inf),
        lambda: radio.attenuate_all(np.zeros((3, 3))),
        lambda: radio.interfere(1, -1.0, 1.0),
        lambda: radio.group(0xC000, [5]),
        lambda: radio.fail(9),
        lambda: radio.configure(1, ttl=200),
    ):
        with pytest.raises(Rejected):
            wrong()
    radio.send(1, 2, 8)
    assert len(radio.advance(2.0)) == 1


@pytest.mark.parametrize("time_s", [380.72269849400254, 0.1 + 0.2, 1234.5678901234567])
def test_a_time_may_be_said_twice_however_it_rounds(time_s: float) -> None:
    radio = LiveRadio(chain(2))
    radio.advance(time_s)
    radio.advance(time_s)
    assert abs(radio.now_s - time_s) < 1e-9
    number = radio.send(1, 2, 8)
    radio.advance(math.nextafter(radio.now_s, 0.0))
    assert [one.message for one in radio.advance(time_s + 1.0)] == [number]
    with pytest.raises(Rejected):
        radio.advance(time_s)
