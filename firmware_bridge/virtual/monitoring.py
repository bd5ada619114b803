"""The link monitor of a whole simulated site: probes, reports and lost reports of every node.

As PROTOCOL.md has it, with one difference for dense sites, where each node hears dozens: a report takes the
neighbours that wait longest instead of all. What follows a missed probe is in `doubts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.access.link_monitor import (
    MONITOR_REPORTS,
    MonitorStatus,
    ReportEntry,
    reports,
)
from firmware_bridge.virtual.counting import DETECTION, NeighbourCounts
from firmware_bridge.virtual.doubts import Doubts
from firmware_bridge.virtual.node import VirtualNode

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite

GRACE_SPREAD = (1.0, 1.2)
"""Each node's own factor: not all neighbours of a dead node speak at once."""

REPORT_ENTRIES = 8
"""At most this many neighbours a report; those that wait longest go first."""


class Monitoring:
    """Schedules every node's probes on the site's agenda and feeds the receivers' counts.

    A probe slot of a dead node still happens: its neighbours miss the probe then.
    """

    def __init__(self, site: VirtualSite, at_first: MonitorStatus) -> None:
        self._site = site
        self._at_first = at_first
        self.doubts = Doubts(site)
        self.probes = 0
        self._spread = {address: site.random.uniform(*GRACE_SPREAD) for address in site.nodes}
        # A slot of an older generation is void: the node's period has changed since.
        self._generation = dict.fromkeys(site.nodes, 0)

    def start(self, node: VirtualNode) -> None:
        """Begin a node's probes at a random moment of its period."""
        if node.monitored and node.monitor.period_units:
            delay = node.monitor.period_s * self._site.random.random()
            self._site.after(delay, self._slot, node, self._generation[node.address])

    def restarted(self, node: VirtualNode) -> None:
        """A node came back without its neighbour table and settings."""
        before, node.monitor = node.monitor, self._at_first
        node.counts = NeighbourCounts()
        node.probes = 0
        self.changed(node, before)

    def changed(self, node: VirtualNode, before: MonitorStatus) -> None:
        """A node got other settings."""
        if node.monitor.period_units == before.period_units:
            return
        self._generation[node.address] += 1
        self.start(node)
        if not node.monitor.period_units:
            node.counts = NeighbourCounts()
            self.farewell(node)

    def farewell(self, node: VirtualNode) -> None:
        """A node tells its neighbours that it will probe no more."""
        for receiver in self._site.links.out.get(node.address, {}):
            self._site.nodes[receiver].counts.forget(node.address)

    def _slot(self, node: VirtualNode, generation: int) -> None:
        if generation != self._generation[node.address]:
            return
        site, period = self._site, node.monitor.period_s
        site.after(period, self._slot, node, generation)
        speaks = site.speaks(node.address)
        grace = max(DETECTION.least_grace_s, DETECTION.grace * period)
        for receiver in self._probe(node, speaks):
            delay = grace * self._spread[receiver.address]
            site.after(delay, self.doubts.suspect, receiver, node.address)
        if speaks:
            self._count_probe(node)

    def _probe(self, node: VirtualNode, speaks: bool) -> list[VirtualNode]:
        """Let the neighbours count one probe; those are returned that may come to doubt it."""
        site, transmitter, transmissions = self._site, node.address, node.monitor.transmissions
        draw, nodes, silent = site.random.random, site.nodes, []
        for address, pdr in site.links.out.get(transmitter, {}).items():
            receiver = nodes[address]
            if not receiver.monitors:
                continue
            if speaks and draw() < 1.0 - (1.0 - pdr) ** transmissions:
                receiver.counts.heard(transmitter, pdr)
            elif receiver.counts.missed(transmitter):
                silent.append(receiver)
        return silent

    def _count_probe(self, node: VirtualNode) -> None:
        self.probes += 1
        node.probes += 1
        if node.probes < node.monitor.report_every:
            return
        node.probes = 0
        messages = reports(self._entries(node))
        spread = min(1.0, node.monitor.period_s) / max(1, len(messages))
        for i, message in enumerate(messages):
            delay = spread * (i + self._site.random.random())
            self._site.after(delay, self._site.publish, node.address, MONITOR_REPORTS, message)

    def _entries(self, node: VirtualNode) -> list[ReportEntry]:
        signals, transmissions = self._site.signals, node.monitor.transmissions
        if signals is None:
            return node.counts.take_report(REPORT_ENTRIES, transmissions)

        def rssi_dbm(transmitter: int, pdr: float, heard: int) -> int | None:
            return signals.rssi_dbm(transmitter, node.address, pdr, heard)

        return node.counts.take_report(REPORT_ENTRIES, transmissions, rssi_dbm)
