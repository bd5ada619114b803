"""Keeps the site's link monitors at the pace on the knee: one message to their group.

What the best pace is decides `common.policy.monitoring`; this asks it again as the site's picture changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError
from common.logs import get_logger
from common.policy.monitoring import (
    FIRST_REPORTS_DISTURB,
    REPORTS_DISTURB,
    Pace,
    Variability,
    Wish,
    settled,
)
from edge_agent.config import MonitoringSection
from edge_agent.observe.site import SiteView
from edge_agent.observe.variability import surroundings, variability
from firmware_bridge.access.link_monitor import MONITOR_PROBES, MonitorSet
from firmware_bridge.access.message import build
from firmware_bridge.link import MeshLink

log = get_logger(__name__)

CHECK_S: Final = 5.0
REPEAT_S: Final = 60.0
"""The message is not acknowledged, and a node that was away has not heard it: it is said again."""

FIRST_REPEATS: Final = 3

RECONSIDER_S: Final = 60.0
"""How often the pace is thought over once the site is known."""

FOLLOWS: Final = 0.3
"""Weight of what was measured last of how links vary."""

SLACK: Final = 1.2
"""A report's window, and a little more."""


class Monitoring:
    """Sends Monitor Set for the whole site while `may_set` says that this gateway is the one to do so."""

    def __init__(
        self,
        link: MeshLink,
        site: SiteView,
        settings: MonitoringSection,
        clock: Clock,
        may_set: Callable[[], bool],
    ) -> None:
        self._link = link
        self._site = site
        self._settings = settings
        self._clock = clock
        self._may_set = may_set
        self._varies = Variability()
        self._considered_at = -inf
        self._known = False
        self._sent: MonitorSet | None = None
        self._sent_at = 0.0
        self._times = 0
        self.pace = Pace(settings.probe_period_s, settings.report_every)
        """The pace that the site should have now."""
        self._consider()

    @property
    def period_s(self) -> float:
        """The probe period that the site should have now."""
        return self.pace.period_s

    async def run(self) -> None:
        """Look after the monitors until cancelled."""
        while True:
            await self._clock.sleep(CHECK_S)
            now = self._clock.monotonic()
            self._reconsider(now)
            if self._site.mesh_up and self._may_set():
                await self._set(now)

    def _reconsider(self, now: float) -> None:
        """At first at every look, since links become known; then from time to time."""
        known = self._site.learned(now)
        if known and self._known and now - self._considered_at < RECONSIDER_S:
            return
        self._known, self._considered_at = known, now
        self._consider()
        self._site.window_s = SLACK * self.pace.window_s

    def _consider(self) -> None:
        if self._known:
            self._varies = followed(self._varies, variability(self._site.links))
            watched_s = self._clock.monotonic() - self._site.up_since
            self._varies = replace(self._varies, watched_s=watched_s)
        self.pace = settled(self.pace, surroundings(self._site), self._varies, self._wish())

    def _wish(self) -> Wish:
        settings = self._settings
        shortest = settings.probe_period_s
        # A site that is not known yet is learnt as fast as is wanted.
        longest = settings.longest_probe_period_s if self._known else None
        return Wish(
            shortest,
            shortest if longest is None else longest,
            settings.report_every,
            settings.transmissions,
            settings.budget_messages_per_s,
            REPORTS_DISTURB if self._known else FIRST_REPORTS_DISTURB,
        )

    async def _set(self, now: float) -> None:
        wanted = MonitorSet(
            period_units=round(self.pace.period_s * 10),
            report_every=self.pace.report_every,
            transmissions=self._settings.transmissions,
        )
        if wanted != self._sent:
            self._times = 0
        elif self._times >= FIRST_REPEATS and now - self._sent_at < REPEAT_S:
            return
        try:
            await self._link.send(MONITOR_PROBES, build(wanted))
        except MeshtwinError as error:
            log.debug("monitors-not-set", reason=error)
            return
        if wanted != self._sent:
            log.info("monitors-set", period_s=wanted.period_s, report_every=wanted.report_every)
        self._sent, self._sent_at, self._times = wanted, now, self._times + 1


def followed(before: Variability, measured: Variability | None) -> Variability:
    """What is believed of links after a measurement, or none."""
    if measured is None:
        return before
    return replace(
        before,
        noise=before.noise + FOLLOWS * (measured.noise - before.noise),
        drift_per_s=before.drift_per_s + FOLLOWS * (measured.drift_per_s - before.drift_per_s),
        share=before.share + FOLLOWS * (measured.share - before.share),
    )
