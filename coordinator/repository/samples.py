"""Measured values as typed columns, read from the stored messages.

Bodies are joined column by column and handed to numpy at once, so that the cost follows the messages, not
the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, Select, select

from common.codec import table_bytes
from common.errors import Corrupt, Rejected, RejectReason
from common.messages import KEY_COLUMNS, Kind
from coordinator.repository import schema
from coordinator.repository.database import translated

Key: TypeAlias = "int | tuple[int, ...]"
Array: TypeAlias = NDArray[Any]
_CHUNK: Final = 2000


class Subject(StrEnum):
    """What a sample is about."""

    LINK = "link"
    NODE = "node"
    HOST = "host"
    FLOW = "flow"

    @property
    def kind(self) -> Kind:
        return _KINDS[self]


_KINDS: Final = {
    Subject.LINK: Kind.LINKS,
    Subject.NODE: Kind.NODES,
    Subject.HOST: Kind.HOST,
    Subject.FLOW: Kind.FLOWS,
}


@dataclass(frozen=True, slots=True)
class Samples:
    """Equal-length columns in order of time.

    `keys` holds `t` (Unix seconds, float64) and the subject's other key columns in their wire types;
    `value` is float64; `source` indexes `sources`, the (site, gateway) pairs that measured.
    """

    keys: dict[str, Array]
    value: NDArray[np.float64]
    source: NDArray[np.int32]
    sources: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True, slots=True)
class Question:
    """Which samples: t0 <= t < t1 (Unix seconds).

    `key` picks one link (transmitter, receiver), node (address) or flow (source, destination[, class]).
    """

    subject: Subject
    metric: str
    t0: float
    t1: float
    site: str | None = None
    gateway: str | None = None
    key: Key | None = None


def read(engine: Engine, question: Question) -> Samples:
    """The samples asked for, without the values that are not a number: absent measurements.

    Raises Rejected(INVALID) for a key that does not fit the subject, Unavailable, Corrupt.
    """
    wanted = _wanted(question)
    gathered = _Gathered(question)
    for site, gateway, body in bodies(engine, question):
        gathered.add(site, gateway, body)
    return _select(gathered.samples(), question, wanted)


def bodies(engine: Engine, question: Question) -> Iterator[tuple[str, str, bytes]]:
    """Site, gateway and body of every message that may hold samples of the question."""
    with translated(engine), engine.connect() as connection:
        statement = _statement(question, _longest_span(engine, question))
        result = connection.execution_options(yield_per=_CHUNK).execute(statement)
        for row in result:
            yield row.site, row.gateway, row.body


def unpack_columns(body: bytes) -> dict[str, tuple[str, bytes]]:
    """Type code and bytes of each column of a stored measurement. Raises Corrupt."""
    try:
        return table_bytes(body)
    except Rejected as error:
        raise Corrupt(f"a stored measurement is unreadable: {error}") from error


@dataclass(slots=True)
class _Gathered:
    """Column bytes of many messages, apart by the metric's type."""

    question: Question
    parts: dict[str, dict[str, list[bytes]]] = field(default_factory=dict)
    counts: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    sources: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, site: str, gateway: str, body: bytes) -> None:
        columns = unpack_columns(body)
        if self.question.metric not in columns:
            return
        code = columns[self.question.metric][0]
        parts = self.parts.setdefault(code, {name: [] for name in self._names()})
        for name, part in parts.items():
            part.append(columns[name][1])
        source = self.sources.setdefault((site, gateway), len(self.sources))
        self.counts.setdefault(code, []).append((source, len(columns["t"][1]) // 8))

    def samples(self) -> Samples:
        codes = KEY_COLUMNS[self.question.subject.kind]
        tables = [_table(parts, codes, self.question.metric, code) for code, parts in self.parts.items()]
        empty = {name: np.empty(0, dtype(code)) for name, code in codes.items()}
        keys = {name: np.concatenate([empty[name], *(t[name] for t in tables)]) for name in codes}
        values = [t[self.question.metric].astype(np.float64) for t in tables]
        value: NDArray[np.float64] = np.concatenate([np.empty(0, np.float64), *values])
        return Samples(keys, value, self._source(), tuple(self.sources))

    def _names(self) -> list[str]:
        return [*KEY_COLUMNS[self.question.subject.kind], self.question.metric]

    def _source(self) -> NDArray[np.int32]:
        pairs = np.array([pair for code in self.parts for pair in self.counts[code]], np.int64).reshape(-1, 2)
        source: NDArray[np.int32] = np.repeat(pairs[:, 0].astype(np.int32), pairs[:, 1])
        return source


def _table(parts: dict[str, list[bytes]], codes: dict[str, str], metric: str, code: str) -> dict[str, Array]:
    return {
        name: np.frombuffer(b"".join(part), dtype(code if name == metric else codes[name]))
        for name, part in parts.items()
    }


def dtype(code: str) -> np.dtype[Any]:
    """The little-endian numpy type of a column's type code; `array` and numpy use the same letters."""
    return np.dtype("<" + code)


def _wanted(question: Question) -> dict[str, int]:
    """Key columns and the values they must have."""
    if question.key is None:
        return {}
    names = [name for name in KEY_COLUMNS[question.subject.kind] if name != "t"]
    key = question.key if isinstance(question.key, tuple) else (question.key,)
    least = 2 if question.subject is Subject.FLOW else len(names)
    if not least <= len(key) <= len(names) or not names:
        raise Rejected(
            RejectReason.INVALID, f"the key of a {question.subject} is {', '.join(names) or 'none'}"
        )
    return dict(zip(names, key, strict=False))


def _select(samples: Samples, question: Question, wanted: dict[str, int]) -> Samples:
    t = samples.keys["t"]
    chosen = (t >= question.t0) & (t < question.t1) & ~np.isnan(samples.value)
    for name, value in wanted.items():
        chosen &= samples.keys[name] == value
    at = np.flatnonzero(chosen)
    at = at[np.argsort(t[at], kind="stable")]
    keys = {name: column[at] for name, column in samples.keys.items()}
    return Samples(keys, samples.value[at], samples.source[at], samples.sources)


def _statement(question: Question, span: float) -> Select[Any]:
    table = schema.messages.c
    statement = select(table.site, table.gateway, table.body).where(
        table.kind == question.subject.kind.value,
        table.t1 >= question.t0,
        table.t1 <= question.t1 + span,
        table.t0 < question.t1,
    )
    if question.site is not None:
        statement = statement.where(table.site == question.site)
    if question.gateway is not None:
        statement = statement.where(table.gateway == question.gateway)
    return statement


def _longest_span(engine: Engine, question: Question) -> float:
    table = schema.spans.c
    statement = select(table.seconds).where(table.kind == question.subject.kind.value)
    if question.site is not None:
        statement = statement.where(table.site == question.site)
    with engine.connect() as connection:
        spans: Iterable[float] = connection.execute(statement).scalars()
        return max(spans, default=0.0)
