"""A node's place on the meshlab's air, for a program that is no daemon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

NETWORK_PDU: Final = 0x2A
BEACON: Final = 0x2B
_MAX_DATAGRAM: Final = 31


class AirPort:
    """Node `index` of the lab whose sockets are in `folder`: open from the start until `close`.

    `heard(AD type, data)` is called for everything on the air. `send` transmits `count` times.
    """

    def __init__(
        self,
        folder: Path,
        index: int,
        heard: Callable[[int, bytes], None],
        *,
        count: int = 1,
        interval_s: float = 0.02,
    ) -> None:
        self._heard = heard
        self._count = count
        self._interval_s = interval_s
        self._air = str(folder / f"air.{index}")
        self._path = folder / f"node.{index}"
        self._loop = asyncio.get_running_loop()
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self._path))
        self._loop.add_reader(self._socket, self._read)

    def send(self, kind: int, data: bytes) -> None:
        """Transmit now and again as set. What the air has no room for is lost, as on a real one."""
        for repetition in range(self._count):
            self._loop.call_later(repetition * self._interval_s, self._transmit, bytes((kind,)) + data)

    def close(self) -> None:
        """Leave the air; safe to call twice."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._path.unlink(missing_ok=True)

    def _transmit(self, datagram: bytes) -> None:
        if self._socket.fileno() >= 0:
            with suppress(OSError):
                self._socket.sendto(datagram, self._air)

    def _read(self) -> None:
        with suppress(BlockingIOError):
            while True:
                datagram = self._socket.recv(_MAX_DATAGRAM + 1)
                # [length = 1 + data][AD type][data]
                if 3 <= len(datagram) <= _MAX_DATAGRAM and datagram[0] == len(datagram) - 1:
                    self._heard(datagram[1], datagram[2:])
