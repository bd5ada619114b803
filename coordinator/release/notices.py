"""For every gateway that refuses a model or finds it worse than naive: a line in the coordinator's log, and
a verdict in the registry, from events and statuses alike."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from common.clock import Clock
from common.errors import Corrupt, MeshtwinError, Unavailable
from common.logs import get_logger
from common.messages import Kind
from common.tasks import together
from coordinator.release.standing import EVENTS, Live, told_by
from coordinator.repository.bus import Stored
from coordinator.repository.history import Happening
from coordinator.repository.store import Repository

Remember = Callable[[Sequence[Live] | None], None]
"""Keeps what gateways say; None: what their statuses say now."""

# Statuses change every few seconds, verdicts once in a while.
STATUSES_S: Final = 10.0
# Events looked at for one piece of news, and those remembered so that none is told twice.
_AT_ONCE: Final = 1000
_REMEMBERED: Final = 4096
# After falling behind, how far back to look; older ones are in the repository.
_LAGGED_S: Final = 600.0

log = get_logger(__name__)


class ModelNotices:
    """Follows the stored events and statuses until cancelled."""

    def __init__(self, repository: Repository, clock: Clock, remember: Remember) -> None:
        self._repository = repository
        self._clock = clock
        self._remember = remember
        self._failing = False
        self._told: deque[tuple[str, float, str]] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Log and remember until cancelled."""
        async with together() as tasks:
            tasks.create_task(self._follow_statuses())
            await self._follow_events()

    async def _follow_statuses(self) -> None:
        while True:
            await self._keep(None)
            await self._clock.sleep(STATUSES_S)

    async def _keep(self, said: Sequence[Live] | None) -> None:
        """A disk or database that fails now is asked again, and a release asks it, too."""
        try:
            await asyncio.to_thread(self._remember, said)
            self._failing = False
        except MeshtwinError as error:
            if not self._failing:
                log.warning("verdicts-not-kept", reason=error)
            self._failing = True

    async def _follow_events(self) -> None:
        with self._repository.bus.subscribe() as news:
            async for one in news:
                if isinstance(one, Stored) and one.kind is not Kind.EVENT:
                    continue
                now = self._clock.wall()
                site, t0, t1 = (
                    (one.site, one.t0, one.t1) if isinstance(one, Stored) else (None, now - _LAGGED_S, now)
                )
                await self._look(site, t0, t1)

    async def _look(self, site: str | None, t0: float, t1: float) -> None:
        try:
            # The end is not included.
            found = await asyncio.to_thread(self._repository.events, site, t0, t1 + 1e-3, _AT_ONCE)
        except (Unavailable, Corrupt) as error:
            log.warning("events-unreadable", error=error)
            return
        news = [event for event in reversed(found) if event.name in EVENTS]
        for event in news:
            self._tell(event)
        said = [told_by(event.site, event.gateway, event.name, event.fields) for event in news]
        if kept := [one for one in said if one is not None]:
            await self._keep(kept)

    def _tell(self, event: Happening) -> None:
        key = (event.gateway, event.t, event.name)
        if key not in self._told:
            self._told.append(key)
            fields = {f"told_{name}" if name in _OURS else name: v for name, v in event.fields.items()}
            log.warning(event.name, gateway=event.gateway, site=event.site, **fields)


_OURS: Final = frozenset({"gateway", "site", "event", "self"})
