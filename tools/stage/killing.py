"""SIGKILL for the processes of a fleet: which, in what circumstances, and what they left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

from common.errors import MeshtwinError, Unavailable
from tools.stage.backlog import Backlog
from tools.stage.daemon import Daemon
from tools.stage.evidence import Deposition, deposition
from tools.stage.fleet import Fleet

BROKER: Final = "broker"
COORDINATOR: Final = "coordinator"
UPLINK: Final = (BROKER, COORDINATOR)
"""Without one of these the agents' outboxes fill."""

DOWN_S: Final = (0.0, 1.5)
BACKLOG_S: Final = (2.0, 4.0)
STAGGER_S: Final = 0.6
# An agent takes a second from its start to its first message, a coordinator two.
START_S: Final = 1.5


class Circumstance(StrEnum):
    """When a process is killed."""

    ALONE = "alone"
    TOGETHER = "together"
    STARTING = "starting"
    DRAINING = "draining"
    OUTAGE = "outage"


@dataclass(frozen=True, slots=True)
class Round:
    """Processes to kill, one kill each. DRAINING: the first one's absence makes the backlog."""

    circumstance: Circumstance
    victims: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL that hit a running process. `queued` envelopes waited in the outboxes just before."""

    victim: str
    circumstance: Circumstance
    queued: int


def plan(kills: int, gateways: Sequence[str], random: Random) -> list[Round]:
    """Rounds with `kills` kills in all, every circumstance and every process in turn."""
    victims = _deck((*UPLINK, *gateways), random)
    circumstances = _deck([c for c in Circumstance if c is not Circumstance.OUTAGE], random)
    rounds: list[Round] = []
    left = kills
    while left > 0:
        made = _round(next(circumstances), victims, random)
        if len(made.victims) > left:
            made = Round(Circumstance.ALONE, (next(victims),))
        rounds.append(made)
        left -= len(made.victims)
    return rounds


def _round(circumstance: Circumstance, victims: Iterator[str], random: Random) -> Round:
    match circumstance:
        case Circumstance.TOGETHER:
            drawn = set(islice(victims, random.choice((2, 3))))
            while len(drawn) < 2:
                drawn.add(next(victims))
            return Round(circumstance, tuple(sorted(drawn)))
        case Circumstance.STARTING:
            return Round(circumstance, (next(victims),) * 2)
        case Circumstance.DRAINING:
            return Round(circumstance, (random.choice(UPLINK), next(victims)))
    return Round(circumstance, (next(victims),))


def _deck(cards: Sequence[Any], random: Random) -> Iterator[Any]:
    """The cards in random order, shuffled again each time they are through."""
    while True:
        yield from random.sample(cards, len(cards))


class Reaper:
    """Kills processes of `fleet` and starts them again. `states` are the agents' state folders.

    Every process is expected to run: one that ended by itself is an error, Unavailable.
    """

    def __init__(
        self, fleet: Fleet, states: dict[str, Path], random: Random, say: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._states = states
        self._random = random
        self._say = say
        self.backlog = Backlog(fleet, states)
        self.kills: list[Kill] = []
        self.depositions: dict[str, list[Deposition]] = {name: [] for name in states}
        self.duplicates = 0
        """Messages that the coordinators, as far as they could be asked before they died, had got again."""

    def daemon(self, name: str) -> Daemon:
        """A process by name."""
        return {BROKER: self._fleet.broker, COORDINATOR: self._fleet.coordinator, **self._fleet.agents}[name]

    async def kill(self, name: str, circumstance: Circumstance) -> None:
        """Kill a running process; an agent's outbox file testifies before anybody touches it again.

        Raises Unavailable when it does not run any more.
        """
        daemon = self.daemon(name)
        queued = await self.backlog.queued()
        if name == COORDINATOR:
            await self._note_duplicates()
        if not daemon.runs:
            raise Unavailable(f"{name} ended by itself:\n{daemon.last_lines()}")
        await daemon.kill()
        self.kills.append(Kill(name, circumstance, queued))
        self._say(f"kill {len(self.kills)}: {name}, {circumstance}, {queued} envelopes queued")
        if name in self._states:
            self.depositions[name].append(await asyncio.to_thread(deposition, self._states[name]))

    async def carry_out(self, round_: Round) -> None:
        """One round, from everything running to everything running."""
        match round_.circumstance:
            case Circumstance.STARTING:
                await self._while_starting(round_.victims[0])
            case Circumstance.DRAINING:
                await self._while_draining(*round_.victims)
            case _:
                await self._together(round_)
        await self.all_ready()

    async def all_ready(self) -> None:
        """Wait until every process does its work. Raises TimedOut or Unavailable."""
        for name in (*UPLINK, *self._states):
            await self.daemon(name).until_ready()

    async def finish(self) -> None:
        """Kill every process, in the midst of its work, for good."""
        await self._note_duplicates()
        for name in (*self._states, *UPLINK):
            await self.daemon(name).kill()

    async def _together(self, round_: Round) -> None:
        async with asyncio.TaskGroup() as tasks:
            for victim in round_.victims:
                tasks.create_task(self._fell(victim, round_.circumstance, self._random.uniform(0, STAGGER_S)))

    async def _fell(self, name: str, circumstance: Circumstance, after: float) -> None:
        await asyncio.sleep(after)
        await self.kill(name, circumstance)
        await asyncio.sleep(self._random.uniform(*DOWN_S))
        await self.daemon(name).spawn()

    async def _while_starting(self, name: str) -> None:
        """The second kill finds it anywhere between its first instruction and its work."""
        await self._fell(name, Circumstance.ALONE, self._random.uniform(0, STAGGER_S))
        await asyncio.sleep(self._random.uniform(0, START_S))
        await self.kill(name, Circumstance.STARTING)
        await self.daemon(name).spawn()

    async def _while_draining(self, uplink: str, name: str) -> None:
        await self.kill(uplink, Circumstance.ALONE)
        await asyncio.sleep(self._random.uniform(*BACKLOG_S))
        before = await self.backlog.positions()
        await self.daemon(uplink).spawn()
        await self.backlog.moves([name] if name in self._states else self._states, before)
        await self.kill(name, Circumstance.DRAINING)
        await asyncio.sleep(self._random.uniform(*DOWN_S))
        await self.daemon(name).spawn()

    async def _note_duplicates(self) -> None:
        try:
            self.duplicates += (await self._fleet.ask_coordinator("health"))["duplicates"]
        except MeshtwinError:
            pass  # it has only just started, or cannot answer: then what it knew is not counted
