"""The host's side: takes errands of other machines, fetches their inputs, has them run, and keeps each
result until its receipt.

An offer is answered at once, before any blob travels: refused with the reason, or accepted. It may come
again, and then asks how things are. Nothing of this is on disk: a host that dies forgets its errands, and its
askers see another `run` in the next answer, or none.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from common.clock import Clock
from common.errors import Corrupt, MeshtwinError, Rejected, TimedOut, Unavailable
from common.exchange.messages import (
    MAX_RESULT_BYTES,
    MAX_TEXT,
    UNKNOWN,
    Answer,
    Cancel,
    Done,
    Offer,
    Party,
    Receipt,
)
from common.exchange.pulling import Puller, Send
from common.exchange.serving import Server
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import MachineLost, Refusal, Refused
from common.taskgraph.wire import FailureReason, TaskRequest, TaskResult

MAX_ERRANDS: Final = 64
MAX_ERRANDS_OF_ONE: Final = 16
TELL_AGAIN_S: Final = 2.0
TELL_AGAIN_LAST_S: Final = 30.0
KEEP_S: Final = 600.0
"""How long a result waits for its receipt."""
REMEMBERED: Final = 512
"""Errands that are over; an offer that was under way meanwhile begins none of them anew."""
UNHEARD_S: Final = 60.0
"""An asker repeats its offer all the time: one that is silent for so long waits no more."""

log = get_logger(__name__)


class Runner(Protocol):
    """Who runs tasks here."""

    name: str

    def admit(self, request: TaskRequest, waiting: int) -> None:
        """Raise Refused if it would not be run now; `waiting` errands are accepted and do not run yet."""

    async def run(self, request: TaskRequest) -> TaskResult:
        """As `Executor.run`."""


@dataclass(eq=False)
class _Errand:
    party: Party
    offer: Offer
    request: TaskRequest
    heard_at: float
    begun: bool = False
    done: Done | None = None
    receipt: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    work: asyncio.Task[Done] | None = None


class Host:
    """Run `run()`; feed it with `offer`, `cancel` and `receipt`. `refused` counts by reason."""

    def __init__(
        self,
        runner: Runner,
        store: BlobStore,
        puller: Puller,
        server: Server,
        send: Send,
        clock: Clock,
        run_name: str,
    ) -> None:
        self._runner = runner
        self._store = store
        self._puller = puller
        self._server = server
        self._send = send
        self._clock = clock
        self._run = run_name
        self._errands: dict[tuple[Party, str], _Errand] = {}
        self._over: deque[tuple[Party, str]] = deque(maxlen=REMEMBERED)
        self._group: asyncio.TaskGroup | None = None
        self.refused: Counter[str] = Counter()
        self.carried_out = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called when an errand begins or ends: the load is another one."""

    @property
    def waiting(self) -> int:
        """Errands accepted whose task does not run yet."""
        return sum(1 for errand in self._errands.values() if not errand.begun and errand.done is None)

    def errands(self) -> Iterable[tuple[str, Party, TaskRequest, str]]:
        """Id, whose, what, and how far: `fetching`, `running` or `done`."""
        for errand in list(self._errands.values()):
            state = "done" if errand.done else "running" if errand.begun else "fetching"
            yield errand.offer.id, errand.party, errand.request, state

    def end(self, errand_id: str) -> bool:
        """End an errand on an operator's word; its asker is told so. False when there is none under way."""
        for errand in self._errands.values():
            if errand.offer.id == errand_id and errand.work is not None and errand.done is None:
                errand.work.cancel()
                return True
        return False

    async def run(self) -> None:
        """Carry errands out until cancelled; those under way are given up then."""
        try:
            async with asyncio.TaskGroup() as self._group:
                while True:
                    await self._clock.sleep(UNHEARD_S / 4)
                    self._give_up_unheard()
        finally:
            self._group = None
            self._errands.clear()

    def offer(self, party: Party, offer: Offer) -> None:
        """Somebody asks whether a task may come, or how it is."""
        errand = self._errands.get((party, offer.id))
        if errand is None and (offer.request is None or (party, offer.id) in self._over):
            self._answer(party, offer.id, UNKNOWN, "it is not here, or over")
            return
        try:
            if errand is None:
                errand = self._admitted(party, offer, offer.request or b"")
            errand.heard_at = self._clock.monotonic()
        except Refused as refusal:
            self.refused[refusal.reason.value] += 1
            self._answer(party, offer.id, refusal.reason.value, refusal.detail)
            return
        if errand.done is not None:
            self._send(party, errand.done)
        else:
            self._answer(party, offer.id)

    def cancel(self, party: Party, cancel: Cancel) -> None:
        """Nobody waits for it any more."""
        if (errand := self._errands.get((party, cancel.id))) is not None and errand.task is not None:
            errand.task.cancel()

    def receipt(self, party: Party, receipt: Receipt) -> None:
        """The result has arrived, or is not wanted."""
        if (errand := self._errands.get((party, receipt.id))) is not None:
            errand.receipt.set()
            if errand.done is None and errand.task is not None:
                errand.task.cancel()

    def _admitted(self, party: Party, offer: Offer, packed: bytes) -> _Errand:
        """A new errand, begun. Raises Refused, also for a request that is none."""
        if self._group is None:
            raise Refused(Refusal.STOPPING, "tasks are not taken now")
        theirs = sum(1 for known, _ in self._errands if known == party)
        if len(self._errands) >= MAX_ERRANDS or theirs >= MAX_ERRANDS_OF_ONE:
            raise Refused(Refusal.QUEUE, f"{len(self._errands)} errands, {theirs} of them yours")
        try:
            request = TaskRequest.unpack(packed)
        except Rejected as error:
            raise Refused(Refusal.LIMITS, f"the request is none: {error}"[:MAX_TEXT]) from error
        if not set(request.inputs.values()) <= offer.sizes.keys():
            raise Refused(Refusal.LIMITS, "the offer does not tell every input's size")
        self._runner.admit(request, self.waiting)
        errand = _Errand(party, offer, request, self._clock.monotonic())
        self._errands[party, offer.id] = errand
        errand.task = self._group.create_task(self._keep(errand))
        return errand

    async def _keep(self, errand: _Errand) -> None:
        """An errand's whole life."""
        inputs = set(errand.request.inputs.values())
        self._store.pin(inputs)
        self.on_change()
        try:
            errand.done = await self._carried_out(errand)
            self.carried_out += 1
            self.on_change()
            self._server.share(errand.party, errand.done.sizes)
            try:
                await self._tell(errand)
            finally:
                self._server.unshare(errand.party, errand.done.sizes)
        finally:
            self._store.unpin(inputs)
            self._errands.pop((errand.party, errand.offer.id), None)
            self._over.append((errand.party, errand.offer.id))
            self.on_change()

    async def _carried_out(self, errand: _Errand) -> Done:
        assert self._group is not None
        errand.work = self._group.create_task(self._carry_out(errand))
        try:
            await asyncio.wait({errand.work})
        finally:
            errand.work.cancel()
        if errand.work.cancelled():
            cancelled = TaskResult.failed(
                errand.request, self._runner.name, FailureReason.CANCELLED, "ended by the operator there"
            )
            return self._told(errand, cancelled)
        return errand.work.result()

    async def _carry_out(self, errand: _Errand) -> Done:
        """What is to be told of it; never raises for what an asker or a task can cause."""
        request = errand.request
        try:
            await self._fetch_inputs(errand)
            errand.begun = True
            return self._told(errand, await self._runner.run(request))
        except Refused as refusal:
            return self._vain(errand, refusal.reason.value, refusal.detail)
        except MachineLost as error:
            return self._vain(errand, "lost", str(error))
        except Corrupt as error:
            return self._told(errand, self._failed(request, FailureReason.CORRUPT_INPUT, error))
        except TimedOut as error:
            return self._vain(errand, "lost", str(error))
        except Unavailable as error:
            return self._told(errand, self._failed(request, FailureReason.MISSING_INPUT, error))
        except Exception as error:
            # A bug that one task brings out must not take the other errands with it.
            log.exception("errand-failed", asker=errand.party.name, task=request.task)
            return self._vain(errand, "lost", f"internal: {type(error).__name__}")

    async def _fetch_inputs(self, errand: _Errand) -> None:
        # One after the other: they share the way, and the window of one fills it.
        for digest in dict.fromkeys(errand.request.inputs.values()):
            await self._puller.fetch(errand.party, digest, errand.offer.sizes[digest])

    def _failed(self, request: TaskRequest, reason: FailureReason, error: MeshtwinError) -> TaskResult:
        return TaskResult.failed(request, self._runner.name, reason, str(error))

    def _told(self, errand: _Errand, result: TaskResult) -> Done:
        packed = result.pack()
        sizes = {digest: self._store.size(digest) for digest in result.outputs.values()}
        known = {digest: size for digest, size in sizes.items() if size is not None}
        if len(packed) > MAX_RESULT_BYTES or len(known) != len(sizes):
            return self._vain(errand, "lost", "the result cannot be told")
        return Done(id=errand.offer.id, result=packed, sizes=known)

    def _vain(self, errand: _Errand, reason: str, text: str) -> Done:
        self.refused[reason] += 1
        return Done(id=errand.offer.id, reason=reason, text=text[:MAX_TEXT])

    async def _tell(self, errand: _Errand) -> None:
        """Tell the result until its receipt comes, or nobody seems to want it."""
        assert errand.done is not None
        pause, until = TELL_AGAIN_S, self._clock.monotonic() + KEEP_S
        while not errand.receipt.is_set() and self._clock.monotonic() < until:
            self._send(errand.party, errand.done)
            try:
                async with asyncio.timeout(pause):
                    await errand.receipt.wait()
            except TimeoutError:
                pause = min(TELL_AGAIN_LAST_S, pause * 2)
        if not errand.receipt.is_set():
            log.warning("result-not-wanted", asker=errand.party.name, task=errand.request.task)

    def _answer(self, party: Party, errand: str, reason: str = "", text: str = "") -> None:
        answer = Answer(id=errand, accepted=not reason, reason=reason, text=text[:MAX_TEXT], run=self._run)
        self._send(party, answer)

    def _give_up_unheard(self) -> None:
        """A task whose asker died is worth nothing; its results wait somewhat longer."""
        now = self._clock.monotonic()
        for errand in list(self._errands.values()):
            if errand.done is None and now - errand.heard_at > UNHEARD_S and errand.task is not None:
                log.info("errand-given-up", asker=errand.party.name, task=errand.request.task)
                errand.task.cancel()
