"""What a service manager is told about this process: the sd_notify protocol, on the standard library.

A message is one datagram of `NAME=value` lines to the socket in $NOTIFY_SOCKET; sd_notify(3). Without that
variable nothing is sent. Knows nothing of what makes a process ready or alive.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

MAX_STATUS: Final = 200


class Notifier:
    """Sends to `address`, or nowhere when it is empty. Never waits and never raises: a manager that does not
    listen is its own trouble; `lost` counts what it did not take.

    `watchdog_s` is how long the manager waits between two `alive`; None when it does not watch.
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        # A leading @ stands for the zero byte of Linux's abstract namespace; unix(7).
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s if address else None
        self.lost = 0

    def ready(self, status: str = "") -> None:
        """The process does its work from now on."""
        self._send("READY=1", status)

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("", text)

    def alive(self, status: str = "") -> None:
        """The loop that matters has made a turn."""
        self._send("WATCHDOG=1", status)

    def stopping(self, status: str = "") -> None:
        """The process is about to end by its own will."""
        self._send("STOPPING=1", status)

    def _send(self, state: str, status: str) -> None:
        if not self._address:
            return
        line = "".join(c if c.isprintable() else " " for c in status[:MAX_STATUS])
        message = "\n".join([*([state] if state else []), *([f"STATUS={line}"] if line else [])])
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), self._address)
        except OSError:
            self.lost += 1


def from_environment(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """The notifier of this process. Takes the variables out of `environment`: a child is not the service, and
    must not speak for it. Call it once.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds = environment.pop("WATCHDOG_USEC", "")
    addressee = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
    if not address.startswith(("/", "@")):
        return Notifier()
    watched = microseconds.isdecimal() and int(microseconds) > 0 and addressee == str(os.getpid())
    return Notifier(address, int(microseconds) / 1e6 if watched else None)
