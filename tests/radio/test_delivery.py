"""What arrives, when, and over how many hops, on networks whose answer is known."""

from __future__ import annotations

import math

import pytest

from common.radio import RadioParameters, simulate
from common.scenario import Scenario
from tests.radio.networks import chain, flow, pair

ONCE = {"count": 1, "interval_ms": 20}


def test_a_neighbour_hears_everything_and_at_once() -> None:
    outcome = simulate(pair(60.0, flows=[flow(1, 2)]), duration_s=1000.0).flows[0]
    assert outcome.sent == outcome.delivered > 900
    assert outcome.hops == 1.0
    assert outcome.one_way_ms is not None
    # Two milliseconds, half of ten, and a packet of a third, on any of three channels.
    assert outcome.one_way_ms.p50 == pytest.approx(8.0, abs=0.5)
    assert outcome.round_trip_ms is None


def test_out_of_range_nothing_arrives() -> None:
    outcome = simulate(pair(130.0, flows=[flow(1, 2)])).flows[0]
    assert outcome.sent > 50
    assert (outcome.delivered, outcome.pdr, outcome.hops, outcome.one_way_ms) == (0, 0.0, 0.0, None)


def test_a_weak_link_loses_packets_as_its_bits_say() -> None:
    attenuation, configuration = 95.0, {"network_transmit": ONCE}
    site = pair(attenuation, flows=[flow(1, 2, period_s=0.1)], configuration=configuration)
    outcome = simulate(site, duration_s=400.0).flows[0]
    ratio = 10 ** ((-attenuation + 108.0 - 2.0) / 10)
    expected = (1 - 0.5 * math.exp(-ratio / 2)) ** (44 * 8)
    # The whole event may fall between two channels of the scanner: two packets and gaps of 90 ms.
    expected *= 1 - 2 * (0.352 + 0.3) / 90
    assert 0.2 < expected < 0.9
    assert outcome.pdr == pytest.approx(expected, abs=4 * math.sqrt(0.25 / outcome.sent))


def test_more_transmissions_carry_further() -> None:
    def delivered(count: int) -> float:
        transmit = {"count": count, "interval_ms": 20}
        site = pair(95.5, flows=[flow(1, 2)], configuration={"network_transmit": transmit})
        return simulate(site, duration_s=600.0).flows[0].pdr

    assert delivered(1) + 0.1 < delivered(2) < delivered(4)


def test_each_hop_needs_time_to_live() -> None:
    def hops(ttl: int) -> tuple[float, float]:
        site = chain(6, flows=[flow(1, 6)], configuration={"ttl": ttl})
        outcome = simulate(site, duration_s=100.0).flows[0]
        return outcome.pdr, outcome.hops

    assert hops(4) == (0.0, 0.0)
    assert hops(5)[0] > 0.97
    assert hops(5)[1] == 5.0


def test_only_relays_pass_on() -> None:
    site = chain(3, flows=[flow(1, 3)])
    still = site.model_copy(update={"nodes": [n.model_copy(update={"relay": False}) for n in site.nodes]})
    assert simulate(site).flows[0].pdr > 0.9
    assert simulate(still).flows[0].pdr == 0.0


def test_a_scanner_that_sleeps_hears_less() -> None:
    def delivered(window: float) -> float:
        configuration = {"network_transmit": ONCE, "scan_window_ms": window}
        return (
            simulate(pair(60.0, flows=[flow(1, 2)], configuration=configuration), duration_s=900.0)
            .flows[0]
            .pdr
        )

    assert delivered(30.0) > 0.95
    assert delivered(10.0) == pytest.approx(1 / 3, abs=0.06)


