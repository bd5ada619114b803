"""The receiving side of segmented messages (3.5.3.4): collects segments and says when to acknowledge what.

Memory is bounded whatever comes in: a limited number of messages at once, in all and of one source, each of
at most 32 segments. Full policy: the message that made no progress for the longest time goes, counted. So are
acknowledgements, which use up sequence numbers of ours: what is above the budget is not sent, counted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from common.errors import Rejected, RejectReason
from firmware_bridge.stack.budget import Budget
from firmware_bridge.stack.lower import AccessSegment, Segment, SegmentAck, first_sequence, full_block
from firmware_bridge.stack.sar import SarReceiver

MESSAGES: Final = 64
MESSAGES_OF_A_SOURCE: Final = 4
USUAL: Final = SarReceiver()
FINISHED: Final = 256
"""Finished messages that are remembered: their late segments are acknowledged again."""

ANSWERS_PER_S: Final = 16.0
"""Acknowledgements a second, in the long run. At this rate a hostile node needs 12 days to make us use up the
sequence numbers of an IV index; the next one may come after 8 (3.11.5)."""

ANSWERS_AT_ONCE: Final = 64.0

# Source, destination, and SeqAuth: IV index and first sequence number.
_Key = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A segment as the network layer delivered it (3.5.3.4). `acknowledge`: it is for this node's unicast
    address."""

    segment: Segment
    source: int
    destination: int
    sequence: int
    iv_index: int
    ttl: int
    acknowledge: bool
    net_index: int = 0


@dataclass(frozen=True, slots=True)
class Whole:
    """A message with all its segments (3.5.3.4). `sequence` is the one that it was encrypted with (SeqAuth),
    `latest` the greatest of its segments'."""

    head: Segment
    upper: bytes = field(repr=False)
    source: int
    destination: int
    sequence: int
    latest: int
    iv_index: int
    ttl: int


@dataclass(frozen=True, slots=True)
class Answer:
    """An acknowledgement to be sent: from `source`, which was the message's destination, in the subnet that
    the message came in (3.5.2.3.1)."""

    ack: SegmentAck
    source: int
    destination: int
    ttl: int
    net_index: int = 0


@dataclass(slots=True)
class _Partial:
    arrival: Arrival
    parts: dict[int, bytes]
    progress_at: float
    latest: int = 0
    answer_at: float | None = None

    @property
    def block(self) -> int:
        return sum(1 << offset for offset in self.parts)


@dataclass(slots=True)
class _Finished:
    """`answers` are those still to be sent, the next at `answer_at`; `latest` is the greatest sequence number
    of a segment seen."""

    arrival: Arrival
    block: int
    latest: int
    answers: int
    answer_at: float


