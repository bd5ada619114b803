"""A simulated node: its state, and how it answers access messages. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from common.mesh.configuration import Transmit
from firmware_bridge.access import config_state as config
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffSet, OnOffSetUnacknowledged, OnOffStatus
from firmware_bridge.access.link_monitor import MonitorGet, MonitorSet, MonitorStatus, Restart, RestartStatus
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.virtual.counting import NeighbourCounts

TWICE = Transmit(2, 20)
THINKING_S = (0.02, 0.05)
"""From a message's end to its answer: at random, that not all speak at once (Mesh Protocol 1.1, 3.7.3.1)."""

PROBING = MonitorStatus(period_units=10, report_every=10, transmissions=2)
"""Half as many reports as firmware begins with: 60 nodes would choke on them before a gateway speaks."""

_ON_AIR: Final = frozenset({"relay", "network_transmit", "relay_retransmit"})
"""What the node's radio has to know at once."""


def _untold(_address: int) -> None:
    return None


@dataclass(slots=True)
class VirtualNode:
    """State of one node. `monitored` nodes have the link-monitor model; `alive` ones have power, and
    `deaths` counts how often they lost it. `restarted_by` is the last restart's sender and token. `sequence`
    is its last probe's. `changed` is told when its radio shall do otherwise."""

    address: int
    relay: bool = False
    relay_supported: bool = True
    default_ttl: int = 7
    network_transmit: Transmit = TWICE
    relay_retransmit: Transmit = TWICE
    monitored: bool = True
    monitor: MonitorStatus = PROBING
    alive: bool = True
    on: bool = False
    counts: NeighbourCounts = field(default_factory=NeighbourCounts)
    probes: int = 0
    sequence: int = 0
    restarted_by: tuple[int, int] | None = None
    deaths: int = 0
    changed: Callable[[int], None] = _untold

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in _ON_AIR and hasattr(self, "changed"):
            self.changed(self.address)

    @property
    def monitors(self) -> bool:
        """Whether it has a link monitor that is on."""
        return self.alive and self.monitored and self.monitor.period_units > 0

    def configured(self, message: AccessMessage | Opaque) -> AccessMessage | None:
        """The Config server: the answer to a message under the device key, or None."""
        match message:
            case config.RelaySet(state, retransmit):
                self.relay = state == config.RelayState.ON and self.relay_supported
                self.relay_retransmit = retransmit
                return self._relay_status()
            case config.RelayGet():
                return self._relay_status()
            case config.DefaultTtlSet(ttl):
                self.default_ttl = ttl
                return config.DefaultTtlStatus(ttl)
            case config.DefaultTtlGet():
                return config.DefaultTtlStatus(self.default_ttl)
            case config.NetworkTransmitSet(transmit):
                self.network_transmit = transmit
                return config.NetworkTransmitStatus(transmit)
            case config.NetworkTransmitGet():
                return config.NetworkTransmitStatus(self.network_transmit)
        return None

    def answered(self, message: AccessMessage | Opaque) -> AccessMessage | None:
        """The application models: the answer to a message under an application key, or None."""
        match message:
            case OnOffGet():
                return OnOffStatus(self.on)
            case OnOffSet(on):
                self.on = on
                return OnOffStatus(self.on)
            case OnOffSetUnacknowledged(on):
                self.on = on
            case MonitorGet() if self.monitored:
                return self.monitor
            case MonitorSet() if self.monitored:
                self.monitor = MonitorStatus(
                    message.period_units, message.report_every, message.transmissions
                )
                return self.monitor
            case Restart(token) if self.monitored:
                return RestartStatus(token)
        return None

    def _relay_status(self) -> config.RelayStatus:
        state = config.RelayState(int(self.relay)) if self.relay_supported else config.RelayState.UNSUPPORTED
        return config.RelayStatus(state, self.relay_retransmit)


REQUESTS = (
    config.RelaySet, config.RelayGet, config.DefaultTtlSet, config.DefaultTtlGet, config.NetworkTransmitSet,
    config.NetworkTransmitGet, OnOffGet, OnOffSet, OnOffSetUnacknowledged, MonitorGet, MonitorSet, Restart,
)  # fmt: skip
"""Messages for a node's servers; all others are for whoever listens on the node."""
