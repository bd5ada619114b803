"""The link-monitor server on a node of ours: probes, counts, reports and tells losses, while it is attached.

What to count and when a neighbour is lost is decided in `neighbours.py`; the messages are in PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil
from random import Random
from typing import Final, Protocol

from common.clock import Clock
from common.errors import MeshtwinError
from common.logs import Logger
from firmware_bridge.access import link_monitor
from firmware_bridge.access.link_monitor import (
    Lost,
    MonitorSet,
    MonitorStatus,
    Probe,
    ProbeAnswer,
    ProbeRequest,
    ReportEntry,
)
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.foundation.sender import Sender, Silent
from firmware_bridge.link import NeighbourCount
from firmware_bridge.neighbours import Detection, Doubt, Loss, NeighbourTable, ProbeSchedule, Telling

# Look again at least this often: the settings may have changed.
_LONGEST_SLEEP_S: Final = 0.5
# A process that woke this late has probes waiting on its sockets: hear them before judging.
_LATE_S: Final = 0.05
# Neighbours of one node doubt it in the same moment: one answer is for all.
_ANSWER_PAUSE_S: Final = 0.1


class Listener(Protocol):
    """Who on this machine wants to know what our own node finds."""

    def counted(self, counts: tuple[NeighbourCount, ...]) -> None:
        """The neighbour table of one reporting window."""

    def lost(self, loss: Loss) -> None:
        """A neighbour of ours fell silent."""


class LinkMonitor:
    """One node's monitor. `set_transmissions` makes the node's publication repeat each probe so often."""

    def __init__(
        self,
        address: int,
        key_index: int,
        set_transmissions: Callable[[int], Awaitable[None]],
        clock: Clock,
        random: Random,
        log: Logger,
        listener: Listener | None = None,
    ) -> None:
        self._address = address
        self._key_index = key_index
        self._set_transmissions = set_transmissions
        self._clock = clock
        self._random = random
        self._log = log
        self._listener = listener
        self._table = NeighbourTable(random)
        self._reports: list[tuple[float, AccessMessage]] = []
        self._sequence = random.randrange(1 << 16)
        self._schedule: ProbeSchedule | None = None
        self._probes_to_report = 0
        self._published_transmissions = 0
        self._answers_again = 0.0
        self._telling = Telling(Detection(), clock.monotonic())
        self.untold = 0
        """Losses that were not told because there were too many; reports tell of them."""
        self.settings = MonitorStatus()

    def received(self, source: int, probe: Probe) -> None:
        """Count a neighbour's probe; our own comes back from the daemon and is left out."""
        if source != self._address and self.settings.period_units:
            period = probe.period_units * link_monitor.PERIOD_UNIT_S
            now = self._clock.monotonic()
            self._table.heard(source, probe.sequence, period, probe.transmissions, now)

    def answered(self, source: int) -> None:
        """A neighbour gave a sign of life when it was asked, by us or another."""
        self._table.alive(source)

    def sign_of_life(self) -> ProbeAnswer | None:
        """The answer to a neighbour that asks; None while a recent one still speaks for us, or when off."""
        now = self._clock.monotonic()
        if not self.settings.period_units or now < self._answers_again:
            return None
        self._answers_again = now + _ANSWER_PAUSE_S
        return ProbeAnswer(self._sequence, self.settings.period_units, self.settings.transmissions)

    def apply(self, wanted: MonitorSet) -> MonitorStatus:
        """Take new settings; they hold within half a second."""
        before = self.settings.period_units
        self.settings = MonitorStatus(wanted.period_units, wanted.report_every, wanted.transmissions)
        if self._schedule is not None and wanted.period_units not in (0, before):
            self._schedule.change(self.settings.period_s, self._clock.monotonic())
        self._probes_to_report = min(self._probes_to_report, wanted.report_every)
        return self.settings

    async def run(self, node: Sender) -> None:
        """Monitor until cancelled. What went on while we were detached says nothing about neighbours."""
        self._forget()
        self._published_transmissions = 0
        while True:
            due = self._next_due()
            await self._clock.sleep(due - self._clock.monotonic())
            late = self._clock.monotonic() - due
            await self._clock.sleep(0.02 if late > _LATE_S else 0.0)
            await self._act(node, self._clock.monotonic())

    def _forget(self) -> None:
        self._table.clear()
        self._reports.clear()
        self._schedule = None
        self._probes_to_report = self.settings.report_every

    def _next_due(self) -> float:
        now = self._clock.monotonic()
        dues = [now + _LONGEST_SLEEP_S, *(due for due, _ in self._reports)]
        if self._schedule is not None:
            dues.append(self._schedule.due)
        deadline = self._table.next_deadline()
        return min(dues) if deadline is None else min(deadline, *dues)

    async def _act(self, node: Sender, now: float) -> None:
        if not self.settings.period_units:
            if self._schedule is not None or len(self._table):
                self._forget()
                await self._probe(node)
            return
        for found in self._table.tick(now):
            if isinstance(found, Doubt):
                await self._publish(node, ProbeRequest(found.transmitter))
            else:
                await self._tell(node, found)
        if self._schedule is None:
            self._schedule = ProbeSchedule(self.settings.period_s, now, self._random)
        elif now >= self._schedule.due:
            self._schedule.advance(now)
            await self._probe(node)
            self._collect_reports(now)
        for report in [report for report in self._reports if report[0] <= now]:
            self._reports.remove(report)
            await self._send(node, report[1])

    async def _probe(self, node: Sender) -> None:
        """Send one. Without a schedule it is the last."""
        promised = 0
        if self._schedule is not None:
            promised = max(1, ceil(round(self._schedule.promised / link_monitor.PERIOD_UNIT_S, 6)))
        self._sequence = (self._sequence + 1) & 0xFFFF
        await self._publish(node, Probe(self._sequence, promised, self.settings.transmissions))

    async def _publish(self, node: Sender, message: AccessMessage) -> None:
        try:
            if self._published_transmissions != self.settings.transmissions:
                await self._set_transmissions(self.settings.transmissions)
                self._published_transmissions = self.settings.transmissions
            await node.publish(link_monitor.SERVER, build(message))
        except Silent:
            raise  # A daemon that hangs has to be attached to anew.
        except MeshtwinError as error:
            # Not commissioned yet, or the daemon is going; the next probe tries again.
            self._published_transmissions = 0
            self._log.debug("probe-not-sent", error=error)

    def _collect_reports(self, now: float) -> None:
        """At the end of a window, spread its reports over the next one, that nodes do not speak at once."""
        self._probes_to_report -= 1
        if self._probes_to_report > 0:
            return
        self._probes_to_report = self.settings.report_every
        counts = self._table.take_counts()
        if self._listener is not None and counts:
            self._listener.counted(counts)
        window = 0.8 * self.settings.period_s * self.settings.report_every
        messages = link_monitor.reports(_entry(count) for count in counts)
        self._reports = [(now + self._random.uniform(0.0, window), message) for message in messages]

    async def _tell(self, node: Sender, loss: Loss) -> None:
        if self._listener is not None:
            self._listener.lost(loss)
        if not self._telling.allows(self._clock.monotonic()):
            self.untold += 1
            return
        share = min(255, round(loss.share_before * 255))
        await self._send(node, Lost(loss.transmitter, min(255, loss.missed), share))

    async def _send(self, node: Sender, message: AccessMessage) -> None:
        try:
            await node.send(link_monitor.MONITOR_REPORTS, build(message), self._key_index)
        except MeshtwinError as error:
            self._log.debug("monitor-message-not-sent", error=error)


def _entry(count: NeighbourCount) -> ReportEntry:
    return ReportEntry(count.transmitter, count.heard, count.expected, count.transmissions, count.rssi_dbm)
