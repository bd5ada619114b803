"""The queue between a mesh link and the one consumer of its events."""

from __future__ import annotations

from firmware_bridge.bounded_events import BoundedEvents
from firmware_bridge.link import Event, Heartbeat, Message, NeighbourReport

# What can be missed, least important first: the next one of its kind tells nearly the same.
_DISPENSABLE: tuple[type[Event], ...] = (Heartbeat, Message, NeighbourReport)


class EventQueue(BoundedEvents[Event]):
    """When full, the oldest `Heartbeat` goes, else the oldest `Message`, else the oldest `NeighbourReport`,
    else the oldest event; `dropped` counts them."""

    def __init__(self, limit: int = 4096) -> None:
        super().__init__(limit)

    def _make_room(self) -> None:
        self.dropped += 1
        for kind in _DISPENSABLE:
            for index, event in enumerate(self._events):
                if isinstance(event, kind):
                    del self._events[index]
                    return
        self._events.popleft()
