"""Two nodes and one link on the air."""

from __future__ import annotations

from common.mesh.configuration import Transmit
from firmware_bridge.access.link_monitor import MonitorStatus
from firmware_bridge.virtual.air import HARDWARE, Air, Heard
from firmware_bridge.virtual.node import VirtualNode
from firmware_bridge.virtual.radio import Links

PAUSE_S = 0.05


def share_heard(pdr: float, size: int, tries: int, margin_db: float | None = None) -> float:
    """The share of single packets that 2 hears of 1 over a link of this PDR."""
    once = MonitorStatus(10, 5, 1)
    nodes = {a: VirtualNode(a, network_transmit=Transmit(1, 20), monitor=once) for a in (1, 2)}
    margins = None if margin_db is None else {(1, 2): margin_db}
    air = Air(nodes, Links({(1, 2): pdr}, margins=margins), {}, 6.0, HARDWARE, seed=1)
    heard: list[Heard] = []
    for i in range(tries):
        air.publish(nodes[1], size, heard.append, i * PAUSE_S)
    for take, one in air.advance(tries * PAUSE_S + 1.0):
        take(one)
    assert {one.node for one in heard} <= {2}
    return len(heard) / tries
