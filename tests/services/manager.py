"""The service manager's end of the notify protocol: a datagram socket, and what came through it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType


class Manager:
    """`with Manager(path) as manager:` listens; `path` may be "@name" for an abstract socket."""

    def __init__(self, path: Path | str, watchdog_s: float = 4.0) -> None:
        self.address = str(path)
        self.watchdog_s = watchdog_s
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Manager:
        self._socket.bind("\0" + self.address[1:] if self.address.startswith("@") else self.address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    @property
    def environment(self) -> dict[str, str]:
        """What systemd would set for the service."""
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(self.watchdog_s * 1e6))}

    def receive(self, seconds: float) -> str | None:
        """The next message, or None when none comes in time."""
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(4096).decode()
        except TimeoutError:
            return None
        self.heard.append(message)
        return message

    def until(self, wanted: str, seconds: float = 60.0, alive: Callable[[], None] = lambda: None) -> str:
        """The first message that holds `wanted`; `alive` may raise when waiting is vain."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self.receive(0.2)
            if message is not None and wanted in message.splitlines() + [message]:
                return message
            alive()
        raise AssertionError(f"no {wanted}; heard {self.heard}")

    def until_silence(self, quiet_s: float, seconds: float = 60.0) -> None:
        """Return once nothing has come for `quiet_s`."""
        deadline = time.monotonic() + seconds
        while self.receive(quiet_s) is not None:
            assert time.monotonic() < deadline, "it does not fall silent"
