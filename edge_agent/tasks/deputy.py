"""Keeps jobs of other gateways, runs what is left of them when their owner dies, and hands over what came of
them when the owner is back.

A job is kept on disk, with all its blobs, until its owner says that it is over or has taken it back. A
gateway that cannot hear its peers takes nobody for dead. After a partition both may have worked on a job:
what is handed over is merged by the owner, whose file of jobs keeps everything once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from common.clock import Clock
from common.errors import Corrupt, MeshtwinError, Misconfigured, Rejected, RejectReason
from common.exchange.exchange import Exchange
from common.exchange.messages import Forget, HandOver, Keep, Kept, Party, TakenOver
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Refusal, Refused
from edge_agent.tasks.deputy_files import Kept as Entry
from edge_agent.tasks.deputy_files import KeptFiles
from edge_agent.tasks.replica import Jobs, Replica, owner_of, unpack

TURN_S: Final = 1.0
MAX_KEPT: Final = 256
MAX_KEPT_OF_ONE: Final = 64
MAX_BRINGING: Final = 16
GONE_S: Final = 3.0
"""Beyond the lease of its status: then the owner is dead."""
ATTACHED_S: Final = 6.0
"""A gateway that has had the broker for less time has not heard everybody."""
HAND_OVER_AGAIN_S: Final = 3.0
STILL_KEPT_S: Final = 60.0
"""How often an owner is told what is kept for it: it may have forgotten to say that the job is over."""
KEPT_FOR_S: Final = 7 * 86_400.0
"""An owner that is gone for so long does not come back."""

log = get_logger(__name__)


@dataclass(eq=False)
class _Held:
    """A job in memory."""

    entry: Entry
    blobs: tuple[str, ...]
    owner_seen: float
    told_at: float = 0.0
    complained_at: float = -STILL_KEPT_S


class Deputy:
    """Run `run()`; feed it with `keep`, `forget` and `taken_over`. `live` tells the machines that live,
    `attached_s` for how long the broker has been there (None: it is not)."""

    def __init__(
        self,
        own: Party,
        folder: Path,
        store: BlobStore,
        exchange: Exchange,
        jobs: Jobs,
        live: Callable[[], Collection[str]],
        attached_s: Callable[[], float | None],
        clock: Clock,
    ) -> None:
        self._own = own
        self._files = KeptFiles(folder)
        self._store = store
        self._exchange = exchange
        self._jobs = jobs
        self._live = live
        self._attached_s = attached_s
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._bringing: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self.adopted = 0
        self.handed_over = 0

    def kept(self) -> list[dict[str, object]]:
        """What is kept for others, for people."""
        return [
            {"job": job, "owner": held.entry.owner, "state": held.entry.stage, "version": held.entry.version}
            for job, held in sorted(self._held.items())
        ]

    def recover(self) -> None:
        """Take up what an earlier run kept. Damaged entries are dropped and told: their owners see to it."""
        for entry in self._files.read():
            try:
                replica = unpack(self._store.get(entry.state))
            except MeshtwinError as error:
                log.warning("kept-job-lost", job=entry.job, reason=str(error)[:200])
                self._files.remove(entry.job)
                continue
            self._hold(entry, replica)

    async def run(self) -> None:
        """Watch over owners until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                await self._turn()
                await self._clock.sleep(TURN_S)

    def keep(self, party: Party, keep: Keep) -> None:
        """Somebody wants a job kept, or a later version of it. Raises Rejected for one that is not his."""
        if owner_of(keep.job) != party.name:
            raise Rejected(RejectReason.FORGED, f"{keep.job} is no job of {party.name}")
        held = self._held.get(keep.job)
        if held is not None and held.entry.stage == "kept" and held.entry.state == keep.state:
            self._exchange.send(party, Kept(job=keep.job, state=keep.state))
            return
        if keep.job in self._bringing or self._group is None:
            return
        try:
            self._check_room(party, held)
        except Refused as refusal:
            self._exchange.send(party, Kept(job=keep.job, state=keep.state, refused=refusal.detail[:300]))
            return
        self._bringing.add(keep.job)
        self._group.create_task(self._bring(party, keep))

    def forget(self, party: Party, letter: Forget) -> None:
        """The job is over for its owner."""
        held = self._held.get(letter.job)
        if held is not None and held.entry.owner == party.name:
            self._drop(held)

    def taken_over(self, party: Party, letter: TakenOver) -> None:
        """The owner has stored what it was handed."""
        held = self._held.get(letter.job)
        if held is not None and held.entry.owner == party.name and held.entry.handing == letter.state:
            self.handed_over += 1
            self._drop(held)

    def _check_room(self, party: Party, held: _Held | None) -> None:
        if held is not None and held.entry.stage != "kept":
            raise Refused(Refusal.QUEUE, "what became of it has to be handed over first")
        if len(self._bringing) >= MAX_BRINGING:
            raise Refused(Refusal.QUEUE, "too many jobs are being brought")
        theirs = sum(1 for one in self._held.values() if one.entry.owner == party.name)
        if held is None and (len(self._held) >= MAX_KEPT or theirs >= MAX_KEPT_OF_ONE):
            raise Refused(Refusal.QUEUE, f"{len(self._held)} jobs are kept, {theirs} of them yours")

    async def _bring(self, party: Party, keep: Keep) -> None:
        refused, pinned = "", [keep.state]
        try:
            self._store.pin(pinned)
            replica = await self._fetched(party, keep, pinned)
            entry = Entry(keep.job, party.name, keep.version, keep.state, keep.size, self._clock.wall())
            await asyncio.to_thread(self._files.write, entry)
            self._hold(entry, replica)
        except MeshtwinError as error:
            refused = str(error)[:300] or "no reason"
        finally:
            self._store.unpin(pinned)
            self._bringing.discard(keep.job)
        self._exchange.send(party, Kept(job=keep.job, state=keep.state, refused=refused))

    async def _fetched(self, party: Party, keep: Keep, pinned: list[str]) -> Replica:
        """The job, with all its blobs in the store; what is pinned for that is added to `pinned`."""
        await self._exchange.puller.fetch(party, keep.state, keep.size)
        replica = await asyncio.to_thread(unpack, self._store.get(keep.state))
        if replica.job != keep.job:
            raise Rejected(RejectReason.FORGED, f"the state is of {replica.job[:100]}")
        self._store.pin(replica.blobs)
        pinned += replica.blobs
        for digest in sorted(replica.blobs):
            await self._exchange.puller.fetch(party, digest, replica.blobs[digest])
        return replica

    def _hold(self, entry: Entry, replica: Replica) -> None:
        blobs = (entry.state, *replica.blobs)
        self._store.pin(blobs)
        if (former := self._held.pop(entry.job, None)) is not None:
            self._store.unpin(former.blobs)
        self._held[entry.job] = _Held(entry, blobs, self._clock.monotonic())
        if entry.handing:
            self._exchange.server.share(self._owner(entry), blobs)

    async def _turn(self) -> None:
        live, now = set(self._live()), self._clock.monotonic()
        hears = (self._attached_s() or 0.0) >= ATTACHED_S
        for held in list(self._held.values()):
            is_live = held.entry.owner in live
            if is_live or not hears:
                held.owner_seen = now
            if not self._is_still(held, held.entry):
                # Forgotten while another one was packed.
                continue
            try:
                await self._step(held, is_live, hears, now)
            except MeshtwinError as error:
                if now - held.complained_at > STILL_KEPT_S:
                    held.complained_at = now
                    log.warning("kept-job-stuck", job=held.entry.job, reason=str(error)[:200])

    async def _step(self, held: _Held, is_live: bool, hears: bool, now: float) -> None:
        entry = held.entry
        if self._clock.wall() - entry.since > KEPT_FOR_S and not is_live:
            log.warning("kept-job-given-up", job=entry.job, owner=entry.owner)
            self._jobs.withdraw(entry.job)
            self._drop(held)
        elif entry.stage == "kept" and not is_live and hears and now - held.owner_seen > GONE_S:
            await self._adopt(held)
        elif entry.stage == "kept" and is_live and now - held.told_at > STILL_KEPT_S:
            held.told_at = now
            self._exchange.send(self._owner(entry), Kept(job=entry.job, state=entry.state))
        elif entry.stage == "adopted":
            await self._look_at_adopted(held, is_live)
        elif entry.stage == "handing" and is_live and now - held.told_at > HAND_OVER_AGAIN_S:
            held.told_at = now
            self._exchange.send(
                self._owner(entry), HandOver(job=entry.job, state=entry.handing, size=entry.size)
            )

    async def _adopt(self, held: _Held) -> None:
        replica = await self._unpacked(held)
        if replica is None:
            return
        # On disk first: after a crash in between the job is run again, and never forgotten.
        self._change(held, replace(held.entry, stage="adopted"))
        self._jobs.adopt(replica, held.entry.owner)
        self.adopted += 1
        log.warning("job-adopted", job=held.entry.job, owner=held.entry.owner, done=len(replica.results))

    async def _look_at_adopted(self, held: _Held, owner_is_live: bool) -> None:
        state = self._jobs.state(held.entry.job)
        if state is None:
            # A crash between two files: begin again.
            if (kept := await self._unpacked(held)) is not None:
                self._jobs.adopt(kept, held.entry.owner)
        elif owner_is_live or state != "live":
            replica = self._jobs.replica(held.entry.job)
            assert replica is not None
            await self._offer_back(held, replica)

    async def _unpacked(self, held: _Held) -> Replica | None:
        """The job as it is kept, unpacked in a thread: thousands of tasks take longer than the mesh's events
        should wait. None when it was forgotten or replaced meanwhile."""
        entry = held.entry
        replica = await asyncio.to_thread(lambda: unpack(self._store.get(entry.state)))
        return replica if self._is_still(held, entry) else None

    def _is_still(self, held: _Held, entry: Entry) -> bool:
        return self._held.get(entry.job) is held and held.entry is entry

    async def _offer_back(self, held: _Held, replica: Replica) -> None:
        """The owner is back, or the job is over: what there is goes back as it is."""
        entry = held.entry
        packed = await asyncio.to_thread(replica.packed)
        if not self._is_still(held, entry):
            return
        state = self._store.put(packed)
        size = self._store.size(state) or 0
        blobs = (state, held.entry.state, *replica.blobs)
        self._store.pin(blobs)
        self._store.unpin(held.blobs)
        held.blobs = blobs
        self._change(held, replace(held.entry, stage="handing", handing=state, size=size))
        self._exchange.server.share(self._owner(held.entry), blobs)
        if replica.state == "live":
            # It is its owner's again. What is over stays to be looked at here, until it is handed over.
            self._jobs.withdraw(held.entry.job)

    def _change(self, held: _Held, entry: Entry) -> None:
        self._files.write(entry)
        held.entry = entry

    def _drop(self, held: _Held) -> None:
        entry = held.entry
        self._held.pop(entry.job, None)
        if entry.handing:
            self._exchange.server.unshare(self._owner(entry), held.blobs)
        if entry.stage != "kept" and self._jobs.state(entry.job) is not None:
            self._jobs.withdraw(entry.job)
        self._store.unpin(held.blobs)
        try:
            self._files.remove(entry.job)
        except (Misconfigured, Corrupt) as error:
            log.warning("kept-job-not-removed", job=entry.job, reason=str(error)[:200])

    def _owner(self, entry: Entry) -> Party:
        return Party(self._own.site, entry.owner)
