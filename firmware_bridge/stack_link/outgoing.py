"""What waits for the bearer: the stack's PDUs in order, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from common.errors import MeshtwinError
from common.logs import Logger
from common.mesh.configuration import Transmit
from firmware_bridge.bearers.bearer import AdvertisingBearer, Bearer
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import PduType

WAITING: Final = 128
"""When so many PDUs wait, whoever sends waits, too; answers, which cannot, are left out."""

MOST: Final = 4 * WAITING
"""With so many, what comes on top is left out: segments and acknowledgements, which the stack repeats."""


class Outgoing:
    """PDUs for one bearer. `news` is set when there are any; `not_sent` counts what the bearer refused,
    `left_out` what found no room."""

    def __init__(self, node: StackNode, log: Logger) -> None:
        self._node = node
        self._log = log
        self._queue: deque[tuple[PduType, bytes, Transmit | None]] = deque()
        self._room = asyncio.Event()
        self.news = asyncio.Event()
        self.not_sent = 0
        self.left_out = 0

    @property
    def full(self) -> bool:
        """Whether nothing more should be sent now."""
        return len(self._queue) >= WAITING

    def collect(self, transmit: Transmit | None = None) -> None:
        """Take over what the stack has to transmit; `transmit` replaces network transmit for it."""
        for pdu in self._node.outgoing():
            self.put(PduType.NETWORK, pdu, transmit)

    def put(self, kind: PduType, data: bytes, transmit: Transmit | None = None) -> None:
        """Add a PDU; never waits. A queue that is full to the brim leaves it out, counted."""
        if len(self._queue) >= MOST:
            self.left_out += 1
            return
        self._queue.append((kind, data, transmit))
        self.news.set()

    async def room(self) -> None:
        """Return once the queue is not full, or was cleared."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def clear(self) -> None:
        """Forget what waits: the bearer is down, and numbers that were not used hurt nobody."""
        self._queue.clear()
        self._room.set()

    async def drain(self, bearer: Bearer) -> None:
        """Pass everything on."""
        while self._queue:
            kind, data, transmit = self._queue.popleft()
            self._room.set()
            try:
                if transmit is not None and isinstance(bearer, AdvertisingBearer):
                    await bearer.send(kind, data, transmit)
                else:
                    await bearer.send(kind, data)
            except MeshtwinError as error:
                self.not_sent += 1
                self._log.debug("pdu-not-sent", kind=kind.name, error=error)
