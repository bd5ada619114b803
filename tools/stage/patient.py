"""A site with its agents: whom to injure, whom to ask, and when it has settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from common.errors import MeshtwinError, TimedOut
from tools.stage.fleet import Fleet
from tools.stage.healing import PING_TIMEOUT_S, Ping, Site, can_be_mended, cut_off_by

POLL_S: Final = 0.5
Status = dict[str, Any]


@dataclass
class Patient:
    """A site on the stage and its agents: gateway ids, lowest first, with their addresses. `baseline` is the
    relay set that it began with."""

    stage: Site
    agents: dict[str, int]
    baseline: frozenset[int] = frozenset()

    @property
    def first(self) -> str:
        """The agent that acts while the broker is there."""
        return next(iter(self.agents))


@dataclass(frozen=True, slots=True)
class Victim:
    """A relay whose death cuts nodes off, and the agent that has to mend it."""

    relay: int
    agent: str
    cut_off: frozenset[int]


async def victims_of(fleet: Fleet, patient: Patient, alone: bool) -> list[Victim]:
    """Relays whose death can be mended, by address. `alone`: each gateway minds its home nodes only."""
    graph, relays = await patient.stage.graph(), await patient.stage.relays()
    gateways = frozenset(patient.agents.values())
    victims: dict[int, Victim] = {}
    for agent, gateway in patient.agents.items():
        mine = await _homes(fleet, agent) if alone else graph.nodes
        for relay in relays - gateways - victims.keys():
            cut_off = cut_off_by(graph, relays, {gateway: mine - {gateway}}, relay)
            if cut_off and can_be_mended(graph, mine - gateways, relays, gateway, relay, cut_off):
                victims[relay] = Victim(relay, agent, cut_off)
        if not alone:
            break
    return [victim for _, victim in sorted(victims.items())]


def pinger(fleet: Fleet, agent: str) -> Ping:
    """Asks nodes through an agent."""

    async def ping(node: int) -> bool:
        try:
            await fleet.ask_agent(agent, "ping", node=node, timeout_s=PING_TIMEOUT_S)
        except MeshtwinError:
            return False
        return True

    return ping


async def until(fleet: Fleet, agent: str, good: Callable[[Status], bool], within_s: float) -> None:
    """Wait until an agent's status is good. Raises TimedOut with the agent's last log lines."""
    try:
        async with asyncio.timeout(within_s):
            # Another process's state: there is no event to wait for.
            while not good(await fleet.ask_agent(agent, "status")):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
    except TimeoutError as error:
        raise TimedOut(f"{agent} did not settle:\n{fleet.agents[agent].last_lines()}") from error


async def _homes(fleet: Fleet, agent: str) -> frozenset[int]:
    status = await fleet.ask_agent(agent, "status")
    return frozenset(int(n["address"], 16) for n in status["nodes"] if n["home"] == agent)
