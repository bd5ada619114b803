"""Agents that keep a simulated site whole."""

from __future__ import annotations

from pathlib import Path

from common.clock import ManualClock
from common.messages import Kind
from firmware_bridge.virtual import VirtualSite
from tests.healing.gateways import running_gateways

# Gateway 1 - relay 2 - relay 3 - lamp 4, with 5 as spare for 2 and 6 as spare for 3; gateway 9 beside 4.
PAIRS = [(1, 2), (2, 3), (3, 4), (1, 5), (5, 3), (2, 6), (5, 6), (6, 4), (4, 9), (3, 9), (6, 9)]
LEARNING_S = 60.0


def site(pdr: float = 0.9) -> VirtualSite:
    links = {(a, b): pdr for pair in PAIRS for a, b in (pair, pair[::-1])}
    return VirtualSite(links, relays=[2, 3], gateways=[1, 9], seed=3)


async def test_a_dead_relay_is_replaced_within_seconds(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        stream = gateways["gw-1"].stream
        assert stream.actions() == []
        mesh.down(2)
        await clock.advance(6.0)
        assert mesh.nodes[5].relay
        await clock.advance(6.0)
        assert stream.states() == ["applying", "applied", "confirmed"]
        assert "node-dead" in stream.events()
        assert stream.kinds() >= {Kind.LINKS, Kind.NODES, Kind.FLOWS, Kind.CONFIGURATION}


async def test_two_gateways_and_one_death_make_exactly_one_change(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        mesh.down(3)
        await clock.advance(15.0)
        first, second = gateways["gw-1"].stream.states(), gateways["gw-2"].stream.states()
        assert first == ["applying", "applied", "confirmed"]
        assert set(second) <= {"proposed"}


async def test_a_site_without_faults_is_never_touched(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(1800.0)
        assert all(gateway.stream.actions() == [] for gateway in gateways.values())


async def test_without_a_broker_each_gateway_mends_its_own_home_nodes_only(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        gateways["gw-2"].peers.announced = dict(gateways["gw-1"].agent.decider.homes)
        await clock.advance(6.0)
        homes = gateways["gw-1"].agent.decider.homes
        for gateway in gateways.values():
            gateway.peers.attached_s = None
        mesh.down(2)
        await clock.advance(15.0)
        for name, gateway in gateways.items():
            changed = {step["address"] for record in gateway.stream.actions() for step in record.steps}
            assert all(homes[address] == name for address in changed if address)


async def test_a_paused_relay_that_answers_again_is_believed(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        mesh.down(2)
        await clock.advance(15.0)
        mesh.up(2)
        await clock.advance(30.0)
        assert gateways["gw-1"].agent.counts() == (len(mesh.nodes), len(mesh.nodes))


async def test_dry_run_proposes_and_changes_nothing(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}, dry_run=True) as gateways:
        await clock.advance(LEARNING_S)
        mesh.down(2)
        await clock.advance(15.0)
        assert not mesh.nodes[5].relay
        assert set(gateways["gw-1"].stream.states()) == {"proposed"}


async def test_a_change_that_does_not_help_is_rolled_back_and_its_node_left_alone(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}, confirm_s=5.0) as gateways:
        await clock.advance(LEARNING_S)
        # The spare relay's way on breaks in the moment it is needed, and those who could tell are cut off.
        for other in (3, 6):
            mesh.links.set(5, other, 0.0)
        mesh.down(2)
        await clock.advance(20.0)
        states = gateways["gw-1"].stream.states()
        assert states[:3] == ["applying", "applied", "rolled-back"]
        assert not mesh.nodes[5].relay
