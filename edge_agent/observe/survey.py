"""A slow round of questions: each node's configuration once, and a round trip with the quietest node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.clock import Clock
from edge_agent.observe.probe import Prober
from edge_agent.observe.site import SiteView

PERIOD_S = 4.0
"""Between two questions. A real relay carries some twenty floods a second, and a node's configuration takes
six of them."""

FIRST_PERIOD_S = 0.05
FIRST_AT_ONCE = 2
"""Nodes whose configuration is not known at all are read quickly, some at once: decisions wait for them. Not
more: all nodes are telling their links for the first time, and a crowded channel loses both."""


class Survey:
    """Reads and asks one node a period; stays quiet while an action is under way (`busy`)."""

    def __init__(self, prober: Prober, site: SiteView, clock: Clock, busy: Callable[[], bool]) -> None:
        self._prober = prober
        self._site = site
        self._clock = clock
        self._busy = busy
        self._asked_at: dict[int, float] = {}

    async def run(self) -> None:
        """Survey until cancelled."""
        while True:
            unread = self._prober.unread()
            await self._clock.sleep(FIRST_PERIOD_S if unread else PERIOD_S)
            if not self._site.mesh_up or self._busy():
                continue
            if unread:
                await self._read_at_once()
            elif await self._prober.survey_once() is None:
                await self._ask_next()

    async def _read_at_once(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(FIRST_AT_ONCE):
                tasks.create_task(self._prober.survey_once())

    async def _ask_next(self) -> None:
        """A round trip with the node that was asked longest ago: delivery seen as users see it."""
        alive = [
            (self._asked_at.get(address, 0.0), address)
            for address, record in self._site.nodes.items()
            if record.dead_since is None and address != self._site.gateway
        ]
        if alive:
            address = min(alive)[1]
            self._asked_at[address] = self._clock.monotonic()
            await self._prober.ask(address)
