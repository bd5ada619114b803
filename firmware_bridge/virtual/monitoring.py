"""The link monitor of a whole simulated site: probes, reports and lost reports of every node.

As PROTOCOL.md has it, with one difference for dense sites, where each node hears dozens: a report takes the
neighbours that wait longest instead of all. What follows a missed probe is in `doubts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from firmware_bridge.access.link_monitor import (
    MONITOR_REPORTS,
    AnyReport,
    MonitorStatus,
    Probe,
    ReportEntry,
    reports,
)
from firmware_bridge.virtual.air import Heard
from firmware_bridge.virtual.counting import DETECTION, NeighbourCounts
from firmware_bridge.virtual.doubts import Doubts
from firmware_bridge.virtual.node import VirtualNode

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite

GRACE_SPREAD = (1.0, 1.2)
"""Each node's own factor: not all neighbours of a dead node speak at once."""

REPORT_ENTRIES = 8
"""At most this many neighbours a report; those that wait longest go first."""

REPORT_SPREAD: Final = 0.8
"""Share of the next window over which a report's messages are spread."""

PROBE_JITTER: Final = 0.04
"""Share of a period by which a probe may come late; it does not add up."""


@dataclass(slots=True)
class _Slot:
    """One probe: who heard it, and whether the time to hear it is over."""

    heard: set[int] = field(default_factory=set)
    closed: bool = False


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
        if not (node.alive and node.monitored):
            return

        def forget(heard: Heard) -> None:
            self._site.nodes[heard.node].counts.forget(node.address)

        farewell = Probe(node.sequence, 0, node.monitor.transmissions)
        self._site.say(node, farewell, forget)

    def _slot(self, node: VirtualNode, generation: int) -> None:
        if generation != self._generation[node.address]:
            return
        site, period = self._site, node.monitor.period_s
        site.after(period, self._slot, node, generation)
        probe = _Slot()
        if site.speaks(node.address):
            self._probe(node, probe, delay_s=PROBE_JITTER * period * site.random.random())
            self._count_probe(node)
        grace = max(DETECTION.least_grace_s, DETECTION.grace * period)
        site.after(grace, self._close, node, probe, grace)

    def _probe(self, node: VirtualNode, probe: _Slot, delay_s: float) -> None:
        """Put a probe on air, for the neighbours to count."""
        transmitter, nodes = node.address, self._site.nodes

        def count(heard: Heard) -> None:
            receiver = nodes[heard.node]
            if not receiver.monitors:
                return
            if probe.closed:
                receiver.counts.heard_late(transmitter, heard.level_dbm)
            else:
                probe.heard.add(heard.node)
                receiver.counts.heard(transmitter, heard.level_dbm)

        node.sequence = (node.sequence + 1) & 0xFFFF
        settings = node.monitor
        message = Probe(node.sequence, settings.period_units, settings.transmissions)
        self._site.say(node, message, count, delay_s)

    def _close(self, node: VirtualNode, probe: _Slot, grace: float) -> None:
        """The time to hear a probe is over: who did not has missed it, and may come to doubt."""
        probe.closed = True
        site, transmitter = self._site, node.address
        for address in site.links.out.get(transmitter, ()):
            receiver = site.nodes[address]
            if address in probe.heard or not receiver.monitors:
                continue
            if receiver.counts.missed(transmitter):
                delay = grace * (self._spread[address] - 1.0)
                self.doubts.expect(delay)
                site.after(delay, self.doubts.suspect, receiver, transmitter)

    def _count_probe(self, node: VirtualNode) -> None:
        self.probes += 1
        node.probes += 1
        if node.probes < node.monitor.report_every:
            return
        node.probes = 0
        window = REPORT_SPREAD * node.monitor.period_s * node.monitor.report_every
        for message in reports(self._entries(node)):
            delay = window * self._site.random.random()
            self._site.after(delay, self._report, node, message, node.deaths)

    def _report(self, node: VirtualNode, message: AnyReport, deaths: int) -> None:
        """Send what was counted, unless the node died since: it forgot, then."""
        if node.deaths == deaths:
            self._site.publish(node.address, MONITOR_REPORTS, message)

    def _entries(self, node: VirtualNode) -> list[ReportEntry]:
        signals, transmissions = self._site.signals, node.monitor.transmissions
        if signals is None:
            return node.counts.take_report(REPORT_ENTRIES, transmissions)

        def rssi_dbm(level_dbm: float, heard: int) -> int | None:
            return signals.rssi_dbm(node.address, level_dbm, heard)

        return node.counts.take_report(REPORT_ENTRIES, transmissions, rssi_dbm)
