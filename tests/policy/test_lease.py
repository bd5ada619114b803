"""One actor a site."""

from __future__ import annotations

import pytest

from common.mesh.graph import Flooding
from common.policy.homes import assign_homes
from common.policy.lease import Role, View, role, scope
from tests.policy.sites import graph

PERIOD_S = 2.0


def view(own: str, live: set[str], attached_s: float | None = 60.0, known: set[str] | None = None) -> View:
    return View(own, frozenset(live), frozenset(live if known is None else known), attached_s)


def test_the_lowest_live_id_acts_and_the_others_propose() -> None:
    assert role(view("gw-1", {"gw-2", "gw-3"}), PERIOD_S) is Role.ACTOR
    assert role(view("gw-2", {"gw-1", "gw-3"}), PERIOD_S) is Role.PROPOSER


def test_the_next_one_acts_when_the_lowest_is_gone() -> None:
    assert role(view("gw-2", {"gw-3"}, known={"gw-1", "gw-3"}), PERIOD_S) is Role.ACTOR


@pytest.mark.parametrize("attached_s", [None, 0.0, PERIOD_S - 0.1])
def test_without_a_settled_broker_connection_a_gateway_is_alone(attached_s: float | None) -> None:
    assert role(view("gw-1", set(), attached_s), PERIOD_S) is Role.ALONE


def test_alone_a_gateway_answers_only_for_its_home_nodes() -> None:
    homes = {5: "gw-1", 6: "gw-2", 7: "gw-1"}
    lone = view("gw-1", set(), None, {"gw-2"})
    assert scope(Role.ALONE, lone, [5, 6, 7], homes) == (frozenset({5, 7}), frozenset({5, 7}))


def test_a_node_without_a_home_belongs_to_the_lowest_known_id() -> None:
    assert scope(Role.ALONE, view("gw-1", set(), None, {"gw-2"}), [9], {})[0] == {9}
    assert scope(Role.ALONE, view("gw-2", set(), None, {"gw-1"}), [9], {})[0] == frozenset()


def test_no_two_gateways_that_are_alone_may_change_the_same_node() -> None:
    homes = {5: "gw-1", 6: "gw-2"}
    nodes = [5, 6, 7]
    first, _ = scope(Role.ALONE, view("gw-1", set(), None, {"gw-2"}), nodes, homes)
    second, _ = scope(Role.ALONE, view("gw-2", set(), None, {"gw-1"}), nodes, homes)
    assert not first & second


LINE = graph([(1, 3), (3, 4), (4, 5), (5, 6), (6, 2)])
FLOODING = Flooding(frozenset({3, 4, 5, 6}), 2, 2)


def test_a_node_is_at_home_with_the_gateway_that_is_nearer() -> None:
    homes = assign_homes(LINE, FLOODING, {"gw-1": 1, "gw-2": 2}, {})
    assert (homes[3], homes[6]) == ("gw-1", "gw-2")


def test_homes_do_not_flap_for_a_small_difference() -> None:
    present = {4: "gw-2", 5: "gw-1"}
    homes = assign_homes(LINE, FLOODING, {"gw-1": 1, "gw-2": 2}, present)
    assert (homes[4], homes[5]) == ("gw-2", "gw-1")


def test_a_dead_gateways_nodes_are_taken_over() -> None:
    homes = assign_homes(LINE, FLOODING, {"gw-2": 2}, {3: "gw-1", 6: "gw-2"})
    assert set(homes.values()) == {"gw-2"}
