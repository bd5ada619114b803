"""Whole agents on simulated sites act ahead of a decay, and neither on noise nor on a model that is worse."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from common.mesh.graph import LinkKey
from common.policy.actions import Forecast
from common.scenario import Scenario
from edge_agent.infer.expectation import Expectation
from edge_agent.infer.score import State
from edge_agent.observe.links import LinkBook
from firmware_bridge.virtual import VirtualSite, virtual_site
from tools.stage import corridors, decaying
from tools.stage.simulated import Simulation, simulated


class RandomModel:
    """Expects of each window whatever comes to its mind."""

    name = "link-forecast"

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._expected: dict[LinkKey, Expectation] = {}
        self._seen = 0

    def forecast(self, links: LinkBook) -> dict[LinkKey, Expectation]:
        for key in links.updated_since(self._seen):
            pdr = self._random.random()
            ahead = Forecast(pdr, min(1.0, pdr + 0.1), pdr / 2)
            self._expected[key] = Expectation(self._random.random(), ahead)
        self._seen = links.windows
        return self._expected


def begun(simulation: Simulation) -> list[str]:
    """The causes of the actions that were begun."""
    return [record.cause for _, record in simulation.stream.actions if record.state == "applying"]


async def bypassed_after(folder: Path, seed: int, forecast: str) -> float:
    """Seconds from the begin of a decay to the first action."""
    site, victim = decaying.corridor(seed)
    async with simulated(folder, site, decaying.GATEWAY, policy={"forecast": forecast}) as simulation:
        await simulation.clock.advance(180.0)
        assert begun(simulation) == []
        decaying.begin(site, victim)
        for second in range(300):
            await simulation.clock.advance(1.0)
            if begun(simulation):
                return second
    return float("inf")


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_decaying_link_is_bypassed_sooner_with_a_forecast(tmp_path: Path, seed: int) -> None:
    (tmp_path / "off").mkdir()
    with_it = await bypassed_after(tmp_path, seed, "auto")
    without = await bypassed_after(tmp_path / "off", seed, "off")
    assert with_it + 20 < without < float("inf")


async def test_the_bypass_keeps_the_flow_above_need(tmp_path: Path) -> None:
    site, victim = decaying.corridor(1)
    async with simulated(tmp_path, site, decaying.GATEWAY) as simulation:
        await simulation.clock.advance(180.0)
        decaying.begin(site, victim)
        await simulation.clock.advance(150.0)
        assert decaying.delivery(site, victim) < 0.8
        relays = {node.address for node in site.nodes.values() if node.relay}
        assert relays > set(victim.path[1:-1])
        assert {record.state for _, record in simulation.stream.actions} == {
            "applying",
            "applied",
            "confirmed",
        }


@pytest.mark.parametrize("model", [None, 1])
async def test_a_lossy_site_that_drifts_is_left_alone_for_half_an_hour(
    tmp_path: Path, model: int | None
) -> None:
    scenario = Scenario.model_validate(corridors.document(1, nodes=20))
    site = VirtualSite.from_scenario(scenario, loss=0.1, drift=0.5, gateways=[corridors.GATEWAY])
    async with simulated(tmp_path, site, corridors.GATEWAY) as simulation:
        if model is not None:
            simulation.agent.forecasting.add(RandomModel(model))
        await simulation.clock.advance(1800.0)
        assert begun(simulation) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_random_model_is_set_aside_within_five_minutes(tmp_path: Path, seed: int) -> None:
    site = virtual_site(14, seed=1)
    async with simulated(tmp_path, site, 1) as simulation:
        simulation.agent.forecasting.add(RandomModel(seed))
        await simulation.clock.advance(300.0)
        standing = simulation.agent.forecasting.standing("link-forecast")
        assert standing is not None
        assert standing.state is State.WORSE
        assert standing.error > 2 * standing.naive_error
        assert simulation.agent.forecasting.best == "naive"
        assert begun(simulation) == []