def test_two_who_send_together_collide_unless_one_is_much_stronger() -> None:
    def delivered(other_db: float, parameters: RadioParameters) -> tuple[float, int]:
        links = [[1, 3, 60.0], [2, 3, other_db]]
        flows = [flow(1, 3, period_s=0.02), flow(2, 3, period_s=0.02)]
        site = Scenario.model_validate(
            {
                "nodes": [{"address": a} for a in (1, 2, 3)],
                "links": links,
                "flows": flows,
                "configuration": {"network_transmit": ONCE},
            }
        )
        outcome = simulate(site, parameters, duration_s=60.0)
        return outcome.flows[0].pdr, outcome.totals.collisions

    locked, free = RadioParameters(), RadioParameters(receiver_lock=False)
    alone, no_collisions = delivered(200.0, locked)
    equal, collisions = delivered(60.0, locked)
    weaker = delivered(85.0, locked)[0]
    assert no_collisions == 0
    assert collisions > 50
    # A weaker one that came first still keeps the receiver; without receiver lock it does not.
    assert equal < weaker < alone
    assert weaker < delivered(85.0, free)[0]


def test_answers_come_back() -> None:
    site = chain(3, flows=[flow(1, 3, acknowledged=True, response_delay_ms=50.0)])
    outcome = simulate(site, duration_s=200.0).flows[0]
    assert outcome.answered is not None
    assert outcome.round_trip_ms is not None
    assert outcome.one_way_ms is not None
    assert 0.9 * outcome.sent < outcome.answered <= outcome.delivered
    assert outcome.round_trip_ms.mean > outcome.one_way_ms.mean + 50 + 10


@pytest.mark.parametrize("size", [11, 12, 30, 380])
def test_messages_in_segments_arrive_whole(size: int) -> None:
    message = flow(1, 3, period_s=10.0, payload_bytes=size, acknowledged=True, response_bytes=size)
    outcome = simulate(chain(3, flows=[message]), duration_s=200.0).flows[0]
    assert outcome.answered is not None
    assert outcome.one_way_ms is not None
    assert outcome.answered >= 0.9 * outcome.sent
    segments = 1 if size <= 11 else -(-(size + 4) // 12)
    assert outcome.one_way_ms.mean > 60 * (segments - 1)


def test_lost_segments_are_sent_again() -> None:
    message = flow(1, 2, period_s=20.0, payload_bytes=100)
    once = {"network_transmit": ONCE}
    whole = simulate(pair(94.5, flows=[message], configuration=once), duration_s=2000.0).flows[0].pdr
    short = simulate(pair(94.5, flows=[flow(1, 2)], configuration=once), duration_s=1000.0).flows[0].pdr
    assert short < 0.95
    assert whole > short**9 + 0.2


def test_groups_count_every_member_and_say_if_one_was_reached() -> None:
    site = chain(5, flows=[flow(3, 0xC000)], groups={"0xC000": [1, 3, 4, 5]})
    dead = site.model_copy(update={"failures": [(0.0, 5, "down")]})
    whole, broken = simulate(site).flows[0], simulate(dead).flows[0]
    assert whole.sent % 3 == 0
    assert whole.pdr > 0.97
    assert broken.pdr == pytest.approx(2 / 3, abs=0.03)
    assert broken.reached_any == 1.0


def test_a_dead_relay_stops_its_traffic_until_it_is_back() -> None:
    site = chain(3, flows=[flow(1, 3), flow(2, 1)], failures=[[30.0, 2, "down"], [60.0, 2, "up"]])
    through, own = simulate(site, duration_s=90.0).flows
    assert through.pdr == pytest.approx(2 / 3, abs=0.05)
    # The dead send nothing, so nothing of theirs is lost.
    assert own.sent == pytest.approx(60, abs=3)
    assert own.pdr > 0.97


def test_a_small_cache_forgets_and_floods_go_round() -> None:
    busy = [flow(a, 8, period_s=0.2) for a in range(1, 8)]
    links = [[a, b, 60.0] for a in range(1, 9) for b in range(1, 9) if a != b]

    def transmissions(cache: int) -> int:
        site = chain(8, links=links, flows=busy, configuration={"message_cache": cache, "ttl": 10})
        return simulate(site, duration_s=10.0).totals.transmissions

    assert transmissions(1) > transmissions(64)
