"""The verdict on a delivery: what was sent against what was stored, envelope by envelope. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from common.mesh.addresses import show
from common.messages import Event, Kind, decode
from tools.stage.evidence import Key, Row

SWITCHED: Final = "operator-set-relay"


@dataclass(frozen=True, slots=True)
class Order:
    """A node ordered by hand to relay; Unix times. When it was `answered`, the agent has told an event about
    it between `begun` and `ended`; when not, it may have."""

    node: int
    begun: float
    ended: float
    answered: bool

    def is_told_by(self, event: Event) -> bool:
        """Whether an event is about this order, as far as its fields tell."""
        return event.fields == {"node": show(self.node), "relay": True}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gateway's streams. `waiting` was still in the outbox at the end, `tombstones` stand in the
    repository for what an outbox gave up, `unexplained` was stored and never sent anywhere."""

    sent: int
    lost: frozenset[Key]
    stored_twice: tuple[Key, ...]
    unexplained: tuple[Key, ...]
    tombstones: int
    waiting: int


def judge(
    sent: Iterable[Row], stored: Sequence[Row], cut: Mapping[int, int], held: Collection[Key]
) -> Verdict:
    """Compare one gateway's envelopes.

    `cut` is the sequence per epoch up to which everything has to be stored, without a hole from 1 on. What
    was sent after it may also still be `held`. An envelope that is stored with other contents is lost; one
    that is stored again is so whether under the same sequence or under another one.
    """
    sent = frozenset(sent)
    at = _contents(stored)
    missing = {row for row in sent if row.content not in at[row.key]}
    waiting = {row for row in missing if row.key in held and row.sequence > cut.get(row.epoch, 0)}
    holes = {(e, n) for e, last in cut.items() for n in range(1, last + 1) if not at[e, n]}
    told = {row.content for row in sent}
    real = [row for row in stored if row.kind != Kind.DROPPED]
    return Verdict(
        sent=len(sent),
        lost=frozenset(row.key for row in missing - waiting) | holes,
        stored_twice=_repeated(real),
        unexplained=tuple(row.key for row in real if row.content not in told),
        tombstones=len(stored) - len(real),
        waiting=len(waiting),
    )


def _contents(rows: Iterable[Row]) -> defaultdict[Key, list[object]]:
    at: defaultdict[Key, list[object]] = defaultdict(list)
    for row in rows:
        at[row.key].append(row.content)
    return at


def _repeated(rows: Iterable[Row]) -> tuple[Key, ...]:
    """Rows whose place or whose contents were there before. Every real one tells its own moment."""
    places: set[Key] = set()
    contents: set[object] = set()
    repeated = []
    for row in rows:
        if row.key in places or row.content in contents:
            repeated.append(row.key)
        places.add(row.key)
        contents.add(row.content)
    return tuple(repeated)


def judge_orders(orders: Iterable[Order], rows: Iterable[Row]) -> tuple[list[Order], int]:
    """The answered orders of one gateway that no row tells of, and how many rows tell of one too often.

    Orders follow one another, so that an event's time names its order.
    """
    told = [(row.time, event) for row in rows if (event := _switched(row)) is not None]
    told.sort(key=itemgetter(0))
    times = [time for time, _ in told]
    missing, explained = [], 0
    for order in orders:
        meant = told[bisect_left(times, order.begun) : bisect_right(times, order.ended)]
        found = any(order.is_told_by(event) for _, event in meant)
        explained += found
        if order.answered and not found:
            missing.append(order)
    return missing, len(told) - explained


def _switched(row: Row) -> Event | None:
    if row.kind != Kind.EVENT:
        return None
    event = decode(Event, row.body)
    return event if event.name == SWITCHED else None
