"""The outbox: this gateway's durable stream, kept on disk until the coordinator has stored it.

Sequences count from 1 without holes within an epoch, a random number made with the file. Telemetry is
committed in groups, everything else at once. Raw telemetry and the rest (events, actions, results) each
have their own share of the cap: the oldest telemetry becomes tombstones under its sequence numbers; an
event that finds its share full becomes one too, and the agent says so.

Sends nothing: `mqtt` reads `pending` and brings the coordinator's acknowledgements.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from common.clock import Clock
from common.codec import MAX_MESSAGE_BYTES
from common.errors import Corrupt, Unavailable
from common.logs import get_logger
from common.messages import MAX_TIME, MEASUREMENTS, Event, Kind, encode
from edge_agent.share.disk_trouble import DiskTrouble
from edge_agent.share.outbox_file import IN_MEMORY, Batch, OutboxFile
from edge_agent.share.outbox_rows import Entry, State, Usage, boot_id, cost, size_of
from edge_agent.share.salvage import open_or_replace, reopen, rescue, set_aside
from edge_agent.share.tombstones import UNKNOWN, Cause, Tombstone, join
from edge_agent.share.waiting import GROUP_S, Waiting, grave_of

MAX_BODY_BYTES: Final = MAX_MESSAGE_BYTES - 1024
# Sequences promised to the disk ahead of their use: what a power failure can make ambiguous.
RESERVE: Final = 512
CHECKPOINT_BYTES: Final = 1 << 20
# What a commit costs in the log beside its rows: the touched pages.
COMMIT_BYTES: Final = 16 * 1024
# Without a disk to write to, memory holds this much of each share.
MEMORY_BYTES: Final = 4 << 20
EVICT_AT_ONCE: Final = 64

_log = get_logger(__name__)


class Outbox:
    """One gateway's outbox. Single-threaded: everything is called on the agent's event loop.

    Use as `async with Outbox(...) as outbox`, with `outbox.run()` in the supervisor: it commits what waits
    and makes commits durable off the loop. Disk trouble and damage never raise from here: they are logged,
    counted in `disk_errors`, and survived. Raises Misconfigured only when the state folder cannot be used.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        cap_bytes: int = 64 << 20,
        event_share: float = 0.25,
        boot: bytes | None = None,
        make_epoch: Callable[[], int] = lambda: secrets.randbits(64),
    ) -> None:
        self._path = path
        self._clock = clock
        self._caps = self._disk_caps = Usage(int(cap_bytes * (1 - event_share)), int(cap_bytes * event_share))
        self._boot = boot_id() if boot is None else boot
        self._make_epoch = make_epoch
        self._waiting = Waiting()
        self._usage = Usage()
        self._head = self._acked = self._opened = self._evicted = self._durable = self._told = 0
        self._log_bytes = 0
        self._refused_events = 0
        self._trouble = DiskTrouble()
        self._dirty = asyncio.Event()
        self._committed: Callable[[], None] = lambda: None
        self._is_closed = False
        self.dropped = 0
        self.disk_errors = 0
        self._open()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def epoch(self) -> int:
        """The stream's random name; a new one whenever the file had to be given up."""
        return self._file.state.epoch

    @property
    def head(self) -> int:
        """The last sequence that was handed out; 0 when none was."""
        return self._head

    @property
    def acked(self) -> int:
        """Everything up to here is stored by the coordinator."""
        return self._acked

    @property
    def queued(self) -> int:
        """How many envelopes wait for the coordinator, tombstones included."""
        return self._head - self._acked

    @property
    def usage(self) -> Usage:
        """Bytes held, by share."""
        return self._usage

    @property
    def trouble(self) -> str:
        """Why nothing is written to the disk at present; empty when all is well."""
        return self._trouble.reason

    def notify(self, committed: Callable[[], None]) -> None:
        """Call `committed` whenever `pending` may have more to give."""
        self._committed = committed

    def append(self, kind: Kind, body: bytes, time: float) -> int:
        """Add an envelope and return its sequence. Anything but raw telemetry is committed on return.

        `time` is Unix time. Raises ValueError for a body that does not fit a message: the caller's mistake.
        """
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"{len(body)} bytes do not fit an envelope; at most {MAX_BODY_BYTES}")
        self._head += 1
        # The coordinator refuses what lies outside the calendar, and would then never acknowledge.
        entry = Entry(self._head, min(max(0.0, time), MAX_TIME), kind.value, body)
        is_raw = kind in MEASUREMENTS
        self._take(entry, is_raw)
        if not is_raw or self._waiting.is_full(self._clock.monotonic()):
            self.flush()
        self._dirty.set()
        return entry.sequence

    def pending(self, after: int, limit: int) -> list[Entry]:
        """Up to `limit` committed envelopes after sequence `after`, in order and without holes."""
        after = max(after, self._acked)
        limit = min(limit, self._file.state.head - after, self._durable - after)
        if limit <= 0:
            return []
        try:
            entries = self._file.read(after, limit)
        except Unavailable as error:
            self._survive(error)
            return []
        except Corrupt as error:
            self._start_again(str(error))
            return []
        self._told = max(self._told, after + len(entries))
        return entries

    def acknowledge(self, epoch: int, sequence: int) -> int:
        """The coordinator has stored everything of `epoch` up to `sequence`; return how many that frees."""
        if epoch != self.epoch or sequence <= self._acked:
            return 0
        if sequence > self._head:
            # This file is an old copy: the stream once went on further. The coordinator would take what
            # was added since for something it has.
            self._start_again(f"the coordinator has {sequence}, the file ends at {self._head}", self._opened)
            return 0
        stored = min(sequence, self._file.state.head)
        freed = stored - self._acked
        self._acked = stored
        self._dirty.set()
        return freed

    def flush(self) -> bool:
        """Commit what waits; False when the disk refuses and it waits on."""
        if not self._waiting and self._acked == self._file.state.acked and not self._trouble:
            return True
        in_memory = self._file.path == IN_MEMORY
        if self._trouble and not self._trouble.is_due(self._clock.monotonic()) and not in_memory:
            return False
        try:
            self._commit()
        except Unavailable as error:
            self._survive(error)
            return False
        except Corrupt as error:
            self._start_again(str(error))
            return False
        if in_memory:
            self._try_disk()
        elif self._trouble:
            self._tell_disk_back()
        self._report_refused_events()
        self._committed()
        return True

    async def run(self) -> None:
        """Commit groups in time and make them durable; until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self._clock.sleep(self._pause())
            if not self.flush():
                self._dirty.set()
            elif self._log_bytes > CHECKPOINT_BYTES:
                await self._checkpoint_aside()

    def _pause(self) -> float:
        """A group's time, or until the disk is tried again; memory does not refuse."""
        if self._file.path == IN_MEMORY:
            return GROUP_S
        return max(GROUP_S, self._trouble.try_at - self._clock.monotonic())

    def close(self) -> None:
        """Commit and release the file; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._trouble.try_at = 0.0
        if not self.flush() and self._waiting:
            _log.error("outbox-not-kept", envelopes=len(self._waiting.entries), reason=self.trouble)
        self._file.close()

    def _open(self, why: str | None = None) -> None:
        self._file, lost = open_or_replace(self._path, State(self._make_epoch(), boot=self._boot))
        self._caps = self._disk_caps
        if self._file.path == IN_MEMORY:
            self.disk_errors += 1
            self._caps = Usage(min(self._caps.telemetry, MEMORY_BYTES), min(self._caps.events, MEMORY_BYTES))
            self._trouble.refused(lost or "the disk takes no outbox", self._clock.monotonic())
        self._take_over(lost or why)

    def _take_over(self, lost: str | None) -> None:
        state = self._file.state
        self._head = self._opened = state.head
        self._acked = self._evicted = self._told = state.acked
        self._durable = state.reserved
        self._usage = self._file.usage()
        if state.boot != self._boot and state.reserved > state.head:
            self._bury_ambiguous(state)
        if lost is not None:
            self._tell("outbox-lost", reason=lost[:200])
        elif self._file.path == IN_MEMORY:
            self._tell("outbox-in-memory", reason=self._trouble.reason[:200])

    def _bury_ambiguous(self, state: State) -> None:
        """A power failure may take the log's tail though it was sent: never use its numbers again."""
        _log.warning("outbox-after-power-failure", skipped=state.reserved - state.head)
        now = self._clock.wall()
        self._waiting.bury(Tombstone(state.head + 1, state.reserved, UNKNOWN, 0, Cause.POWER_FAILURE, now))
        self._head = self._opened = state.reserved
        self.flush()

    def _start_again(self, reason: str, rescue_after: int | None = None) -> None:
        """Give the file up, and go on in a new epoch with what was never handed to anybody."""
        rescued = [] if rescue_after is None else rescue(self._file, rescue_after)
        self._file.close()
        try:
            kept = set_aside(self._path).name if self._file.path != IN_MEMORY else ""
            _log.error("outbox-lost", reason=reason, kept=kept, rescued=len(rescued))
        except Unavailable as error:
            _log.error("outbox-lost", reason=reason, kept=error)
        waiting, self._waiting = self._waiting, Waiting()
        self._open(reason)
        for entry in [*rescued, *waiting.entries]:
            self.append(Kind(entry.kind), entry.body, entry.time)
        self._committed()

    def _take(self, entry: Entry, is_raw: bool) -> None:
        size = size_of(entry)
        if not is_raw and (
            self._usage.events + size > self._caps.events or self._waiting.event_bytes + size > MEMORY_BYTES
        ):
            self._refuse_event(entry)
            return
        self._usage += cost(entry)
        self._waiting.add(entry, self._clock.monotonic())
        while self._waiting.bytes > min(MEMORY_BYTES, self._caps.telemetry) and self._drop_waiting():
            pass

    def _drop_waiting(self) -> bool:
        """Give up the oldest telemetry that waits for the disk; False when there is none."""
        raw = self._waiting.drop_telemetry()
        if raw is None:
            return False
        grave = grave_of(raw)
        self._waiting.bury(grave)
        self._usage -= cost(raw)
        self.dropped += grave.rows
        return True

    def _refuse_event(self, entry: Entry) -> None:
        if not self._refused_events:
            _log.error("outbox-events-full", share_mib=self._caps.events / (1 << 20))
        self._refused_events += 1
        self._waiting.bury(Tombstone(entry.sequence, entry.sequence, entry.kind, 1, Cause.FULL, entry.time))

    def _report_refused_events(self) -> None:
        """Once there is room again, tell the coordinator how many events it will never see."""
        if self._refused_events and self._usage.events < self._caps.events * 3 // 4:
            refused, self._refused_events = self._refused_events, 0
            self._tell("outbox-events-full", refused=refused)

    def _tell(self, name: str, **fields: str | int) -> None:
        self.append(Kind.EVENT, encode(Event(name=name, fields=dict(fields))), self._clock.wall())

    def _commit(self) -> None:
        freed = self._file.usage(until=self._acked) if self._acked > self._file.state.acked else Usage()
        evicted = self._to_evict(freed.telemetry)
        graves = [grave_of(entry) for entry in evicted]
        waiting, state = self._waiting, self._next_state()
        self._file.write(
            Batch(
                state,
                list(waiting.entries),
                join([*waiting.graves, *graves]),
                [entry.sequence for entry in evicted],
            )
        )
        self.dropped += sum(grave.rows for grave in graves)
        self._usage -= sum(map(cost, evicted), freed)
        self._evicted = evicted[-1].sequence if evicted else self._evicted
        self._log_bytes += waiting.bytes + COMMIT_BYTES
        waiting.clear()
        if state.head > self._durable:
            self._checkpoint()

    def _to_evict(self, freed: int) -> list[Entry]:
        """The oldest committed telemetry that has to go, a little more than needed so that it is rare."""
        excess = self._usage.telemetry - freed - self._caps.telemetry
        if excess <= 0:
            return []
        excess += self._caps.telemetry // 64
        chosen: list[Entry] = []
        after = max(self._evicted, self._acked)
        while excess > 0 and (found := self._file.oldest_telemetry(after, EVICT_AT_ONCE)):
            for entry in found:
                if excess > 0:
                    chosen.append(entry)
                    excess -= size_of(entry)
            after = found[-1].sequence
        return chosen

    def _next_state(self) -> State:
        reserved = self._file.state.reserved
        if self._head > reserved - RESERVE // 2:
            reserved = self._head + RESERVE
            # Asks `run` for a checkpoint, so that the promise is durable before it is needed.
            self._log_bytes += CHECKPOINT_BYTES
        return State(self.epoch, self._acked, self._head, reserved, self._boot)

    def _checkpoint(self) -> None:
        self._file.checkpoint()
        self._durable = self._file.state.reserved
        self._log_bytes = 0

    async def _checkpoint_aside(self) -> None:
        """Like `_checkpoint`, off the loop: a slow card may take a second to sync."""
        file, promised = self._file, self._file.state.reserved
        self._log_bytes = 0
        try:
            await asyncio.to_thread(file.checkpoint)
        except Unavailable as error:
            self._survive(error)
        except Corrupt as error:
            self._start_again(str(error))
        else:
            if file is self._file:
                self._durable = promised

    def _survive(self, error: Unavailable) -> None:
        self.disk_errors += 1
        if self._trouble.refused(str(error), self._clock.monotonic()):
            fix = "free space on the disk, or make it writable; it is tried again by itself"
            _log.error("outbox-disk-trouble", reason=error, waiting=len(self._waiting.entries), fix=fix)

    def _tell_disk_back(self) -> None:
        reason, lasted = self._trouble.reason, self._trouble.over(self._clock.monotonic())
        _log.info("outbox-disk-back", seconds=lasted)
        self._tell("outbox-disk-back", seconds=round(lasted), reason=reason[:200], dropped=self.dropped)

    def _try_disk(self) -> None:
        """Leave memory as soon as the disk takes a file: without losing or doubling anything."""
        if not self._trouble.is_due(self._clock.monotonic()):
            return
        if self._path.exists() and self._told > self._acked:
            # Under the old file's numbers, what is on its way now would be stored a second time.
            self._trouble.refused("waits for the coordinator's acknowledgement", self._clock.monotonic())
            return
        found = reopen(self._path, State(self.epoch, self._acked, self._head, self._head, self._boot))
        if found is None:
            self._trouble.refused(self._trouble.reason, self._clock.monotonic())
            return
        self._move_into(found)

    def _move_into(self, file: OutboxFile) -> None:
        """Go on in `file`: as the same stream in a new one, behind what it holds in the old one."""
        memory = self._file
        entries, graves = memory.held(self._acked)
        if file.state.epoch == self.epoch:
            try:
                file.write(Batch(file.state, entries, graves))
            except (Unavailable, Corrupt) as error:
                file.discard()
                self._trouble.refused(str(error), self._clock.monotonic())
                return
            entries = []
        self._file, self._caps = file, self._disk_caps
        memory.close()
        self._take_over(None)
        self._tell_disk_back()
        for entry in entries:
            self.append(Kind(entry.kind), entry.body, entry.time)
