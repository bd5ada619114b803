"""The link monitor of a whole simulated site: probes, reports and lost reports of every node.

As PROTOCOL.md has it, with two differences for dense sites, where each node hears dozens: a report takes the
neighbours that wait longest instead of all, and a neighbour that is not heard so well may miss more than two
probes before it counts as lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.access.link_monitor import (
    MONITOR_REPORTS,
    UNSEGMENTED_ENTRIES,
    Lost,
    MonitorStatus,
    reports,
)
from firmware_bridge.virtual.counting import NeighbourCounts
from firmware_bridge.virtual.node import VirtualNode

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite

GRACE, MIN_GRACE_S = 0.15, 0.1
"""Share of the period by which a probe may be late before it counts as missed, and the least time."""

GRACE_SPREAD = (1.0, 1.2)
"""Not all neighbours of a dead node speak at once."""

REPEAT_LOST_S = (0.2, 0.4)
REPORT_MESSAGES = 4
"""At most this many messages a report; the neighbours that wait longest go first."""


class Monitoring:
    """Schedules every node's probes on the site's agenda and feeds the receivers' counts.

    A probe slot of a dead node still happens: its neighbours miss the probe then.
    """

    def __init__(self, site: VirtualSite, at_first: MonitorStatus) -> None:
        self._site = site
        self._at_first = at_first
        self.probes = 0
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
        silent = self._probe(node, speaks)
        grace = max(MIN_GRACE_S, GRACE * period)
        for receiver in silent:
            site.after(grace * site.random.uniform(*GRACE_SPREAD), self._lost, receiver, node.address)
        if speaks:
            self._count_probe(node)

    def _probe(self, node: VirtualNode, speaks: bool) -> list[VirtualNode]:
        """Let the neighbours count one probe; those are returned that have just lost the node."""
        site, transmitter, transmissions = self._site, node.address, node.monitor.transmissions
        draw, nodes, silent = site.random.random, site.nodes, []
        for address, pdr in site.links.out.get(transmitter, {}).items():
            receiver = nodes[address]
            if not (receiver.alive and receiver.monitored):
                continue
            if speaks and draw() < 1.0 - (1.0 - pdr) ** transmissions:
                receiver.counts.heard(transmitter)
            elif receiver.counts.missed(transmitter):
                silent.append(receiver)
        return silent

    def _count_probe(self, node: VirtualNode) -> None:
        self.probes += 1
        node.probes += 1
        if node.probes < node.monitor.report_every:
            return
        node.probes = 0
        limit = REPORT_MESSAGES * UNSEGMENTED_ENTRIES
        spread = min(1.0, node.monitor.period_s) / REPORT_MESSAGES
        for i, message in enumerate(reports(node.counts.take_report(limit, node.monitor.transmissions))):
            delay = spread * (i + self._site.random.random())
            self._site.after(delay, self._site.publish, node.address, MONITOR_REPORTS, message)

    def _lost(self, receiver: VirtualNode, transmitter: int, again: bool = True) -> None:
        silence = receiver.counts.silence(transmitter)
        if silence is None or not self._site.speaks(receiver.address):
            return
        missed, share = silence
        lost = Lost(transmitter, min(missed, 255), round(255 * share))
        self._site.publish(receiver.address, MONITOR_REPORTS, lost)
        if again:
            delay = self._site.random.uniform(*REPEAT_LOST_S)
            self._site.after(delay, self._lost, receiver, transmitter, False)
