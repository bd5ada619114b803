"""A line in the coordinator's log for every gateway that refuses a model or finds it worse than naive."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from common.clock import Clock
from common.errors import Corrupt, Unavailable
from common.logs import get_logger
from common.messages import Kind
from coordinator.repository.bus import Stored
from coordinator.repository.history import Happening
from coordinator.repository.store import Repository

EVENTS: Final = frozenset({"model-refused", "model-worse-than-naive"})
# Events looked at for one piece of news, and those remembered so that none is told twice.
_AT_ONCE: Final = 1000
_REMEMBERED: Final = 4096
# After falling behind, how far back to look; older ones are in the repository.
_LAGGED_S: Final = 600.0

log = get_logger(__name__)


class ModelNotices:
    """Follows the stored events until cancelled."""

    def __init__(self, repository: Repository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._told: deque[tuple[str, float, str]] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Log until cancelled."""
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
        for event in reversed(found):
            if event.name in EVENTS:
                self._tell(event)

    def _tell(self, event: Happening) -> None:
        key = (event.gateway, event.t, event.name)
        if key not in self._told:
            self._told.append(key)
            fields = {f"told_{name}" if name in _OURS else name: v for name, v in event.fields.items()}
            log.warning(event.name, gateway=event.gateway, site=event.site, **fields)


_OURS: Final = frozenset({"gateway", "site", "event", "self"})
