"""Has every job of this gateway kept by a peer, its deputy, for the case that this gateway dies.

A submission is told its deputy when the deputy has the job and its blobs on disk; after that the deputy
follows every result. Which peer it is does not matter much: one that lives, spread by the job's name. One
that dies is replaced. What a deputy made of a job while this gateway was gone is taken over once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from common.exchange.exchange import Exchange
from common.exchange.messages import Forget, HandOver, Keep, Kept, Party, TakenOver
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.wire import TaskResult
from edge_agent.tasks.job_store import JobRow
from edge_agent.tasks.replica import Jobs, Replica, owner_of, unpack

TURN_S: Final = 1.0
KEPT_WITHIN_S: Final = 10.0
"""How long a submission waits for its deputy."""
ASK_AGAIN_S: Final = 3.0
REST_FACTOR: Final = 10.0
"""A job whose state takes a second to bring over is brought every ten."""
REFUSED_S: Final = 60.0

log = get_logger(__name__)


@dataclass(eq=False)
class _Care:
    """One job's."""

    deputy: str = ""
    version: int = 0
    kept: int = 0
    """The last version that the deputy has."""
    changed: bool = True
    asked_at: float = 0.0
    next_at: float = 0.0
    keep: Keep | None = None
    shared: tuple[str, ...] = ()
    refused: dict[str, float] = field(default_factory=dict)
    settled: asyncio.Event = field(default_factory=asyncio.Event)


