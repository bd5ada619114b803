"""Choosing relay set and TTL."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.mesh.graph import SiteGraph
from common.policy.actions import Action, Forecast, Observation, Priority, SiteState
from common.policy.rerouting import reroute
from common.policy.service import relay_set, site_service
from tests.policy.sites import graph, state

# 1 is the gateway; 2 is the relay in use, 5 the spare one; 3 relays on to 4.
DIAMOND = graph([(1, 2), (2, 3), (3, 4), (1, 5), (5, 3)])


def apply(site: SiteState, action: Action) -> SiteState:
    nodes = dict(site.nodes)
    for step in action.steps:
        before = nodes[step.address]
        nodes[step.address] = replace(
            before,
            relay=before.relay if step.change.relay is None else step.change.relay,
            default_ttl=step.change.default_ttl or before.default_ttl,
        )
    return replace(site, nodes=nodes)


def test_a_healthy_site_is_left_alone() -> None:
    assert reroute(state(DIAMOND, relays=[2, 3]), Observation(), 0.0) == []


def test_a_dead_needed_relay_is_replaced_by_the_spare_one() -> None:
    actions = reroute(state(DIAMOND, relays=[2, 3]), Observation(dead=frozenset({2})), 0.0)
    assert [(step.address, step.change.relay) for step in actions[0].steps] == [(5, True)]
    assert actions[0].expected.nodes == {3, 4}
    assert actions[0].priority is Priority.CUT_OFF
    assert "0x0002 dead" in actions[0].cause


def test_a_dead_relay_that_nobody_needs_changes_nothing() -> None:
    assert reroute(state(DIAMOND, relays=[2, 3, 5]), Observation(dead=frozenset({2})), 0.0) == []


def test_new_relays_are_switched_on_outwards_from_the_gateway() -> None:
    # 1-2-9 dies at 2; the way round is 1-7-6-5-9, numbered against the order of application.
    site = graph([(1, 2), (2, 9), (1, 7), (7, 6), (6, 5), (5, 9)])
    actions = reroute(state(site, relays=[2]), Observation(dead=frozenset({2})), 0.0)
    assert [step.address for step in actions[0].steps] == [7, 6, 5]


def test_a_longer_way_round_raises_the_ttl_of_gateway_and_node() -> None:
    site = graph([(1, 2), (2, 9), (1, 7), (7, 6), (6, 5), (5, 9)])
    actions = reroute(state(site, relays=[2], ttl=2), Observation(dead=frozenset({2})), 0.0)
    ttl = {s.address: s.change.default_ttl for s in actions[0].steps if s.change.default_ttl}
    assert ttl[1] == ttl[9] == 6
    assert actions[0].steps[0].address == 1, "the gateway's own TTL first, or nothing reaches the rest"


def test_a_node_out_of_reach_of_its_ttl_gets_a_higher_one() -> None:
    site = graph([(1, 2), (2, 3), (3, 4), (4, 5)])
    (action,) = reroute(state(site, relays=[2, 3, 4], ttl=2), Observation(), 0.0)
    assert all(step.change.relay is None for step in action.steps)
    assert {1, 5} <= action.touches


def test_a_link_expected_to_fall_below_need_is_bypassed_before_it_does() -> None:
    falling = {(2, 3): Forecast(0.4, 0.5), (3, 2): Forecast(0.4, 0.5)}
    (action,) = reroute(state(DIAMOND, relays=[2, 3]), Observation(forecast=falling), 0.0)
    assert action.touches == {5}
    assert action.priority is Priority.DEGRADED


def test_a_fall_that_may_be_noise_is_not_acted_on() -> None:
    falling = {(2, 3): Forecast(0.4, 0.95), (3, 2): Forecast(0.4, 0.95)}
    assert reroute(state(DIAMOND, relays=[2, 3]), Observation(forecast=falling), 0.0) == []


def test_a_link_that_works_one_way_only_is_no_way_round() -> None:
    one_way = SiteGraph({**DIAMOND.links, (5, 1): 0.0})
    assert reroute(state(one_way, relays=[2, 3]), Observation(dead=frozenset({2})), 0.0) == []


@pytest.mark.parametrize("hindrance", ["unable", "refused", "foreign"])
def test_a_node_that_cannot_help_is_not_asked(hindrance: str) -> None:
    site = state(
        DIAMOND,
        relays=[2, 3],
        unable=[5] if hindrance == "unable" else [],
        refused={5: 60.0} if hindrance == "refused" else {},
        changeable=frozenset({1, 2, 3, 4}) if hindrance == "foreign" else None,
    )
    assert reroute(site, Observation(dead=frozenset({2})), 10.0) == []


def test_a_refusal_ends() -> None:
    site = state(DIAMOND, relays=[2, 3], refused={5: 60.0})
    assert reroute(site, Observation(dead=frozenset({2})), 61.0)


def test_nodes_waiting_for_an_earlier_action_are_not_mended_twice() -> None:
    site = state(DIAMOND, relays=[2, 3])
    dead = Observation(dead=frozenset({2}))
    (action,) = reroute(site, dead, 0.0)
    assert reroute(replace(site, pending=(action,)), dead, 0.1) == []


def test_a_gateway_answers_only_for_the_nodes_it_is_responsible_for() -> None:
    site = replace(state(DIAMOND, relays=[2, 3]), responsible=frozenset({2}))
    assert reroute(site, Observation(dead=frozenset({2})), 0.0) == []


def test_no_more_relays_are_switched_on_than_needed() -> None:
    # Ten nodes cut off at once, one spare relay reaches them all, others reach some.
    leaves = range(20, 30)
    pairs = [(1, 2), (1, 3), (1, 4), (1, 5)]
    pairs += [(2, leaf) for leaf in leaves] + [(3, leaf) for leaf in leaves]
    pairs += [(4, leaf) for leaf in range(20, 25)] + [(5, leaf) for leaf in range(25, 30)]
    (action,) = reroute(state(graph(pairs), relays=[2]), Observation(dead=frozenset({2})), 0.0)
    assert action.touches == {3}


pairs_of_nodes = st.tuples(st.integers(1, 12), st.integers(1, 12)).filter(lambda p: p[0] != p[1])


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(pairs_of_nodes, min_size=1, max_size=40),
    relays=st.sets(st.integers(2, 12), max_size=6),
    dead=st.sets(st.integers(2, 12), max_size=3),
    pdr=st.floats(0.3, 1.0),
)
def test_whatever_is_decided_helps_the_nodes_it_names(
    pairs: list[tuple[int, int]], relays: set[int], dead: set[int], pdr: float
) -> None:
    site = state(graph([*pairs, (1, 2)], pdr), relays)
    observation = Observation(dead=frozenset(dead))
    for action in reroute(site, observation, 0.0):
        before = site_service(site, observation)
        after = site_service(apply(site, action), observation)
        assert not action.touches & dead
        assert action.expected.nodes
        assert all(after.of(node) > before.of(node) for node in action.expected.nodes)
        assert relay_set(site.nodes, dead) <= relay_set(apply(site, action).nodes, dead)
        again = reroute(apply(site, action), observation, 1.0)
        assert all(other.touches != action.touches for other in again), "it must not ask for the same twice"
