"""One whole agent, without transport, on a simulated site and a clock that is moved by hand: minutes of a
site in a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.clock import ManualClock
from common.mesh.configuration import NodeConfiguration
from common.messages import ActionRecord, Kind, decode
from common.policy.lease import View
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig
from firmware_bridge.virtual import VirtualLink, VirtualSite

NAME = "gw-1"


@dataclass
class KeptStream:
    """A durable stream of which the actions are kept, with the time of each."""

    actions: list[tuple[float, ActionRecord]] = field(default_factory=list)
    entries: int = 0

    def append(self, kind: Kind, body: bytes, time: float) -> int:
        self.entries += 1
        if kind is Kind.ACTION:
            self.actions.append((time, decode(ActionRecord, body)))
        return self.entries


class NoPeers:
    """The only gateway of its site, with the broker there all along."""

    def view(self) -> View:
        return View(NAME, frozenset(), frozenset(), 60.0)

    def addresses(self) -> Mapping[str, int]:
        return {}

    def homes(self) -> Mapping[int, str] | None:
        return None

    def relays(self) -> Mapping[str, frozenset[int]]:
        return {}


@dataclass(frozen=True)
class Simulation:
    """`agent` minds `site`, whose time is `clock`'s; `stream` holds what it told."""

    agent: Agent
    site: VirtualSite
    clock: ManualClock
    stream: KeptStream


@asynccontextmanager
async def simulated(
    folder: Path, site: VirtualSite, gateway: int, **sections: Mapping[str, Any]
) -> AsyncIterator[Simulation]:
    """An agent at node `gateway` that runs until the block ends. `sections` are of its configuration, beside
    those that say who it is; `folder` takes its state."""
    clock, stream = ManualClock(), KeptStream()
    link = VirtualLink(site, gateway, clock)
    agent = Agent(_config(folder, gateway, sections), link, None, stream, NoPeers(), clock)
    for node in site.nodes.values():
        known = NodeConfiguration(node.address, relay_supported=node.relay_supported)
        agent.site.nodes.ensure(node.address, 0.0).configuration = known
    agent.recover()
    await link.open()
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(_run(part)) for part in agent.parts().values()]
            try:
                yield Simulation(agent, site, clock, stream)
            finally:
                for task in running:
                    task.cancel()
    finally:
        await link.close()


async def _run(part: Callable[[], Awaitable[None]]) -> None:
    await part()


def _config(folder: Path, gateway: int, sections: Mapping[str, Mapping[str, Any]]) -> AgentConfig:
    files = {"ca": folder / "ca", "certificate": folder / "certificate", "key": folder / "key"}
    return AgentConfig.model_validate(
        {
            "gateway": {"site": "site-a", "id": NAME, "address": gateway, "state_dir": folder},
            "mesh": {"link": "virtual"},
            "broker": {"host": "127.0.0.1", **files},
            **sections,
        }
    )
