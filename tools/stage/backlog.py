"""How much waits in the outboxes of a fleet's agents, as the agents say, and waiting until it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from common.errors import MeshtwinError, TimedOut
from tools.stage.fleet import Fleet

WITHIN_S: Final = 60.0
DRAINED_WITHIN_S: Final = 600.0
LOOK_S: Final = 0.01

Position: TypeAlias = tuple[int, int]
"""(acknowledged, queued): their sum is the last sequence."""


class Backlog:
    """The outboxes of `gateways`. Everything is asked of the agents, which may be down."""

    def __init__(self, fleet: Fleet, gateways: Iterable[str]) -> None:
        self._fleet = fleet
        self.gateways = list(gateways)

    async def positions(self) -> dict[str, Position]:
        """Where every agent stands that answers."""
        return {name: at for name in self.gateways if (at := await self._position(name))}

    async def all_positions(self) -> dict[str, Position]:
        """Where every agent stands, once all answer. Raises TimedOut."""
        async with _within(WITHIN_S, "not every agent answers"):
            while True:
                found = await self.positions()
                if len(found) == len(self.gateways):
                    return found
                await asyncio.sleep(LOOK_S)

    async def queued(self) -> int:
        """Envelopes in the outboxes whose agents answer."""
        return sum([queued for _, queued in (await self.positions()).values()])

    async def moves(self, gateways: Collection[str], before: Mapping[str, Position]) -> None:
        """Return at the first acknowledgement for one of `gateways` since `before`. Raises TimedOut."""
        known = {name: acked for name, (acked, _) in before.items()}
        async with _within(WITHIN_S, "no outbox drains"):
            while True:
                now = await self.positions()
                # One that did not answer before counts from when it first does.
                if any(
                    now[name][0] > known.setdefault(name, now[name][0]) for name in gateways if name in now
                ):
                    return
                await asyncio.sleep(LOOK_S)

    async def drained(self, heads: Mapping[str, int]) -> None:
        """Return once everything up to `heads` is acknowledged. Raises TimedOut."""
        async with _within(DRAINED_WITHIN_S, "the outboxes do not drain"):
            while True:
                now = await self.positions()
                if all(name in now and now[name][0] >= head for name, head in heads.items()):
                    return
                await asyncio.sleep(LOOK_S)

    async def _position(self, name: str) -> Position | None:
        try:
            outbox = (await self._fleet.ask_agent(name, "status"))["outbox"]
        except MeshtwinError:
            return None
        return outbox["acknowledged"], outbox["queued"]


@asynccontextmanager
async def _within(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimedOut(f"{what} within {seconds:.0f} s") from error
