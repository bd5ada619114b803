"""Asking nodes: round trips for the flow observations, the questions before a verdict, and a slow survey
that reads each node's configuration from the node itself."""

from __future__ import annotations

import asyncio

from common.averages import median
from common.clock import Clock
from common.errors import MeshtwinError, NotSupported, Rejected, TimedOut, Unavailable
from common.logs import get_logger
from common.mesh.configuration import ConfigurationChange
from edge_agent.observe.flows import classify
from edge_agent.observe.nodes import NodeRecord
from edge_agent.observe.site import SiteView
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffStatus
from firmware_bridge.access.link_monitor import MonitorGet, MonitorStatus
from firmware_bridge.access.message import build
from firmware_bridge.link import MeshLink

log = get_logger(__name__)

# What a node is asked, and the opcode of its answer. Gateways have no lamp, but monitor their links.
LAMP_QUESTION = (build(OnOffGet()), OnOffStatus.OPCODE)
MONITOR_QUESTION = (build(MonitorGet()), MonitorStatus.OPCODE)
ANSWER_TIMEOUT_S = 1.0
SUSPECT_QUESTIONS = 2
# A suspect's answer is waited for as long as its answers take, and somewhat longer: nine in ten take less
# than 1.6 times as long. There are two questions, and many of its neighbours have asked it themselves.
SUSPECT_PATIENCE = 2.0
STRANGERS_PATIENCE = 3.0
SUSPECT_TIMEOUTS_S = (0.15, 0.5)
SUSPECT_STAGGER = 0.4
REREAD_S = 900.0
RETRY_S = 10.0
"""A node that never told its configuration is asked again after so long: decisions wait for it."""


class Prober:
    """Asks nodes over the link and tells the site view what came of it."""

    def __init__(self, link: MeshLink, site: SiteView, clock: Clock) -> None:
        self._link = link
        self._site = site
        self._clock = clock
        self._reading: set[int] = set()

    async def ask(self, address: int, timeout: float = ANSWER_TIMEOUT_S) -> float | None:
        """One round trip; its time in seconds, or None when no answer came or none could be asked for."""
        try:
            return await self.round_trip(address, timeout)
        except TimedOut:
            self._site.unanswered(address)
        except MeshtwinError as error:
            # The link is down or the address is wrong: says nothing about the node.
            log.debug("question-not-sent", node=address, reason=error)
        return None

    async def round_trip(self, address: int, timeout: float) -> float:
        """Seconds from an acknowledged message to its answer: OnOff, or Monitor where there is no lamp.

        Raises TimedOut, Unavailable, Rejected. Silence is counted in the flow, not held against the node.
        """
        record = self._site.nodes.get(address)
        question, answer = LAMP_QUESTION if record is None or record.has_lamp else MONITOR_QUESTION
        start = self._clock.monotonic()
        try:
            await self._link.request(address, question, answer, timeout)
        except TimedOut:
            self._count(address, question, None)
            raise
        end = self._clock.monotonic()
        self._site.answered(address, end)
        if record is not None:
            record.round_trips.add(end, end - start)
        self._count(address, question, end - start)
        return end - start

    async def question(self, address: int) -> bool:
        """Ask a suspect twice in quick succession; true when it answered."""
        timeout = self._suspect_timeout(address)

        async def staggered(number: int) -> float | None:
            await self._clock.sleep(number * SUSPECT_STAGGER * timeout)
            return await self.ask(address, timeout)

        asked = [asyncio.ensure_future(staggered(number)) for number in range(SUSPECT_QUESTIONS)]
        try:
            for answer in asyncio.as_completed(asked):
                if await answer is not None:
                    return True
            return False
        finally:
            for task in asked:
                task.cancel()

    def _suspect_timeout(self, address: int) -> float:
        record = self._site.nodes.get(address)
        least, most = SUSPECT_TIMEOUTS_S
        if record is not None and record.round_trips:
            return min(most, max(least, SUSPECT_PATIENCE * self._usual_s(record)))
        others = [self._usual_s(record) for _, record in self._site.nodes.items() if record.round_trips]
        # Of a node that never answered yet, nothing is known but what the others take.
        return min(most, max(least, STRANGERS_PATIENCE * median(others))) if others else most

    def _usual_s(self, record: NodeRecord) -> float:
        return record.round_trips.features(self._clock.monotonic()).ewma

    def unread(self) -> bool:
        """Whether some node's configuration is not known at all, neither from the site file nor from it."""
        now = self._clock.monotonic()
        return any(
            _is_due(r, now)
            and r.read_at is None
            and r.dead_since is None
            and None in (r.configuration.relay, r.configuration.default_ttl)
            for _, r in self._site.nodes.items()
        )

    async def survey_once(self) -> int | None:
        """Read the configuration of the node that needs it most; its address, or None when none does."""
        address = self._most_urgent()
        if address is None:
            return None
        self._reading.add(address)
        try:
            configuration = await self._link.configure(address, ConfigurationChange())
            self._site.observe_configuration(configuration, self._clock.monotonic())
        except (TimedOut, Rejected, NotSupported, Unavailable) as error:
            log.debug("survey-failed", node=address, reason=error)
            # Its turn comes again, after the others'.
            record = self._site.nodes.get(address)
            if record is not None and record.read_at is None:
                record.silent_at = self._clock.monotonic()
            elif record is not None and record.read_at is not None:
                record.read_at += REREAD_S / 10
        finally:
            self._reading.discard(address)
        return address

    def _most_urgent(self) -> int | None:
        now = self._clock.monotonic()
        due = [
            (record.read_at if record.read_at is not None else -1.0, address)
            for address, record in self._site.nodes.items()
            if record.dead_since is None and address not in self._reading and _is_due(record, now)
        ]
        return min(due)[1] if due else None

    def _count(self, address: int, question: bytes, round_trip_s: float | None) -> None:
        key = (self._site.gateway, address, classify(question))
        self._site.flows.request(key, round_trip_s)


def _is_due(record: NodeRecord, now: float) -> bool:
    """Whether a node's configuration should be read now."""
    if record.read_at is not None:
        return now - record.read_at > REREAD_S
    return record.silent_at is None or now - record.silent_at > RETRY_S
