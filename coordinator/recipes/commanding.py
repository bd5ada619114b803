"""Sends a command to a gateway and repeats it until its result is stored.

The broker's acknowledgement says nothing about the gateway, so only the result counts. It arrives in the
durable stream; a repetition is harmless, because a gateway carries out each id once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from common import topics
from common.clock import Clock
from common.commands import Command, CommandResult
from common.errors import TimedOut, Unavailable
from common.logs import get_logger
from common.messages import Kind, encode
from common.topics import Channel
from coordinator.repository.bus import Stored, Subscription
from coordinator.repository.store import Repository

REPEAT_S: Final = 2.0
GRACE_S: Final = 10.0
PUTTING_BACK_S: Final = 5.0
"""A gateway that began in time may still wait for the effect, or put node after node back, when the command
has expired; and a result may be on its way."""
LOOK_BACK_S: Final = 60.0
PERIODS: Final = 3

log = get_logger(__name__)


class Line(Protocol):
    """The connection to the broker."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """Queue a message; False while there is no connection."""


class CommandDesk:
    """Any number of commands may be under way. Belongs to the event loop."""

    def __init__(
        self, line: Line, repository: Repository, site_of: Callable[[str], str | None], clock: Clock
    ) -> None:
        """`site_of` tells where a gateway is enrolled, None for a stranger or a revoked one."""
        self._line = line
        self._repository = repository
        self._site_of = site_of
        self._clock = clock

    async def order(
        self, site: str, gateway: str, command: Command, since: float | None = None
    ) -> CommandResult:
        """The result of `command`, sent and repeated until it is stored, or found stored already: of late, or
        at any time from `since` on.

        Cancelling forgets the result, not the command. Raises TimedOut when it expired without a result: what
        became of it is not known then.
        """
        since = command.issued - LOOK_BACK_S if since is None else since - LOOK_BACK_S
        with self._repository.bus.subscribe() as news:
            if (found := await self._find(site, gateway, command, since)) is not None:
                return found
            try:
                async with asyncio.timeout(_last_moment(command) - self._clock.wall()):
                    return await self._repeat_until_stored(site, gateway, command, since, news)
            except TimeoutError as error:
                raise TimedOut(f"{gateway} told no result of {command.kind} {command.id}") from error

    async def _repeat_until_stored(
        self, site: str, gateway: str, command: Command, since: float, news: Subscription
    ) -> CommandResult:
        while True:
            if self._clock.wall() <= command.expires and self._site_of(gateway) == site:
                self._line.publish(topics.of(site, gateway, Channel.COMMAND), encode(command))
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_S):
                    await _until_a_result(news, site)
            if (found := await self._find(site, gateway, command, since)) is not None:
                return found

    async def _find(self, site: str, gateway: str, command: Command, since: float) -> CommandResult | None:
        try:
            told = await asyncio.to_thread(self._repository.results, site, since)
        except Unavailable as error:
            log.warning("results-not-read", site=site, error=error)
            return None
        # The first counts: whatever is told later repeats it.
        return next((t.result for t in told if t.result.id == command.id and t.gateway == gateway), None)

    async def acting(self, site: str) -> str:
        """The gateway that acts for a site now. Raises Unavailable when none is heard."""
        records = await asyncio.to_thread(self._repository.gateways)
        now = self._clock.wall()
        live = []
        for name, record in records.items():
            status = record.status
            if status is None or not status.online or status.site != site or self._site_of(name) != site:
                continue
            if status.tier != "gateway":
                continue  # It only runs tasks: no mesh is at its hands.
            if now - record.last_seen <= PERIODS * status.period_s:
                live.append((not status.acting, name))
        if not live:
            raise Unavailable(f"no gateway of site {site} is live\n  fix: look at coordinator gateways")
        return min(live)[1]


def _last_moment(command: Command) -> float:
    """When a result can no longer be on its way."""
    return command.expires + command.window_s + PUTTING_BACK_S * len(command.steps) + GRACE_S


async def _until_a_result(news: Subscription, site: str) -> None:
    async for one in news:
        if not isinstance(one, Stored) or (one.site == site and one.kind is Kind.RESULT):
            return
