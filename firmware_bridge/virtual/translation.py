"""From a packet of the simulation to the event that a mesh link tells."""

from __future__ import annotations

from common.errors import Rejected
from firmware_bridge.access import catalogue
from firmware_bridge.access.link_monitor import Lost, Report, ReportPair, ReportRssi
from firmware_bridge.link import Event, Heartbeat, LostNeighbour, Message, NeighbourCount, NeighbourReport
from firmware_bridge.virtual.site import Packet


def event(t: float, packet: Packet) -> Event:
    """What a packet that no one waited for says; `t` is when it came, by the link's clock."""
    if packet.payload is None:
        return Heartbeat(t, packet.source, packet.hops)
    try:
        message = catalogue.parse(packet.payload)
    except Rejected:
        message = None
    match message:
        case Report(entries) | ReportRssi(entries) | ReportPair(entries):
            counts = tuple(
                NeighbourCount(e.transmitter, e.heard, e.expected, e.transmissions, e.rssi_dbm)
                for e in entries
            )
            return NeighbourReport(t, packet.source, counts)
        case Lost(transmitter, missed):
            return LostNeighbour(t, packet.source, transmitter, missed)
    return Message(t, packet.source, packet.destination, packet.payload, packet.hops)
