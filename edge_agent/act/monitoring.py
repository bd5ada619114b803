"""Keeps the site's link monitors at the period that the budget allows: one message to their group."""

from __future__ import annotations

from collections.abc import Callable

from common.clock import Clock
from common.errors import MeshtwinError
from common.logs import get_logger
from common.policy.monitoring import probe_period
from edge_agent.config import MonitoringSection
from edge_agent.observe.site import SiteView
from firmware_bridge.access.link_monitor import MONITOR_PROBES, MonitorSet
from firmware_bridge.access.message import build
from firmware_bridge.link import MeshLink

log = get_logger(__name__)

CHECK_S = 5.0
REPEAT_S = 60.0
"""The message is not acknowledged, and a node that was away has not heard it: it is said again."""

FIRST_REPEATS = 3


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
        self._sent: MonitorSet | None = None
        self._sent_at = 0.0
        self._times = 0

    @property
    def period_s(self) -> float:
        """The probe period that the site should have now."""
        nodes = max(1, len(self._site.nodes))
        links = sum(1 for _ in self._site.links.items())
        settings = self._settings
        return probe_period(
            nodes,
            links / nodes,
            settings.probe_period_s,
            settings.report_every,
            settings.budget_messages_per_s,
        )

    async def run(self) -> None:
        """Look after the monitors until cancelled."""
        while True:
            await self._clock.sleep(CHECK_S)
            if self._site.mesh_up and self._may_set():
                await self._set(self._clock.monotonic())

    async def _set(self, now: float) -> None:
        wanted = MonitorSet(
            period_units=round(self.period_s * 10),
            report_every=self._settings.report_every,
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