class Reassembler:
    """All segmented messages that are coming in to one node (3.5.3.4).

    Counted: `given_up` for want of progress, `evicted` for want of room, `silenced` acknowledgements above
    the budget.
    """

    def __init__(self, settings: SarReceiver = USUAL) -> None:
        self._settings = settings
        # In the order of their last progress: who waits longest is first to go.
        self._partial: OrderedDict[_Key, _Partial] = OrderedDict()
        self._finished: OrderedDict[_Key, _Finished] = OrderedDict()
        self._answering: dict[_Key, _Finished] = {}
        self._budget = Budget(ANSWERS_PER_S, ANSWERS_AT_ONCE)
        self.given_up = 0
        self.evicted = 0
        self.silenced = 0

    def __len__(self) -> int:
        return len(self._partial)

    def knows(self, arrival: Arrival) -> bool:
        """Whether a segment is of a message that is under way, or was finished lately (3.9.8): no replay,
        then."""
        key = _key(arrival)
        return key in self._partial or key in self._finished

    def take(self, arrival: Arrival, now: float) -> Whole | None:
        """Take in a segment; the message, when it was the last one missing. `poll` gives the answers
        (3.5.3.4).

        Raises Rejected(INVALID) for a segment that does not belong to what came before.
        """
        key = _key(arrival)
        if (done := self._finished.get(key)) is not None:
            self._answer_again(key, done, arrival, now)
            return None
        partial = self._partial.get(key) or self._begin(key, arrival, now)
        _check_fit(partial.arrival.segment, arrival.segment)
        partial.latest = max(partial.latest, arrival.sequence)
        if arrival.segment.offset not in partial.parts:
            partial.parts[arrival.segment.offset] = arrival.segment.segment
            partial.progress_at = now
            self._partial.move_to_end(key)
        if len(partial.parts) <= arrival.segment.last:
            if arrival.acknowledge and partial.answer_at is None:
                partial.answer_at = now + self._settings.delay_s(arrival.segment.last)
            return None
        return self._finish(key, partial, now)

    def poll(self, now: float) -> list[Answer]:
        """The acknowledgements that are due (3.5.3.4); what was discarded for want of progress is counted."""
        due = []
        for key, partial in list(self._partial.items()):
            if now - partial.progress_at >= self._settings.discard_s:
                del self._partial[key]
                self.given_up += 1
            elif partial.answer_at is not None and partial.answer_at <= now:
                partial.answer_at = None
                due.append(_answer(partial.arrival, partial.block))
        for key, done in list(self._answering.items()):
            if done.answer_at <= now:
                due.append(_answer(done.arrival, done.block))
                done.answers -= 1
                done.answer_at = now + self._settings.segment_interval_s
                if done.answers <= 0:
                    del self._answering[key]
        return self._within_budget(due, now)

    def next_time(self) -> float | None:
        """When `poll` has something to do next (3.5.3.4)."""
        oldest = next(iter(self._partial.values()), None)
        times = [] if oldest is None else [oldest.progress_at + self._settings.discard_s]
        times += [p.answer_at for p in self._partial.values() if p.answer_at is not None]
        times += [done.answer_at for done in self._answering.values()]
        return min(times, default=None)

    def forget(self, source: int) -> None:
        """A source has left the network (3.11.7)."""
        for key in [key for key in self._partial if key[0] == source]:
            del self._partial[key]

    def _begin(self, key: _Key, arrival: Arrival, now: float) -> _Partial:
        same = [k for k in self._partial if k[0] == key[0]]
        # A later message of a source to the same destination replaces the earlier one (3.5.3.1).
        older = [k for k in same if k[1] == key[1] and k[2:] < key[2:]]
        if any(k[1] == key[1] and k[2:] > key[2:] for k in same):
            raise Rejected(RejectReason.REPLAYED, "a segment of a message before the present one")
        for k in older:
            del self._partial[k]
        others = [k for k in same if k not in older]
        if len(others) >= MESSAGES_OF_A_SOURCE:
            self._evict(others[0])
        if len(self._partial) >= MESSAGES:
            self._evict(next(iter(self._partial)))
        partial = self._partial[key] = _Partial(arrival, {}, now)
        return partial

    def _evict(self, key: _Key) -> None:
        del self._partial[key]
        self.evicted += 1

    def _answer_again(self, key: _Key, done: _Finished, arrival: Arrival, now: float) -> None:
        """The sender has not heard the acknowledgement (3.5.3.4). Its segments then have new numbers: those
        of an old one are a recording, which must not cost us a number of ours."""
        if arrival.acknowledge and arrival.sequence > done.latest:
            done.latest = arrival.sequence
            if key not in self._answering:
                done.answers, done.answer_at = 1, now + self._settings.segment_interval_s
                self._answering[key] = done

    def _within_budget(self, due: list[Answer], now: float) -> list[Answer]:
        allowed = self._budget.take(len(due), now)
        self.silenced += len(due) - allowed
        return due[:allowed]

    def _finish(self, key: _Key, partial: _Partial, now: float) -> Whole:
        del self._partial[key]
        first = partial.arrival
        last = first.segment.last
        repeated = self._settings.repetitions if last > self._settings.threshold else 0
        done = _Finished(first, full_block(last), partial.latest, 1 + repeated, now)
        self._finished[key] = done
        if first.acknowledge:
            self._answering[key] = done
        if len(self._finished) > FINISHED:
            oldest, _ = self._finished.popitem(last=False)
            self._answering.pop(oldest, None)
        upper = b"".join(partial.parts[offset] for offset in range(last + 1))
        return Whole(
            head=first.segment,
            upper=upper,
            source=first.source,
            destination=first.destination,
            sequence=key[3],
            latest=partial.latest,
            iv_index=first.iv_index,
            ttl=first.ttl,
        )


def _key(arrival: Arrival) -> _Key:
    first = first_sequence(arrival.sequence, arrival.segment.seq_zero)
    return arrival.source, arrival.destination, arrival.iv_index, first


def _check_fit(first: Segment, segment: Segment) -> None:
    """All segments of a message have the same header but for the offset (3.5.3.4)."""
    same = type(first) is type(segment) and first.last == segment.last
    if same and isinstance(first, AccessSegment) and isinstance(segment, AccessSegment):
        same = (first.aid, first.long_mic) == (segment.aid, segment.long_mic)
    elif same and not isinstance(first, AccessSegment) and not isinstance(segment, AccessSegment):
        same = first.opcode == segment.opcode
    if not same:
        raise Rejected(RejectReason.INVALID, "a segment with another header than the first")


def _answer(arrival: Arrival, block: int) -> Answer:
    ack = SegmentAck(arrival.segment.seq_zero, block)
    # A message with TTL 0 came from a neighbour and is answered the same way (3.5.2.3.1).
    return Answer(ack, arrival.destination, arrival.source, arrival.ttl, arrival.net_index)