class ReplicaOwner:
    """Implements the runner's `Witness`. Run `run()`; feed it with `kept` and `hand_over`. `live` tells the
    peers that could be deputies."""

    def __init__(
        self,
        own: Party,
        store: BlobStore,
        exchange: Exchange,
        jobs: Jobs,
        live: Callable[[], Collection[str]],
        clock: Clock,
    ) -> None:
        self._own = own
        self._store = store
        self._exchange = exchange
        self._jobs = jobs
        self._live = live
        self._clock = clock
        self._cares: dict[str, _Care] = {}
        self._taking: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self._wake = asyncio.Event()
        self.taken_over = 0

    def deputy_of(self, job: str) -> str:
        """Who has the job now; empty when nobody has."""
        care = self._cares.get(job)
        return care.deputy if care is not None and care.kept else ""

    async def accepted(self, job: str, document: bytes) -> None:
        """Return once a deputy keeps the job; also when there is none, or none in time."""
        care = self._cares.setdefault(job, _Care())
        if not self._candidates(care):
            return
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(KEPT_WITHIN_S):
                await care.settled.wait()

    def result(self, result: TaskResult) -> None:
        """There is another result of a job."""
        if (care := self._cares.get(result.job)) is not None:
            care.changed = True
            self._wake.set()

    def ended(self, row: JobRow) -> None:
        """A job is over."""
        self._wake.set()

    async def run(self) -> None:
        """Keep deputies up to date until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                await self._turn()
                with suppress(TimeoutError):
                    async with asyncio.timeout(TURN_S):
                        await self._wake.wait()
                self._wake.clear()

    def kept(self, party: Party, kept: Kept) -> None:
        """A deputy has a version of a job, or will not."""
        care = self._cares.get(kept.job)
        if care is None or care.deputy != party.name:
            # Of a job that is over, or of one that this gateway thinks somebody else keeps.
            if kept.job not in self._jobs.own() and self._is_own(kept.job):
                self._exchange.send(party, Forget(job=kept.job))
            return
        now = self._clock.monotonic()
        if kept.refused:
            care.refused[party.name] = now + REFUSED_S
            self._dismiss(care)
        elif care.keep is not None and kept.state == care.keep.state:
            care.kept, care.keep = care.version, None
            care.next_at = now + REST_FACTOR * (now - care.asked_at)
            care.settled.set()
        self._wake.set()

    def hand_over(self, party: Party, letter: HandOver) -> None:
        """A deputy has something of a job of ours. Raises Rejected for what is not ours."""
        if not self._is_own(letter.job):
            raise Rejected(RejectReason.FORGED, f"{letter.job} is no job of {self._own.name}")
        if self._group is not None and letter.job not in self._taking:
            self._taking.add(letter.job)
            self._group.create_task(self._take_over(party, letter))

    def _is_own(self, job: str) -> bool:
        return owner_of(job) == self._own.name

    async def _take_over(self, party: Party, letter: HandOver) -> None:
        try:
            replica = await self._fetched(party, letter)
            self._jobs.merge(replica)
        except MeshtwinError as error:
            # It is offered again.
            log.warning("job-not-taken-over", job=letter.job, deputy=party.name, reason=str(error)[:200])
            return
        finally:
            self._taking.discard(letter.job)
        self.taken_over += 1
        self._exchange.send(party, TakenOver(job=letter.job, state=letter.state))
        log.info("job-taken-over", job=letter.job, deputy=party.name, state=replica.state)

    async def _fetched(self, party: Party, letter: HandOver) -> Replica:
        """The replica, with every output that it has in the store. Raises as fetching and parsing do."""
        await self._exchange.puller.fetch(party, letter.state, letter.size)
        replica = await asyncio.to_thread(unpack, self._store.get(letter.state))
        if replica.job != letter.job:
            raise Unavailable(f"{party.name} hands over another job")
        known = self._jobs.replica(letter.job)
        have = known.results if known is not None else {}
        wanted = {
            digest
            for task, result in replica.results.items()
            if task not in have
            for digest in result.outputs.values()
        }
        if known is None:
            wanted |= replica.blobs.keys()
        for digest in sorted(wanted & replica.blobs.keys()):
            await self._exchange.puller.fetch(party, digest, replica.blobs[digest])
        return replica

    async def _turn(self) -> None:
        live, own = set(self._live()), set(self._jobs.own())
        for job in list(self._cares):
            if job not in own:
                self._close(job)
        for job in own:
            care = self._cares.setdefault(job, _Care())
            if care.deputy and care.deputy not in live:
                self._dismiss(care)
            if not care.deputy:
                care.deputy = self._chosen(job, care)
                care.changed = True
            if care.deputy:
                await self._tend(job, care)

    async def _tend(self, job: str, care: _Care) -> None:
        now = self._clock.monotonic()
        if care.keep is not None and now - care.asked_at >= ASK_AGAIN_S:
            self._exchange.send(self._party(care.deputy), care.keep)
        elif care.keep is None and care.changed and now >= care.next_at:
            await self._bring(job, care)

    async def _bring(self, job: str, care: _Care) -> None:
        """Offer the job as it is now."""
        replica = self._jobs.replica(job)
        if replica is None:
            return
        care.changed = False
        try:
            state = self._store.put(await asyncio.to_thread(replica.packed))
        except MeshtwinError as error:
            log.warning("job-not-replicated", job=job, reason=str(error)[:200])
            return
        party, shared = self._party(care.deputy), (state, *replica.blobs)
        self._exchange.server.share(party, shared)
        self._unshare(care)
        care.shared, care.asked_at, care.version = shared, self._clock.monotonic(), care.version + 1
        care.keep = Keep(job=job, version=care.version, state=state, size=self._store.size(state) or 0)
        self._exchange.send(party, care.keep)

    def _candidates(self, care: _Care) -> list[str]:
        now = self._clock.monotonic()
        return [name for name in sorted(self._live()) if care.refused.get(name, now) <= now]

    def _chosen(self, job: str, care: _Care) -> str:
        candidates = self._candidates(care)
        return max(candidates, key=lambda name: crc32(f"{job} {name}".encode()), default="")

    def _dismiss(self, care: _Care) -> None:
        """Another deputy is needed."""
        self._unshare(care)
        care.deputy, care.keep, care.kept, care.next_at = "", None, 0, 0.0

    def _close(self, job: str) -> None:
        """The job is over here."""
        care = self._cares.pop(job)
        if care.deputy:
            self._exchange.send(self._party(care.deputy), Forget(job=job))
        self._unshare(care)
        care.settled.set()

    def _unshare(self, care: _Care) -> None:
        if care.shared:
            self._exchange.server.unshare(self._party(care.deputy), care.shared)
            care.shared = ()

    def _party(self, name: str) -> Party:
        return Party(self._own.site, name)
