"""Sends what was observed in each period into the durable stream, and a snapshot when something changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from common.clock import Clock
from common.codec import Table
from common.messages import Kind, encode, encode_measurement
from common.policy.service import Service
from edge_agent.infer.forecasting import Forecasting
from edge_agent.observe import tables
from edge_agent.observe.site import SiteView

PERIOD_S = 5.0
SNAPSHOT_S = 600.0
FORGET_EVERY = 12


class Telemetry:
    """Periodic observations of the mesh. `append` is the outbox's; `service` what each node gets now."""

    def __init__(
        self,
        site: SiteView,
        forecasting: Forecasting,
        clock: Clock,
        append: Callable[[Kind, bytes, float], int],
        service: Callable[[], Service],
        homes: Callable[[], Mapping[int, str]],
    ) -> None:
        self._site = site
        self._forecasting = forecasting
        self._clock = clock
        self._append = append
        self._service = service
        self._homes = homes
        self._sent_version = -1
        self._sent_at = -SNAPSHOT_S
        self._periods = 0

    async def run(self) -> None:
        """Send every period until cancelled; what was counted in the last one goes out too."""
        try:
            while True:
                await self._clock.sleep(PERIOD_S)
                self.send()
        finally:
            self.send()

    def send(self) -> None:
        """Send what was observed since the last call."""
        wall, now = self._clock.wall(), self._clock.monotonic()
        service = self._service()
        self._send(Kind.LINKS, tables.links_table(self._site.links, self._forecasting.expectations(), wall))
        self._send(Kind.NODES, tables.nodes_table(self._site.nodes, service, now, wall))
        self._send(Kind.FLOWS, tables.flows_table(self._site.flows, PERIOD_S, wall))
        self._snapshot(service, wall, now)
        self._periods += 1
        if self._periods % FORGET_EVERY == 0:
            self._site.links.forget(now)

    def _send(self, kind: Kind, table: Table) -> None:
        for piece in tables.split(table):
            self._append(kind, encode_measurement(kind, piece), self._clock.wall())

    def _snapshot(self, service: Service, wall: float, now: float) -> None:
        changed = self._site.changes != self._sent_version
        if not self._site.nodes or not (changed or now - self._sent_at >= SNAPSHOT_S):
            return
        snapshot = tables.configuration(self._site.nodes, service, self._homes(), self._site.changes)
        self._append(Kind.CONFIGURATION, encode(snapshot), wall)
        self._sent_version, self._sent_at = self._site.changes, now
