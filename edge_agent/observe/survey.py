"""A slow round of questions: each node's configuration once, and a round trip with the quietest node."""

from __future__ import annotations

from collections.abc import Callable

from common.clock import Clock
from edge_agent.observe.probe import Prober
from edge_agent.observe.site import SiteView

PERIOD_S = 2.0
FIRST_PERIOD_S = 0.1
"""Between two nodes whose configuration is not known at all: decisions wait for it."""


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
            await self._clock.sleep(FIRST_PERIOD_S if self._prober.unread() else PERIOD_S)
            if not self._site.mesh_up or self._busy():
                continue
            if await self._prober.survey_once() is None:
                await self._ask_next()

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
