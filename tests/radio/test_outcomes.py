"""What holds for every play: equal seeds, conservation, JSON, choice of flows, refusals."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Rejected
from common.radio import Outcome, RadioParameters, simulate
from common.radio.propagation import links
from common.scenario import Scenario
from tests.radio.networks import chain, flow, grid, pair


def without_cost(outcome: Outcome) -> Outcome:
    return replace(outcome, totals=replace(outcome.totals, cpu_s=0.0))


def test_equal_seeds_give_equal_outcomes_and_others_do_not() -> None:
    site = grid(5, 9, relays=2, period_s=2.0)
    first, again, other = simulate(site, seed=3), simulate(site, seed=3), simulate(site, seed=4)
    assert without_cost(first) == without_cost(again)
    assert without_cost(first) != without_cost(other)
    assert without_cost(simulate(site)) == without_cost(simulate(site, seed=site.seed))


def test_traffic_is_the_same_under_another_configuration() -> None:
    site = grid(4, 9, relays=2, period_s=1.0)
    still = site.model_copy(update={"nodes": [n.model_copy(update={"relay": False}) for n in site.nodes]})
    assert [f.sent for f in simulate(site).flows] == [f.sent for f in simulate(still).flows]


def test_only_some_flows_send() -> None:
    site = chain(4, flows=[flow(1, 4), flow(2, 4), flow(3, 1)])
    chosen = simulate(site, only_flows=[2, 0])
    assert [(f.source, f.destination) for f in chosen.flows] == [(3, 1), (1, 4)]
    for number in (3, -1):
        with pytest.raises(Rejected):
            simulate(site, only_flows=[number])


def test_no_flows_and_nobody_else() -> None:
    assert simulate(chain(3)).flows == ()
    alone = simulate(chain(2, flows=[flow(1, 1)])).flows[0]
    assert (alone.sent, alone.pdr) == (0, 1.0)


def test_the_document_has_the_keys_of_the_format() -> None:
    site = chain(3, flows=[flow(1, 3), flow(1, 3, acknowledged=True)])
    document = json.loads(json.dumps(simulate(site).as_json()))
    plain, acknowledged = document["flows"]
    assert {"source", "destination", "sent", "delivered", "pdr", "one_way_ms"} <= plain.keys()
    assert "round_trip_ms" not in plain
    assert set(acknowledged["round_trip_ms"]) == {"mean", "p50", "p95", "p99", "standard_error"}
    assert {"events", "transmissions", "collisions", "cpu_s", "simulated_s"} <= document["totals"].keys()


@pytest.mark.parametrize(
    "wrong", [{"advertising_wait_ms": math.nan}, {"burst_loss": 1.5}, {"queue_length": 0}]
)
def test_absurd_parameters_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=next(iter(wrong))):
        RadioParameters(**wrong)


def test_more_messages_than_fit_are_refused_before_the_start() -> None:
    site = pair(60.0, flows=[flow(1, 2, period_s=0.001)])
    with pytest.raises(Rejected, match=r"shorten it, or raise flows\.0\.period_s: 0.001 s, 0x0001 to 0x0002"):
        simulate(site, duration_s=1e7)


def test_a_burst_that_overflows_the_tables_is_played_in_bigger_ones() -> None:
    everyone = [flow(a, 0xC000, offset_s=0.0, period_s=60.0, payload_bytes=200) for a in range(1, 41)]
    links_all = [[a, b, 60.0] for a in range(1, 41) for b in range(1, 41) if a != b]
    site = chain(40, links=links_all, flows=everyone, groups={"0xC000": list(range(1, 41))})
    assert simulate(site, duration_s=1.0).totals.transmissions > 1000


def test_shadowing_is_the_pairs_own_and_the_seeds() -> None:
    radio = {"shadowing_db": 6.0, "shadowing_seed": 5}
    site = grid(6, 8, relays=2, period_s=1.0, radio=radio)
    found = links(site, -200.0)
    power = dict(zip(zip(found.transmitter, found.receiver, strict=True), found.received_dbm, strict=True))
    assert all(power[one, other] == power[other, one] for one, other in power)
    other = links(
        site.model_copy(update={"radio": site.radio.model_copy(update={"shadowing_seed": 6})}), -200.0
    )
    assert not (found.received_dbm == other.received_dbm).all()
    plain = links(grid(6, 8, relays=2, period_s=1.0), -200.0)
    assert (found.received_dbm - plain.received_dbm).std() == pytest.approx(6.0, rel=0.15)


def test_a_matrix_and_a_list_say_the_same() -> None:
    listed = chain(3, flows=[flow(1, 3)])
    matrix = [[0, 60, 300], [60, 0, 60], [300, 60, 0]]
    document = listed.model_dump(by_alias=True) | {"links": None, "attenuation_db": matrix}
    assert without_cost(simulate(listed)) == without_cost(simulate(Scenario.model_validate(document)))


sites = st.builds(
    lambda side, spacing, relays, period, acknowledged, size, sets, window, failures: grid(
        side,
        spacing,
        relays=relays,
        period_s=period,
        configuration={"relay_sets": sets, "scan_window_ms": window, "message_cache": 4},
        failures=[[t, 1 + a % side**2, to] for t, a, to in failures],
        groups={"0xC000": [1, 2, side**2]},
        flows=[
            flow(1 + a % side**2, d, period_s=period, acknowledged=acknowledged, payload_bytes=size)
            for a, d in ((0, side**2), (1, 0xC000), (side, 1), (2, 0xC000), (3, 4))
        ],
    ),
    st.integers(2, 4),
    st.floats(0.5, 20.0),
    st.integers(1, 4),
    st.floats(0.3, 3.0),
    st.booleans(),
    st.sampled_from([1, 8, 11, 12, 60, 380]),
    st.integers(1, 3),
    st.floats(1.0, 30.0),
    st.lists(st.tuples(st.floats(0, 6), st.integers(0, 99), st.sampled_from(["up", "down"])), max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(sites, st.integers(0, 2**62), st.booleans())
def test_nothing_arrives_that_was_not_sent(site: Scenario, seed: int, lock: bool) -> None:
    parameters = RadioParameters(receiver_lock=lock)
    outcome = simulate(site, parameters, seed=seed, duration_s=5.0)
    assert without_cost(outcome) == without_cost(simulate(site, parameters, seed=seed, duration_s=5.0))
    for wish, found in zip(site.flows, outcome.flows, strict=True):
        assert 0 <= found.delivered <= found.sent
        assert 0.0 <= found.pdr <= 1.0
        assert found.reached_any >= found.pdr - 1e-9
        if found.delivered:
            assert 1.0 <= found.hops <= site.configuration.ttl
            assert found.one_way_ms is not None
            assert 2.0 < found.one_way_ms.p50 <= found.one_way_ms.p95 <= found.one_way_ms.p99
        if wish.acknowledged:
            assert found.answered is not None
            assert found.answered <= found.delivered
        assert (found.answered is None) is (not wish.acknowledged)
