"""Storing a batch: messages, the rows derived from them and the streams' positions in one transaction.

Idempotent: a sequence that is already stored is dropped. Used from one thread.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Engine, select

from common.errors import Rejected
from common.messages import ActionRecord, Configuration
from coordinator.repository import schema
from coordinator.repository.batch import Batch, Incoming, Outcome, Refusal, StatusHeard, Stream
from coordinator.repository.database import translated
from coordinator.repository.position import Position
from coordinator.repository.statements import Statements

MAX_POSITIONS: Final = 8192
Row = dict[str, Any]


class Writer:
    """The only one who writes. Keeps the positions of the streams at hand between transactions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sql = Statements(engine)
        self._positions: dict[Stream, Position] = {}
        self._spans: dict[tuple[str, str], float] = {}

    def store(self, batch: Batch) -> Outcome:
        """Store a batch, durably, before returning.

        Raises Unavailable, Corrupt, or Rejected (it holds a value that this database cannot); then nothing
        of the batch is stored.
        """
        if len(self._positions) > MAX_POSITIONS:
            self._positions.clear()
        try:
            with translated(self._engine), self._engine.begin() as connection:
                return self._store(connection, batch)
        except BaseException:
            # What was noted in memory is not in the database.
            self.forget()
            raise

    def forget(self) -> None:
        """Read positions anew: the database is not the one that they were noted from."""
        self._positions.clear()
        self._spans.clear()

    def _store(self, connection: Connection, batch: Batch) -> Outcome:
        outcome = Outcome(refusals=list(batch.refusals))
        fresh = self._take(connection, batch.messages, outcome)
        self._skip(connection, batch.statuses.values(), outcome)
        if fresh:
            connection.exec_driver_sql(self._sql.message, [_message_row(m, batch.received) for m in fresh])
        _put(connection, self._sql.action, [r for m in fresh if (r := _action_row(m))])
        _put(connection, self._sql.configuration, [r for m in fresh if (r := _configuration_row(m))])
        self._put_spans(connection, fresh)
        self._put_positions(connection, outcome, batch.received)
        self._put_gateways(connection, batch)
        self._put_refusals(connection, outcome.refusals, batch.received)
        outcome.stored = len(fresh)
        return outcome

    def _take(self, connection: Connection, messages: Sequence[Incoming], outcome: Outcome) -> list[Incoming]:
        """The messages that are not stored yet, in order of arrival."""
        fresh = []
        for message in messages:
            stream = (message.gateway, message.epoch)
            position = self._positions.get(stream) or self._load(connection, stream)
            try:
                if position.take(message.sequence):
                    fresh.append(message)
                    if isinstance(message.record, Refusal):
                        outcome.refusals.append(message.record)
                else:
                    outcome.duplicates[message.gateway] += 1
            except Rejected as refused:
                outcome.refusals.append(Refusal(message.gateway, refused.reason, refused.detail))
            outcome.acks[stream] = position.contiguous
        return fresh

    def _skip(self, connection: Connection, statuses: Iterable[StatusHeard], outcome: Outcome) -> None:
        """Give up what a gateway says it no longer holds: another repository had acknowledged it."""
        for status in statuses:
            stream = (status.gateway, status.epoch)
            if status.oldest <= 1:
                continue
            position = self._positions.get(stream) or self._load(connection, stream)
            if lost := position.skip_to(status.oldest):
                outcome.lost[stream] = lost
                outcome.acks[stream] = position.contiguous

    def _load(self, connection: Connection, stream: Stream) -> Position:
        table = schema.streams.c
        found = connection.execute(
            select(table.contiguous, table.ahead, table.lost).where(
                table.gateway == stream[0], table.epoch == schema.signed(stream[1])
            )
        ).one_or_none()
        position = Position.parse(*found) if found else Position()
        self._positions[stream] = position
        return position

    def _put_positions(self, connection: Connection, outcome: Outcome, now: float) -> None:
        rows = []
        for stream in outcome.acks:
            position = self._positions[stream]
            outcome.acks[stream] = position.contiguous
            rows.append(
                {
                    "gateway": stream[0],
                    "epoch": schema.signed(stream[1]),
                    "contiguous": position.contiguous,
                    "ahead": position.ahead_text(),
                    "lost": position.lost,
                    "stored_at": now,
                }
            )
        _put(connection, self._sql.stream, rows)

    def _put_spans(self, connection: Connection, messages: Sequence[Incoming]) -> None:
        longer: dict[tuple[str, str], float] = {}
        for message in messages:
            key = (message.site, message.kind)
            span = message.t1 - message.t0
            if span > self._spans.get(key, -1.0) and span > longer.get(key, -1.0):
                longer[key] = span
        for key in longer:
            longer[key] = max(longer[key], _span(connection, key))
        _put(
            connection, self._sql.span, [{"site": s, "kind": k, "seconds": v} for (s, k), v in longer.items()]
        )
        self._spans.update(longer)

    def _put_gateways(self, connection: Connection, batch: Batch) -> None:
        seen = {m.gateway: m.site for m in batch.messages}
        rows: list[Row] = [
            {"gateway": g, "site": s, "last_seen": batch.received, "online": True, "status": None}
            for g, s in seen.items()
            if g not in batch.statuses
        ]
        rows += [
            {
                "gateway": s.gateway,
                "site": s.site,
                "last_seen": batch.received if s.live or s.gateway in seen else 0.0,
                "online": s.online,
                "status": s.packed,
            }
            for s in batch.statuses.values()
        ]
        _put(connection, self._sql.gateway, rows)

    def _put_refusals(self, connection: Connection, refusals: Sequence[Refusal], now: float) -> None:
        counts = Counter((r.gateway, r.reason) for r in refusals)
        details = {(r.gateway, r.reason): r.detail for r in refusals}
        rows = [
            {
                "gateway": g,
                "reason": r.value,
                "times": n,
                "last_seen": now,
                "detail": _printable(details[g, r]),
            }
            for (g, r), n in counts.items()
        ]
        _put(connection, self._sql.reject, rows)


def _put(connection: Connection, statement: Any, rows: list[Row]) -> None:
    if rows:
        connection.execute(statement, rows)


def _printable(detail: str) -> str:
    """A detail may quote the offender, and not every database holds every character."""
    return "".join(c if c.isprintable() else "?" for c in detail[:256])


def _span(connection: Connection, key: tuple[str, str]) -> float:
    table = schema.spans.c
    found: float | None = connection.execute(
        select(table.seconds).where(table.site == key[0], table.kind == key[1])
    ).scalar()
    return found or 0.0


def _message_row(message: Incoming, received: float) -> tuple[Any, ...]:
    """The columns of `messages` in their order."""
    gateway, epoch, sequence, site, kind, t0, t1, body, _ = message
    return gateway, schema.signed(epoch), sequence, site, kind, t0, t1, received, body


def _key(message: Incoming) -> Row:
    return {
        "gateway": message.gateway,
        "epoch": schema.signed(message.epoch),
        "sequence": message.sequence,
        "site": message.site,
        "at": message.t0,
    }


def _action_row(message: Incoming) -> Row | None:
    record = message.record
    if not isinstance(record, ActionRecord):
        return None
    return _key(message) | record.model_dump(exclude={"steps"}) | {"steps": json.dumps(record.steps)}


def _configuration_row(message: Incoming) -> Row | None:
    record = message.record
    if not isinstance(record, Configuration):
        return None
    nodes = json.dumps([node.model_dump() for node in record.nodes])
    return _key(message) | {"version": record.version, "nodes": nodes}
