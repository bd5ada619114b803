"""What-if: changes on sites whose answer is known, and the cheapest model that can give it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import Rejected
from common.mesh.configuration import Transmit
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteFlow, SiteModel
from coordinator.twin.whatif import channel_share, reachable, whatif
from coordinator.twin.whatif_change import AddedNode, Change
from coordinator.twin.whatif_effect import Effect, Method, WhatIf

CHAIN = (1, 2, 3, 4)


def chain(pdr: float = 0.9, evidence: float = 2000.0) -> SiteModel:
    """1 (gateway) – 2 – 3 – 4, and 5 beside 2; 2 and 3 relay. Everybody sends to the gateway every 30 s."""
    pairs = [(1, 2), (2, 3), (3, 4), (2, 5)]
    belief = LinkBelief(pdr * evidence, (1.0 - pdr) * evidence)
    return SiteModel(
        addresses=(1, 2, 3, 4, 5),
        gateways=(1,),
        links={key: belief for a, b in pairs for key in ((a, b), (b, a))},
        configuration=SiteConfiguration(frozenset({2, 3}), 7, Transmit(2, 20), Transmit(2, 20)),
        flows=tuple(SiteFlow(a, 1, 30.0) for a in (2, 3, 4, 5)),
        capable=frozenset(range(1, 6)),
    )


def test_the_death_of_a_leaf_touches_nobody_and_the_graph_says_so() -> None:
    answer = whatif(chain(), Change(failed=(5,)))
    assert answer.method is Method.GRAPH
    assert answer.reason == "2 flows end with their nodes; no other message's way is touched"
    assert not answer.of(Effect.WORSE)
    assert not answer.is_harmless
    assert {(flow.source, flow.destination) for flow in answer.of(Effect.ENDED)} == {(5, 1), (1, 5)}
    assert all(flow.change.mean == 0.0 for flow in answer.of(Effect.HARMLESS))


def test_the_death_of_the_only_gateway_is_not_harmless() -> None:
    answer = whatif(chain(), Change(failed=(1,)))
    assert len(answer.of(Effect.ENDED)) == len(answer.flows) > 0
    assert not answer.is_harmless
    assert answer.reason.startswith(f"{len(answer.flows)} flows end")


def test_who_is_cut_off_is_known_for_certain() -> None:
    answer = whatif(chain(), Change(failed=(3,)))
    assert answer.method is Method.GRAPH
    (lost,) = [flow for flow in answer.of(Effect.WORSE) if flow.source == 4]
    assert (lost.after.low, lost.after.high) == (0.0, 0.0)
    assert not answer.is_harmless


def test_in_quiet_air_percolation_decides_and_is_right() -> None:
    model = chain(0.7)
    weaker = replace(model.configuration, ttl=6)
    answer = whatif(model, Change(configuration=weaker, relays_on=frozenset({5})))
    assert answer.method is Method.PERCOLATION
    by_source = {flow.source: flow for flow in answer.flows if flow.destination == 1}
    hop = 1 - 0.3**2
    for hops, source in enumerate((2, 3, 4), 1):
        assert by_source[source].before.mean == pytest.approx(hop**hops, abs=0.02)
        assert by_source[source].effect is Effect.HARMLESS


def test_repeats_are_left_to_the_event_simulator() -> None:
    model = chain(0.5)
    more = replace(model.configuration, network_transmit=Transmit(4, 20), relay_retransmit=Transmit(4, 20))
    answer = whatif(model, Change(configuration=more))
    assert answer.method is Method.SIMULATION
    far = next(flow for flow in answer.flows if flow.source == 4)
    assert far.effect is Effect.BETTER
    assert far.before.mean == pytest.approx(0.75**3, abs=0.1)
    assert far.after.mean == pytest.approx((1 - 0.5**4) ** 3, abs=0.1)
    assert far.latency_after_ms is not None
    assert 10.0 < far.latency_after_ms[0] < far.latency_after_ms[1] < 500.0


def test_load_takes_channel_time_and_is_simulated() -> None:
    model = chain()
    assert channel_share(model) < 0.01
    answer = whatif(model, Change(load=400.0))
    assert answer.method is Method.SIMULATION
    assert answer.occupancy > 100.0 * channel_share(model)


def test_uncertain_links_make_wide_intervals() -> None:
    known = whatif(chain(0.6), Change(relays_on=frozenset({5})))
    guessed = whatif(chain(0.6, evidence=6.0), Change(relays_on=frozenset({5})))

    def width(source: int, answer: WhatIf) -> float:
        flow = next(f for f in answer.flows if f.source == source)
        return float(flow.before.high - flow.before.low)

    assert width(4, guessed) > 3 * width(4, known)


def test_an_added_relay_mends_a_weak_chain() -> None:
    weak = chain(0.9)
    links = {**weak.links, (3, 4): LinkBelief.counted(2, 18), (4, 3): LinkBelief.counted(2, 18)}
    answer = whatif(replace(weak, links=links), Change(added=(AddedNode(9, {4: 0.9, 2: 0.9}, relay=True),)))
    assert {(f.source, f.destination) for f in answer.of(Effect.BETTER)} == {(4, 1), (1, 4)}


def test_a_site_without_traffic_is_asked_for_reach() -> None:
    answer = whatif(replace(chain(), flows=()), Change(failed=(2,)))
    cut = {(flow.source, flow.destination) for flow in answer.of(Effect.WORSE)}
    assert cut == {(a, b) for node in (3, 4, 5) for a, b in ((node, 1), (1, node))}


@pytest.mark.parametrize(
    "change",
    [
        Change(failed=(77,)),
        Change(relays_on=frozenset({77})),
        Change(relays_on=frozenset({3, 4}), relays_off=frozenset({4})),
        Change(added=(AddedNode(2, {1: 0.5}),)),
        Change(added=(AddedNode(9, {77: 0.5}),)),
        Change(added=(AddedNode(9, {1: float("nan")}),)),
        Change(load=0.0),
        Change(load=float("nan")),
        Change(flows=(SiteFlow(77, 1, 1.0),)),
    ],
)
def test_changes_that_make_no_sense_are_refused(change: Change) -> None:
    with pytest.raises(Rejected):
        whatif(chain(), change)


def test_equal_questions_have_equal_answers() -> None:
    change = Change(relays_off=frozenset({3}), latency_matters=True)
    assert whatif(chain(0.8), change) == whatif(chain(0.8), change)


def test_reach_ends_with_the_ttl() -> None:
    model = chain()
    assert reachable(model, 4) == {1, 2, 3, 4, 5}
    short = model.with_configuration(replace(model.configuration, ttl=2))
    assert reachable(short, 4) == {2, 3, 4}
