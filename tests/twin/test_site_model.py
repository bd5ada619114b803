"""A site model and its scenario."""

from __future__ import annotations

import pytest

from common.radio import simulate
from common.scenario import Scenario
from coordinator.twin.reception import attenuation_at, pdr_at
from coordinator.twin.site_model import LinkBelief, SiteFlow, SiteModel
from tests.twin.site_models import CHAIN, site

FILE = Scenario.model_validate(
    {
        "nodes": [
            {"address": 1, "x": 0.0, "y": 0.0},
            {"address": 2, "x": 8.0, "y": 0.0, "relay": True, "tx_power_dbm": 4},
            {"address": 3, "x": 16.0, "y": 0.0},
        ],
        "links": [[1, 2, 80.0], [2, 1, 82.0], [2, 3, 80.0], [3, 2, 99.0]],
        "configuration": {"ttl": 5, "network_transmit": {"count": 3}, "relay_sets": 2},
        "flows": [
            {"source": 3, "destination": 1, "period_s": 10, "acknowledged": True, "class": "lighting"},
            {"source": 1, "destination": 0xC000, "period_s": 5},
        ],
        "groups": {"0xC000": [2, 3]},
    }
)


def test_a_scenario_comes_back_from_its_model() -> None:
    scenario = SiteModel.of(FILE).scenario(60.0, 1)
    assert scenario.nodes == FILE.nodes
    assert scenario.configuration == FILE.configuration
    assert scenario.flows == FILE.flows
    assert scenario.groups == FILE.groups
    assert Scenario.model_validate(scenario.model_dump(by_alias=True))


def test_most_flows_end_at_the_gateway() -> None:
    assert SiteModel.of(FILE).gateways == (1,)


def test_links_come_with_their_pdr_and_by_distance_where_none_are_listed() -> None:
    model = SiteModel.of(FILE)
    assert model.links[1, 2].pdr > 0.99
    assert (3, 2) not in model.links or model.links[3, 2].pdr < 0.05
    by_distance = SiteModel.of(FILE.model_copy(update={"links": None}))
    assert by_distance.links[1, 2].pdr > by_distance.links[1, 3].pdr * 0.99


@pytest.mark.parametrize("pdr", [0.05, 0.5, 0.9, 0.99])
def test_a_links_attenuation_gives_its_pdr_back(pdr: float) -> None:
    assert pdr_at(attenuation_at(pdr, 4.0, 8.0), 4.0, 8.0) == pytest.approx(pdr, rel=1e-6)


@pytest.mark.parametrize("pdr", [0.3, 0.6, 0.9])
def test_an_observed_pdr_is_what_the_event_simulator_plays(pdr: float) -> None:
    outcome = simulate(site([(1, 2)], pdr).scenario(), seed=5, duration_s=10_000)
    assert outcome.flows[0].pdr == pytest.approx(pdr, abs=0.05)


def test_a_dead_node_takes_its_links_and_flows_along() -> None:
    model = site(CHAIN, flows=[SiteFlow(6, 1, 1.0), SiteFlow(3, 1, 1.0), SiteFlow(5, 0xC001, 1.0)])
    rest = model.without(3)
    assert 3 not in rest.addresses
    assert all(3 not in key for key in rest.links)
    assert [flow.source for flow in rest.flows] == [6, 5]
    assert 3 not in rest.relays
    assert 3 in model.relays


def test_a_posterior_knows_how_much_was_seen() -> None:
    few, many = LinkBelief.counted(8, 2), LinkBelief.counted(800, 200)
    assert few.pdr == pytest.approx(0.75)
    assert many.deviation < few.deviation / 5
