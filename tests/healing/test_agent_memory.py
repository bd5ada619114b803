"""What an agent keeps over a restart, takes over from its peers, and does not conclude too early."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.clock import ManualClock
from common.messages import ActionRecord, Event, Kind, decode
from tests.healing.gateways import RecordedStream, running_gateways
from tests.healing.test_healing import LEARNING_S, site

ROUND_S = 5.0
"""Time to compare notes with the peers, and for the survey's next question."""


async def test_homes_survive_a_restart(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        homes = dict(gateways["gw-1"].agent.decider.homes)
        assert set(homes.values()) == {"gw-1", "gw-2"}
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        assert gateways["gw-1"].agent.decider.homes == homes


async def test_homes_that_the_actor_announces_are_adopted_and_kept(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        gateways["gw-2"].peers.announced = {4: "gw-2", 2: "gw-1"}
        await clock.advance(ROUND_S)
        assert gateways["gw-2"].agent.decider.homes == {4: "gw-2", 2: "gw-1"}
        gateways["gw-2"].peers.announced = None  # The actor is gone: its last word holds.
        await clock.advance(ROUND_S)
    async with running_gateways(tmp_path, mesh, clock, {"gw-2": 9}) as gateways:
        assert gateways["gw-2"].agent.decider.homes == {4: "gw-2", 2: "gw-1"}


async def test_damaged_state_is_set_aside_said_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, mesh = ManualClock(), site()
    (tmp_path / "gw-1").mkdir()
    for name in ("homes.json", "actions.json"):
        (tmp_path / "gw-1" / name).write_text('00000000\n{"entries": []}')
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        assert gateways["gw-1"].stream.events().count("state-lost") == 2
        levels = [record.levelname for record in caplog.records if record.getMessage() == "state-lost"]
        assert levels == ["WARNING"] * 2
        await clock.advance(LEARNING_S)
        assert (tmp_path / "gw-1" / "homes.json").exists()
    assert (tmp_path / "gw-1" / "actions.json.corrupt").exists()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        assert "state-lost" not in gateways["gw-1"].stream.events()


async def test_a_peer_that_believes_otherwise_of_a_relay_has_the_node_read_again(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        here = gateways["gw-1"]
        mesh.nodes[5].relay = True  # By an operator, with another tool.
        await clock.advance(LEARNING_S)
        assert 5 not in here.agent.site.relays()
        here.peers.relaying = {"gw-2": frozenset({2, 3, 5})}
        await clock.advance(2 * ROUND_S)
        assert 5 in here.agent.site.relays()


async def test_the_acting_gateways_word_for_a_relay_is_taken_at_once(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        mesh.nodes[5].alive = False  # So that it cannot be asked.
        gateways["gw-2"].peers.relaying = {"gw-1": frozenset({2, 3, 5})}
        await clock.advance(1.1)
        assert 5 in gateways["gw-2"].agent.site.relays()


async def test_a_peer_that_stays_wrong_is_not_believed_and_asked_about_once(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1, "gw-2": 9}) as gateways:
        await clock.advance(LEARNING_S)
        here = gateways["gw-1"]
        here.peers.relaying = {"gw-2": frozenset({2, 3, 6})}
        await clock.advance(3 * ROUND_S)
        read_at = here.agent.site.nodes[6].read_at
        assert read_at is not None
        assert 6 not in here.agent.site.relays()
        await clock.advance(3 * ROUND_S)
        assert here.agent.site.nodes[6].read_at == read_at


async def test_an_agent_that_has_just_started_mends_nothing(tmp_path: Path) -> None:
    clock = ManualClock()
    mesh = site()
    mesh.down(2)  # Long before: the agent has never known another site.
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(15.0)
        agent, stream = gateways["gw-1"].agent, gateways["gw-1"].stream
        assert not agent.summary()["learned"]
        assert (stream.actions(), "node-dead" in stream.events()) == ([], False)


async def test_action_ids_stay_unique_over_restarts_and_lost_files(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    ids: list[str] = []
    for _ in range(3):
        (tmp_path / "gw-1" / "actions.json").unlink(missing_ok=True)
        async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}, dry_run=True) as gateways:
            await clock.advance(LEARNING_S)
            mesh.down(2)
            await clock.advance(10.0)
            ids += _ids(gateways["gw-1"].stream)
        mesh.up(2)
    assert len(ids) >= 3
    assert len(set(ids)) == len(ids)


async def test_an_agent_killed_in_mid_action_takes_it_up_again(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        for other in (3, 6):
            mesh.links.set(5, other, 0.0)
        mesh.down(2)
        stream = gateways["gw-1"].stream
        while "applied" not in stream.states():
            await clock.advance(0.05)
        (action_id,) = set(_ids(stream))
    for other in (3, 6):
        mesh.links.set(5, other, 0.9)
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        stream = gateways["gw-1"].stream
        await clock.advance(5.0)
        assert _ids(stream) == [action_id]
        assert stream.states() == ["applied", "confirmed"]
        (recent,) = gateways["gw-1"].agent.summary()["actions_recent"]
        assert (recent["id"], recent["state"]) == (action_id, "confirmed")


def _ids(stream: RecordedStream) -> list[str]:
    """Ids of the stream's actions, each once, in order."""
    told = [decode(ActionRecord, body).id for kind, body in stream.entries if kind is Kind.ACTION]
    return list(dict.fromkeys(told))


async def test_a_mesh_that_comes_up_is_told_with_its_address_as_people_write_it(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-2": 9}) as gateways:
        await clock.advance(1.0)
        entries = gateways["gw-2"].stream.entries
    events = [decode(Event, body) for kind, body in entries if kind is Kind.EVENT]
    assert Event(name="mesh-up", fields={"address": "0x0009"}) in events
