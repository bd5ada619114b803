"""Letters to peers and to the cloud, on their way through the one connection that a gateway has.

The broker knows one connection per certificate, so letters share it with the status and the durable stream.
They come last: at most `ON_WAY_BYTES` of them are with the broker at once, so that a status or an alarm never
waits behind more than that. Nothing here is certain: a letter that the connection loses is lost, and whoever
sent it asks again. Pure; `mqtt` feeds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

WAITING: Final = 512
WAITING_BYTES: Final = 2 << 20
# Half a second of a line of 1 Mbit/s.
ON_WAY_BYTES: Final = 72 * 1024
# Of the 32 publications that the line allows at once, the durable stream keeps the most.
ON_WAY: Final = 8


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to a peer's topic."""

    topic: str
    payload: bytes = field(repr=False)


class Post:
    """First in, first out. Full policy: the newest is refused and counted in `dropped`; its sender asks
    again later. `wake` is called when there is something to send."""

    def __init__(self) -> None:
        self._waiting: deque[Letter] = deque()
        self._waiting_bytes = 0
        self._on_way: dict[int, int] = {}
        self._on_way_bytes = 0
        self.dropped = 0
        self.refused = 0
        """Letters that the broker did not take."""
        self.wake: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, topic: str, payload: bytes) -> bool:
        """Queue a letter; False when there is no room for it."""
        if len(self._waiting) >= WAITING or self._waiting_bytes + len(payload) > WAITING_BYTES:
            self.dropped += 1
            return False
        self._waiting.append(Letter(topic, payload))
        self._waiting_bytes += len(payload)
        self.wake()
        return True

    def next(self) -> Letter | None:
        """The next letter to send, taken out; None when there is none or enough are on their way."""
        if not self._waiting or len(self._on_way) >= ON_WAY or self._on_way_bytes >= ON_WAY_BYTES:
            return None
        letter = self._waiting.popleft()
        self._waiting_bytes -= len(letter.payload)
        return letter

    def sent(self, mid: int, letter: Letter) -> None:
        """The connection took `letter` as publication `mid`."""
        self._on_way[mid] = len(letter.payload)
        self._on_way_bytes += len(letter.payload)

    def acknowledged(self, mid: int, refused: str | None) -> None:
        """The broker answered publication `mid`; any that is no letter is ignored."""
        if (size := self._on_way.pop(mid, None)) is not None:
            self._on_way_bytes -= size
            self.refused += refused is not None

    def disconnected(self) -> None:
        """The connection ended, and what was on its way with it."""
        self._on_way.clear()
        self._on_way_bytes = 0
