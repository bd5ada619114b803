"""What other nodes' link monitors report, as events of a link."""

from __future__ import annotations

from firmware_bridge.access.link_monitor import Lost, Report, ReportEntry, ReportPair, ReportRssi
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.link import LostNeighbour, NeighbourCount, NeighbourReport


def told(t: float, source: int, parsed: AccessMessage | Opaque) -> NeighbourReport | LostNeighbour | None:
    """The event in a monitor's message; None for any other message. `t` is when it came."""
    match parsed:
        case Report(entries=entries) | ReportRssi(entries=entries) | ReportPair(entries=entries):
            return NeighbourReport(t, source, tuple(_count(entry) for entry in entries))
        case Lost(transmitter=transmitter, missed=missed):
            return LostNeighbour(t, source, transmitter, missed)
    return None


def _count(entry: ReportEntry) -> NeighbourCount:
    return NeighbourCount(entry.transmitter, entry.heard, entry.expected, entry.transmissions, entry.rssi_dbm)
