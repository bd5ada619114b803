"""What another gateway has mended unheard is not mended again."""

from __future__ import annotations

from pathlib import Path

from common.clock import ManualClock
from tests.healing.gateways import running_gateways
from tests.healing.test_healing import LEARNING_S, site


async def test_a_death_that_a_peer_mended_unheard_is_looked_at_again_before_acting(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        for gateway in gateways.values():
            gateway.peers.attached_s = None
            gateway.agent.decider.homes = dict.fromkeys(range(1, 10), "gw-1")
        mesh.down(3)
        await clock.advance(10.0)
        assert gateways["gw-1"].stream.states() == ["applying", "applied", "confirmed"]
        # The homes that the other announces after the broker's return: all are this gateway's now.
        late = gateways["gw-2"]
        late.agent.decider.homes = dict.fromkeys(range(1, 10), "gw-2")
        for spare in (5, 6):
            late.agent.site.believe_relay(spare, False)
        await clock.advance(3.0)
        assert late.stream.states() == []


async def test_a_death_that_nobody_mended_is_mended_after_a_second_look(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        for gateway in gateways.values():
            gateway.peers.attached_s = None
            gateway.agent.decider.homes = dict.fromkeys(range(1, 10), "gw-3")
        mesh.down(3)
        await clock.advance(10.0)
        assert gateways["gw-2"].stream.states() == []
        gateways["gw-2"].agent.decider.homes = dict.fromkeys(range(1, 10), "gw-2")
        await clock.advance(8.0)
        assert gateways["gw-2"].stream.states() == ["applying", "applied", "confirmed"]
