"""The way of a message: subscriber → hand-over → intake → repository → acknowledgement.

Two threads: the network's and the storing one. When either fails, `run` ends with its error and the process
should too: nothing is lost, because nothing unstored was acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Final

from common import topics
from common.clock import Clock
from common.errors import Corrupt, Unavailable
from common.logs import get_logger
from common.messages import Ack, encode
from common.topics import Channel
from coordinator.identity.fleet import FleetView
from coordinator.ingest import intake
from coordinator.ingest.handover import HandOver, Heard
from coordinator.ingest.reject_log import RejectLog
from coordinator.ingest.subscriber import Endpoint, Subscriber
from coordinator.repository.batch import Batch, Outcome
from coordinator.repository.store import Repository

BATCH: Final = 1000
# How long a transaction waits for company: a flush to disk costs the same for one message as for many.
LINGER_S: Final = 0.1
IDLE_S: Final = 0.25
RETRY_S: Final = (0.1, 5.0)

_LETTERS: Final = frozenset(channel.value for channel in topics.BETWEEN_PEERS)

log = get_logger(__name__)


@dataclass(slots=True)
class Counters:
    """What happened since the start, for `health`."""

    stored: int = 0
    duplicates: int = 0
    refused: int = 0
    batches: int = 0
    store_failures: int = 0


class Ingest:
    """Runs until cancelled. `run` owns both threads."""

    def __init__(self, endpoint: Endpoint, repository: Repository, fleet: FleetView, clock: Clock) -> None:
        self._repository = repository
        self._fleet = fleet
        self._known = fleet.current()
        self._fleet_lost = False
        self._clock = clock
        self._handover = HandOver()
        self._subscriber = Subscriber(endpoint, self._receive, self._on_ready)
        self.letters: Callable[[str, bytes], None] = lambda topic, payload: None
        """Takes what gateways write to the cloud, on the network's thread. It must not wait."""
        self._stop = Event()
        self._greet = Event()
        self._reject_log = RejectLog(log)
        self._online: dict[str, bool] = {}
        self.counters = Counters()
        self.turns = 0
        """Turns of the storing loop, idle ones and vain ones too: it does not hang as long as this grows."""

    @property
    def connected(self) -> bool:
        """Whether the broker answers and the subscriptions stand."""
        return self._subscriber.connected

    @property
    def session(self) -> int | None:
        """A number of its own for every connection to the broker; None while there is none."""
        return self._subscriber.session

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, sure: bool = False) -> bool:
        """Queue a message to gateways, from any thread; False while there is no connection. See
        `Subscriber.publish`."""
        return self._subscriber.publish(topic, payload, retain=retain, sure=sure)

    @property
    def queued(self) -> int:
        """Messages received and not yet stored."""
        return len(self._handover)

    @property
    def dropped(self) -> int:
        """Messages given up because storing was too slow; their gateways send them again."""
        return self._handover.dropped

    async def run(self) -> None:
        """Ingest until cancelled; returns after both threads have ended.

        Raises Misconfigured (unusable certificates) or Corrupt (damaged repository).
        """
        loop = asyncio.get_running_loop()
        threads = ThreadPoolExecutor(2, thread_name_prefix="ingest")
        parts = {
            loop.run_in_executor(threads, self._subscriber.run),
            loop.run_in_executor(threads, self._store_until_stopped),
        }
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._halt()
            await asyncio.shield(asyncio.wait(parts))
            threads.shutdown()
            self._subscriber.close()
        for part in parts:
            part.result()

    def _halt(self) -> None:
        self._stop.set()
        self._subscriber.stop()
        self._handover.close()

    def _receive(self, heard: Heard) -> None:
        """Letters to the cloud have a way of their own: a slow disk must not hold up tasks, nor they it."""
        levels = heard.topic.split("/", 5)
        if len(levels) == 6 and levels[3] == topics.CLOUD and levels[4] in _LETTERS:
            self.letters(heard.topic, heard.payload)
        else:
            self._handover.put(heard)

    def _on_ready(self) -> None:
        self._greet.set()

    def _store_until_stopped(self) -> None:
        while not self._stop.is_set():
            self.turns += 1
            heard = self._handover.take(BATCH, LINGER_S, IDLE_S)
            if heard:
                self._process(heard)
            if self._greet.is_set():
                self._greet.clear()
                self._greet_gateways()
            self._reject_log.note((), self._clock.monotonic())

    def _process(self, heard: list[Heard]) -> None:
        batch = Batch(self._clock.wall())
        site_of = self._site_of()
        for one in heard:
            intake.add(batch, one, site_of)
        outcome = self._store(batch)
        if outcome is not None:
            self._acknowledge(batch, outcome)
            self._account(outcome)
            self._tell_changes(batch)

    def _site_of(self) -> Callable[[str], str | None]:
        try:
            self._known = self._fleet.current()
        except Corrupt as error:
            # Gateways in good standing must not suffer from a slip of the editor.
            if not self._fleet_lost:
                log.error("fleet-unreadable", error=error, kept="the former one")
            self._fleet_lost = True
        else:
            self._fleet_lost = False
        return self._known.site_of

    def _store(self, batch: Batch) -> Outcome | None:
        """Store, trying again while the database is unavailable; None when stopped meanwhile."""
        pause = RETRY_S[0]
        while True:
            try:
                return self._repository.store(batch)
            except Unavailable as error:
                self.counters.store_failures += 1
                log.error("store-failed", error=error, messages=len(batch.messages), again_in_s=pause)
            self.turns += 1
            if self._stop.wait(pause):
                return None
            pause = min(pause * 2, RETRY_S[1])

    def _acknowledge(self, batch: Batch, outcome: Outcome) -> None:
        sites = {m.gateway: m.site for m in batch.messages} | {
            s.gateway: s.site for s in batch.statuses.values()
        }
        for (gateway, epoch), sequence in outcome.acks.items():
            self._send_ack(sites[gateway], gateway, epoch, sequence)

    def _greet_gateways(self) -> None:
        """Tell every gateway where it stands: what it sent into the void meanwhile, it sends again now."""
        try:
            positions = self._repository.current_positions()
        except Unavailable as error:
            # They repeat what is unacknowledged in any case, only later.
            log.warning("gateways-not-greeted", error=error)
            return
        for site, gateway, epoch, sequence in positions:
            self._send_ack(site, gateway, epoch, sequence)

    def _send_ack(self, site: str, gateway: str, epoch: int, sequence: int) -> None:
        # QoS 0: a lost one is repeated with the next message or the first duplicate.
        ack = encode(Ack(epoch=epoch, sequence=sequence))
        self._subscriber.publish(topics.of(site, gateway, Channel.ACK), ack)

    def _tell_changes(self, batch: Batch) -> None:
        for status in batch.statuses.values():
            if self._online.get(status.gateway) != status.online:
                self._online[status.gateway] = status.online
                log.info(
                    "gateway-online" if status.online else "gateway-offline",
                    gateway=status.gateway,
                    site=status.site,
                )

    def _account(self, outcome: Outcome) -> None:
        counters = self.counters
        counters.batches += 1
        counters.stored += outcome.stored
        counters.duplicates += outcome.duplicates.total()
        counters.refused += len(outcome.refusals)
        self._reject_log.note(outcome.refusals, self._clock.monotonic())
        for (gateway, epoch), lost in outcome.lost.items():
            log.warning("sequences-lost", gateway=gateway, epoch=f"{epoch:016x}", count=lost)
