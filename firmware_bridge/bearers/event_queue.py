"""The queue between a bearer and the one consumer of its events."""

from __future__ import annotations

from typing import Final

from firmware_bridge.bearers.bearer import BearerEvent, PduReceived
from firmware_bridge.bounded_events import BoundedEvents

LIMIT: Final = 512


class BearerEvents(BoundedEvents[BearerEvent]):
    """When full, at a limit of two or more, the oldest PDU goes, counted in `dropped`. Where there is none,
    the two oldest events go, an up and its down: what is left still tells the state truly."""

    def __init__(self, limit: int = LIMIT) -> None:
        super().__init__(limit)

    def _make_room(self) -> None:
        for index, event in enumerate(self._events):
            if isinstance(event, PduReceived):
                del self._events[index]
                self.dropped += 1
                return
        self._events.popleft()
        self._events.popleft()
