"""Reads the link's events into the site view, and wakes the decision when one cannot wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from common.clock import Clock
from common.mesh.addresses import show
from edge_agent.observe.site import SiteView
from firmware_bridge.link import LinkDown, LinkUp, MeshLink, NeighbourReport


class EventReader:
    """The one consumer of a link's events.

    `before_report` sees each neighbour report before it is counted, for the forecasters' live score.
    """

    def __init__(
        self,
        link: MeshLink,
        site: SiteView,
        wake: asyncio.Event,
        before_report: Callable[[NeighbourReport], None],
        announce: Callable[..., None],
        clock: Clock,
    ) -> None:
        self._link = link
        self._site = site
        self._wake = wake
        self._before_report = before_report
        self._announce = announce
        self._begun = clock.monotonic()
        self._reports = 0

    def reports_per_s(self, now: float) -> float:
        """Neighbour reports that arrived, per second since the start: most of monitoring's load here."""
        return self._reports / max(1.0, now - self._begun)

    async def run(self) -> None:
        """Read until the link is closed."""
        async for event in self._link.events():
            if isinstance(event, NeighbourReport):
                self._reports += 1
                self._before_report(event)
            elif isinstance(event, LinkUp):
                self._announce("mesh-up", address=show(event.address))
            elif isinstance(event, LinkDown):
                self._announce("mesh-down", reason=event.reason)
            if self._site.apply(event):
                self._wake.set()
