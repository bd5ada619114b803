"""The messages of the link-monitor server, as they come to a node of ours."""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridge.access.link_monitor import MonitorGet, MonitorSet, Probe, ProbeAnswer, ProbeRequest
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.foundation.monitor import LinkMonitor


class MonitorServer:
    """Hands messages to `monitor` and answers by `reply(destination, message)`, which may not wait; without
    a destination it is the server's publication."""

    def __init__(
        self, address: int, monitor: LinkMonitor, reply: Callable[[int | None, AccessMessage], None]
    ) -> None:
        self._address = address
        self._monitor = monitor
        self._reply = reply

    def take(self, source: int, destination: int, parsed: AccessMessage | Opaque) -> bool:
        """Whether the message was the server's."""
        match parsed:
            case Probe():
                self._monitor.received(source, parsed)
            case ProbeAnswer():
                self._monitor.answered(source)
            case ProbeRequest():
                self._give_sign_of_life(parsed)
            case MonitorGet():
                self._reply(source, self._monitor.settings)
            case MonitorSet():
                settings = self._monitor.apply(parsed)
                if destination == self._address:
                    self._reply(source, settings)
            case _:
                return False
        return True

    def _give_sign_of_life(self, request: ProbeRequest) -> None:
        if request.transmitter == self._address:
            answer = self._monitor.sign_of_life()
            if answer is not None:
                self._reply(None, answer)
