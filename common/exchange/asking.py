"""The asker's side: has a task run on another machine, and brings its outputs home.

The offer is repeated all the time and every repetition has to be answered: a host that says nothing, that
began another life, or that its status calls gone has lost the task. What comes for an errand that is over is
counted as late and thanked for, so that the host lets go of it; it never becomes a second result.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, Unavailable
from common.exchange.messages import (
    MAX_REQUEST_BYTES,
    UNKNOWN,
    Answer,
    Cancel,
    Done,
    Offer,
    Party,
    Receipt,
)
from common.exchange.pulling import Puller, Send
from common.exchange.rates import Rates
from common.exchange.serving import Server
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import MachineLost, Refusal, Refused
from common.taskgraph.wire import FailureReason, TaskRequest, TaskResult

ASK_AGAIN_S: Final = 1.0
SILENT_S: Final = 5.0
"""Without an answer: several offers and answers in a row are not lost."""
_REFUSALS: Final = {refusal.value: refusal for refusal in Refusal}
SPARE_S: Final = 600.0
"""What a task may take beyond its own time, for waiting and for its blobs."""


@dataclass(eq=False)
class _Asked:
    """An errand under way."""

    id: str
    party: Party
    request: TaskRequest
    asked_at: float
    answer: Answer | None = None
    run: str = ""
    done: Done | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Asker:
    """Feed it with `answer` and `done`. `late` counts what came for errands that are over."""

    def __init__(
        self,
        send: Send,
        store: BlobStore,
        puller: Puller,
        server: Server,
        clock: Clock,
        rates: Rates,
        new_id: Callable[[], str] = lambda: secrets.token_hex(12),
    ) -> None:
        self._send = send
        self._store = store
        self._puller = puller
        self._server = server
        self._clock = clock
        self._rates = rates
        self._new_id = new_id
        self._asked: dict[tuple[Party, str], _Asked] = {}
        self.late: Counter[str] = Counter()

    def under_way(self, party: Party) -> int:
        """How many errands are with `party` now."""
        return sum(1 for known, _ in self._asked if known == party)

    async def run(self, party: Party, request: TaskRequest, is_live: Callable[[], bool]) -> TaskResult:
        """As `Executor.run`, on `party`; `is_live` says whether its status still stands."""
        sizes = {digest: self._store.size(digest) for digest in request.inputs.values()}
        if lacking := [digest for digest, size in sizes.items() if size is None]:
            return TaskResult.failed(
                request, party.name, FailureReason.MISSING_INPUT, f"blob {lacking[0][:12]}… is not here"
            )
        offer = self._offer(request, {digest: size or 0 for digest, size in sizes.items()})
        asked = _Asked(offer.id, party, request, self._clock.monotonic())
        self._asked[party, offer.id] = asked
        self._server.share(party, sizes)
        try:
            return await self._with_outputs(asked, await self._until_done(asked, offer, is_live), is_live)
        except asyncio.CancelledError:
            self._send(party, Cancel(id=offer.id))
            raise
        finally:
            del self._asked[party, offer.id]
            self._server.unshare(party, sizes)
            if asked.answer is not None or asked.done is not None:
                self._send(party, Receipt(id=offer.id))

    def answer(self, party: Party, answer: Answer) -> None:
        """A host answered an offer."""
        if (asked := self._asked.get((party, answer.id))) is None:
            self.late["answer"] += 1
            return
        if asked.answer is None:
            self._rates.answered(party, self._clock.monotonic() - asked.asked_at)
        asked.answer = answer
        asked.news.set()

    def done(self, party: Party, done: Done) -> None:
        """A host has the result."""
        if (asked := self._asked.get((party, done.id))) is None:
            self.late["result"] += 1
            self._send(party, Receipt(id=done.id))
            return
        asked.done = asked.done or done
        asked.news.set()

    def _offer(self, request: TaskRequest, sizes: dict[str, int]) -> Offer:
        packed = request.pack()
        if len(packed) > MAX_REQUEST_BYTES:
            raise Refused(Refusal.LIMITS, f"its parameters take {len(packed)} bytes, too many to send")
        return Offer(id=self._new_id(), request=packed, sizes=sizes)

    async def _until_done(self, asked: _Asked, offer: Offer, is_live: Callable[[], bool]) -> Done:
        heard, until = asked.asked_at, asked.asked_at + 2 * asked.request.limits.wall_s + SPARE_S
        while asked.done is None:
            now = self._clock.monotonic()
            if not is_live():
                raise MachineLost(f"{asked.party.name} is gone")
            if now - heard > SILENT_S or now > until:
                raise MachineLost(f"{asked.party.name} does not {'answer' if now <= until else 'end'}")
            self._send(asked.party, offer)
            if await self._news(asked):
                heard = self._clock.monotonic()
            if asked.done is None and asked.answer is not None:
                offer = self._accepted(asked, offer)
        return asked.done

    async def _news(self, asked: _Asked) -> bool:
        """Whether the host said anything within a while; the end of it is told at once."""
        heard, until = False, self._clock.monotonic() + ASK_AGAIN_S
        while asked.done is None and (left := until - self._clock.monotonic()) > 0:
            asked.news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await asked.news.wait()
                    heard = True
            if asked.answer is not None and not asked.answer.accepted:
                break
        return heard

    def _accepted(self, asked: _Asked, offer: Offer) -> Offer:
        """What to ask next. Raises Refused or MachineLost."""
        answer, party = asked.answer, asked.party
        assert answer is not None
        if not answer.accepted and (asked.run or answer.reason == UNKNOWN):
            raise MachineLost(f"{party.name} has lost it: {answer.text}")
        if not answer.accepted:
            raise _refused(party, answer.reason, answer.text)
        if asked.run and asked.run != answer.run:
            raise MachineLost(f"{party.name} was restarted")
        asked.run = answer.run
        # It is known there: from now on only asked after.
        return offer if offer.request is None else Offer(id=offer.id)

    async def _with_outputs(self, asked: _Asked, done: Done, is_live: Callable[[], bool]) -> TaskResult:
        result = self._result(asked, done)
        for digest in dict.fromkeys(result.outputs.values()):
            try:
                await _while_live(self._puller.fetch(asked.party, digest, done.sizes[digest]), is_live)
            except Refused:
                raise
            except MeshtwinError as error:
                raise MachineLost(f"an output does not come from {asked.party.name}: {error}") from error
        return result

    def _result(self, asked: _Asked, done: Done) -> TaskResult:
        """Raises Refused, or MachineLost for an answer that is none."""
        party, request = asked.party, asked.request
        if done.result is None:
            raise _refused(party, done.reason, done.text)
        try:
            result = TaskResult.unpack(done.result)
        except Rejected as error:
            raise MachineLost(f"{party.name} told no result: {error}") from error
        same = (result.job, result.task, result.attempt) == (request.job, request.task, request.attempt)
        if not same or result.machine != party.name or not set(result.outputs.values()) <= done.sizes.keys():
            raise MachineLost(f"{party.name} told the result of something else")
        return result


def _refused(party: Party, reason: str, text: str) -> Unavailable:
    """What a host said no with."""
    if (refusal := _REFUSALS.get(reason)) is not None:
        return Refused(refusal, f"{party.name}: {text}")
    return MachineLost(f"{party.name}: {text or reason}")


async def _while_live(work: Coroutine[Any, Any, None], is_live: Callable[[], bool]) -> None:
    """Do `work` for as long as its machine lives. Raises MachineLost."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_told(work))
        while not task.done() and is_live():
            await asyncio.wait({task}, timeout=ASK_AGAIN_S)
        if not task.done():
            task.cancel()
    error = MachineLost("it is gone") if task.cancelled() else task.result()
    if error is not None:
        raise error


async def _told(work: Coroutine[Any, Any, None]) -> MeshtwinError | None:
    """The error of ours that ended it: raised in the group, it would come out wrapped."""
    try:
        await work
    except MeshtwinError as error:
        return error
    return None
