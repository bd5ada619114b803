"""Whole agents, without transport, on one simulated site and one manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.clock import ManualClock
from common.mesh.configuration import NodeConfiguration
from common.messages import ActionRecord, Event, Kind, decode
from common.policy.lease import View
from edge_agent.agent import Agent
from edge_agent.config import AgentConfig
from firmware_bridge.virtual import VirtualLink, VirtualSite


@dataclass
class RecordedStream:
    """A stream that is kept in memory and read by tests."""

    epoch: int = 7
    entries: list[tuple[Kind, bytes]] = field(default_factory=list)

    def append(self, kind: Kind, body: bytes, time: float) -> int:
        self.entries.append((kind, body))
        return len(self.entries)

    def actions(self) -> list[ActionRecord]:
        return [decode(ActionRecord, body) for kind, body in self.entries if kind is Kind.ACTION]

    def states(self) -> list[str]:
        return [record.state for record in self.actions()]

    def events(self) -> list[str]:
        return [decode(Event, body).name for kind, body in self.entries if kind is Kind.EVENT]

    def kinds(self) -> set[Kind]:
        return {kind for kind, _ in self.entries}


@dataclass
class KnownPeers:
    """Peers as the test says they are."""

    own: str
    live: dict[str, int] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    attached_s: float | None = 60.0
    announced: dict[int, str] | None = None
    relaying: dict[str, frozenset[int]] = field(default_factory=dict)

    def view(self) -> View:
        known = frozenset(self.known | self.live.keys())
        live = frozenset(self.live) if self.attached_s is not None else frozenset()
        return View(self.own, live, known, self.attached_s)

    def addresses(self) -> Mapping[str, int]:
        return self.live

    def relays(self) -> Mapping[str, frozenset[int]]:
        return self.relaying

    def homes(self) -> Mapping[int, str] | None:
        return self.announced


@dataclass
class Gateway:
    agent: Agent
    stream: RecordedStream
    peers: KnownPeers
    link: VirtualLink


def agent_config(folder: Path, name: str, address: int, **policy: object) -> AgentConfig:
    state = folder / name
    state.mkdir(exist_ok=True)
    identity = {"ca": state / "ca.crt", "certificate": state / "gateway.crt", "key": state / "gateway.key"}
    return AgentConfig.model_validate(
        {
            "gateway": {"site": "site-a", "id": name, "address": address, "state_dir": state},
            "mesh": {"link": "virtual"},
            "broker": {"host": "127.0.0.1", **identity},
            "policy": policy,
        }
    )


@asynccontextmanager
async def running_gateways(
    folder: Path, site: VirtualSite, clock: ManualClock, names: Mapping[str, int], **policy: object
) -> AsyncIterator[dict[str, Gateway]]:
    """Agents by name at their addresses, opened and running until the block ends."""
    gateways = {}
    for name, address in names.items():
        link = VirtualLink(site, address, clock)
        stream = RecordedStream()
        live = {other: where for other, where in names.items() if other != name}
        peers = KnownPeers(name, live)
        agent = Agent(agent_config(folder, name, address, **policy), link, None, stream, peers, clock)
        gateways[name] = Gateway(agent, stream, peers, link)
    for gateway in gateways.values():
        for node in site.nodes.values():
            gateway.agent.site.nodes.ensure(node.address, 0.0).configuration = NodeConfiguration(
                node.address, relay_supported=node.relay_supported
            )
        gateway.agent.recover()
        await gateway.link.open()
    tasks = [
        asyncio.ensure_future(part())
        for gateway in gateways.values()
        for part in gateway.agent.parts().values()
    ]
    try:
        yield gateways
    finally:
        for gateway in gateways.values():
            await gateway.link.close()
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [
            r for r in results if isinstance(r, Exception) and not isinstance(r, asyncio.CancelledError)
        ]
        if failed:
            raise failed[0]
