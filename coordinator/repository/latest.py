"""The newest values of every link, node, host or flow: what tables and maps of the present show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from common.messages import KEY_COLUMNS
from coordinator.repository.samples import Array, Question, bodies, dtype, unpack_columns

# Column names and type codes: messages that agree in them are read as one.
_Shape: TypeAlias = tuple[tuple[str, str], ...]
_BITS: Final = 16


@dataclass(slots=True)
class Latest:
    """One link, node, host or flow: its key columns, when and by whom it was last measured, its newest
    values.
    """

    site: str
    gateway: str
    key: dict[str, int]
    t: float
    values: dict[str, float] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class _Gathered:
    columns: dict[str, list[bytes]]
    sources: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


def read(engine: Engine, question: Question) -> list[Latest]:
    """The newest value of each metric within the question's time, in order of key; its metric is ignored.

    A link that two gateways measured is listed once, with the newest of either; hosts are apart.
    """
    groups: dict[_Shape, _Gathered] = {}
    sources: dict[tuple[str, str], int] = {}
    for site, gateway, body in bodies(engine, question):
        columns = unpack_columns(body)
        shape = tuple((name, code) for name, (code, _) in columns.items())
        group = groups.setdefault(shape, _Gathered({name: [] for name in columns}))
        for name, (_, packed) in columns.items():
            group.columns[name].append(packed)
        group.sources.append(sources.setdefault((site, gateway), len(sources)))
        group.counts.append(len(columns["t"][1]) // 8)
    found: dict[int, Latest] = {}
    for shape, group in groups.items():
        _merge(found, question, shape, group, tuple(sources))
    return [found[key] for key in sorted(found)]


def _merge(
    found: dict[int, Latest],
    question: Question,
    shape: _Shape,
    group: _Gathered,
    sources: tuple[tuple[str, str], ...],
) -> None:
    """Take over what one group of messages knows better."""
    table = {name: np.frombuffer(b"".join(group.columns[name]), dtype(code)) for name, code in shape}
    names = [name for name in KEY_COLUMNS[question.subject.kind] if name != "t"]
    source = np.repeat(np.array(group.sources, np.int64), group.counts)
    keys = _keys([table[name] for name in names], source)
    t = table.pop("t")
    in_time = (t >= question.t0) & (t < question.t1)
    for name in [name for name in table if name not in names]:
        value = table[name].astype(np.float64)
        for row in _newest(keys, t, in_time & ~np.isnan(value)):
            site, gateway = sources[source[row]]
            key = {column: int(table[column][row]) for column in names}
            new = Latest(site, gateway, key, float(t[row]))
            _update(found, int(keys[row]), new, name, float(value[row]))


def _keys(columns: list[Array], source: NDArray[np.int64]) -> NDArray[np.int64]:
    """The key columns, of at most 16 bits each, in one number; a host is known by who measured."""
    if not columns:
        return source
    keys = np.zeros(len(source), np.int64)
    for column in columns:
        keys = (keys << _BITS) | column.astype(np.int64)
    return keys


def _newest(keys: NDArray[np.int64], t: Array, chosen: NDArray[np.bool_]) -> list[int]:
    """The row of the greatest `t` for every key among the chosen rows."""
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((t[rows], keys[rows]))]
    last = np.append(np.diff(keys[rows]) != 0, True)[: len(rows)]
    newest: list[Any] = rows[last].tolist()
    return newest


def _update(found: dict[int, Latest], key: int, new: Latest, metric: str, value: float) -> None:
    entry = found.setdefault(key, new)
    if new.t > entry.t:
        entry.t, entry.gateway = new.t, new.gateway
    if new.t >= entry.times.get(metric, 0.0):
        entry.values[metric], entry.times[metric] = value, new.t
