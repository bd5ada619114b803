"""`edge-agent ping` and `edge-agent relay`: commands, socket and a simulated site, all of them running."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.clock import SystemClock
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason, TimedOut, Unavailable
from common.mesh.configuration import NodeConfiguration
from edge_agent.api import LocalApi
from edge_agent.client import ask
from edge_agent.observe.probe import Prober
from edge_agent.observe.site import SiteView
from edge_agent.operator import Operator
from firmware_bridge.virtual import VirtualLink, VirtualSite
from tests.agent.test_cli import agent

# Gateway 1 hears 2 and 3; 3 cannot relay; 4 is dead.
LINKS = dict.fromkeys([(1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1)], 1.0)


class Desk:
    """An operator's desk: the socket of an agent that does nothing by itself."""

    def __init__(self, socket: Path) -> None:
        self.mesh = VirtualSite(LINKS, gateways=[1], without_relay=[3])
        self.mesh.down(4)
        clock = SystemClock()
        self.link = VirtualLink(self.mesh, 1, clock)
        self.site = SiteView(1, None, 0.0)
        for address in self.mesh.nodes:
            self.site.nodes.ensure(address, 0.0).configuration = NodeConfiguration(address)
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.operator = Operator(
            self.link,
            self.site,
            Prober(self.link, self.site, clock),
            clock,
            lambda name, **fields: self.told.append((name, fields)),
        )
        self.socket = socket
        self.api = LocalApi(socket, {}, questions={"ping": self._ping, "relay": self._relay})

    async def _ping(self, request: dict[str, Any]) -> dict[str, float]:
        return {"round_trip_s": await self.operator.ping(request["node"], request["timeout_s"])}

    async def _relay(self, request: dict[str, Any]) -> dict[str, Any]:
        configuration = await self.operator.set_relay(request["node"], request["relay"])
        return {"node": f"0x{configuration.address:04x}", "relay": configuration.relay}

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of `edge-agent WORDS`."""
        done = await asyncio.to_thread(agent, *words, "--socket", str(self.socket))
        return done.returncode, done.stdout, done.stderr


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    running = Desk(folder / "agent.sock")
    await running.link.open()
    try:
        async with asyncio.TaskGroup() as owner:
            serving = owner.create_task(running.api.run())
            await running.api.serving.wait()
            try:
                yield running
            finally:
                serving.cancel()
    finally:
        await running.link.close()


async def test_ping_times_answers_and_sums_them_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        code, told, _ = await here.command("ping", "0x0002", "--count", "2")
        assert code == 0
        assert told.startswith("1: ")
        assert "0x0002: 2 of 2 answered; least " in told
        code, told, _ = await here.command("ping", "2", "--json", "-n", "2")
        answer = json.loads(told)
        assert (code, answer["asked"], answer["answered"], len(answer["round_trips_s"])) == (0, 2, 2, 2)


async def test_a_silent_node_is_said_and_is_exit_code_one(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        code, told, errors = await here.command("ping", "0x0004", "-n", "2", "--timeout", "0.1")
        assert (code, errors) == (1, "")
        assert told.splitlines() == [
            "1: no answer in 0.1 s",
            "2: no answer in 0.1 s",
            "0x0004: none of 2 answered",
        ]
        code, told, _ = await here.command("ping", "4", "-n", "1", "--timeout", "0.1", "--json")
        assert code == 1
        assert json.loads(told)["round_trips_s"] == [None]


async def test_what_cannot_be_asked_is_one_line(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        for node, reason in (("0x0009", "this site has no node 0x0009"), ("lamp", "is not an address")):
            code, _, errors = await here.command("ping", node)
            assert code == 1
            assert reason in errors
            assert errors.count("\n") == 1
        await here.link.close()
        code, told, errors = await here.command("ping", "2")
        assert (code, told) == (1, "")
        assert "is not up" in errors


async def test_relay_is_switched_and_told(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        assert await here.command("relay", "0x0002", "on") == (0, "0x0002: relay on\n", "")
        assert here.mesh.nodes[2].relay
        assert here.site.nodes[2].configuration.relay is True
        code, told, _ = await here.command("relay", "2", "off", "--json")
        assert (code, json.loads(told)) == (0, {"node": "0x0002", "relay": False})
        assert not here.mesh.nodes[2].relay
        assert here.told[0] == ("operator-set-relay", {"node": "0x0002", "relay": True})


async def test_a_node_that_cannot_relay_says_so(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        code, _, errors = await here.command("relay", "0x0003", "on")
        assert code == 1
        assert "cannot relay" in errors
        code, _, errors = await here.command("relay", "0x0003", "perhaps")
        assert code == 2


@pytest.mark.parametrize(
    "node", [None, True, 1.5, [2], {"a": 1}, "", "0x", "-1", "0", 0, "0x8000", 99_999, "7"]
)
async def test_no_node_name_from_outside_gets_further_than_a_refusal(tmp_path: Path, node: object) -> None:
    here = Desk(tmp_path / "agent.sock")
    with pytest.raises(Rejected):
        await here.operator.ping(node, 1.0)
    with pytest.raises(Rejected):
        await here.operator.set_relay(node, True)


@pytest.mark.parametrize("timeout", [None, True, "1", 0, -1, 10.1, float("nan"), float("inf")])
async def test_no_timeout_from_outside_gets_further_than_a_refusal(tmp_path: Path, timeout: object) -> None:
    with pytest.raises(Rejected):
        await Desk(tmp_path / "agent.sock").operator.ping(2, timeout)


@pytest.mark.parametrize("relay", [None, 1, "on"])
async def test_a_relay_is_on_or_off(tmp_path: Path, relay: object) -> None:
    with pytest.raises(Rejected):
        await Desk(tmp_path / "agent.sock").operator.set_relay(2, relay)


async def test_the_client_raises_what_the_agent_ran_into(tmp_path: Path) -> None:
    errors: list[MeshtwinError] = [
        TimedOut("no answer"),
        Unavailable("the mesh is away"),
        NotSupported("no relay"),
        Rejected(RejectReason.REFUSED_BY_NODE, "keeps another relay"),
    ]

    async def fail(request: dict[str, Any]) -> None:
        raise errors[request["number"]]

    path = tmp_path / "agent.sock"
    async with asyncio.TaskGroup() as owner:
        api = LocalApi(path, {}, questions={"fail": fail})
        serving = owner.create_task(api.run())
        await api.serving.wait()
        for number, error in enumerate(errors):
            with pytest.raises(type(error)) as caught:
                await asyncio.to_thread(ask, path, "fail", 5.0, number=number)
            assert str(caught.value) == str(error)
        serving.cancel()
