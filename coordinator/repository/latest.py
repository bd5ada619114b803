"""The newest values of every link, node, host or flow: what tables and maps of the present show."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TypeAlias

from sqlalchemy import Engine

from common.codec import Column, Table, decode_table
from common.errors import Corrupt, Rejected
from common.messages import KEY_COLUMNS
from coordinator.repository.database import translated
from coordinator.repository.samples import Question, bodies

_Found: TypeAlias = "dict[tuple[tuple[int, ...], str], Latest]"


@dataclass(slots=True)
class Latest:
    """One link, node, host or flow: its key columns, when it was last measured, its newest values."""

    site: str
    gateway: str
    key: dict[str, int]
    t: float
    values: dict[str, float] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict, repr=False)


def read(engine: Engine, question: Question) -> list[Latest]:
    """The newest value of each metric within the question's time, in order of key; its metric is ignored.

    A link that two gateways measured is listed once, with the newest of either; hosts are apart.
    """
    names = [name for name in KEY_COLUMNS[question.subject.kind] if name != "t"]
    found: _Found = {}
    with translated(engine):
        for site, gateway, body in bodies(engine, question):
            _merge(found, question, names, site, gateway, _table(body))
    return [found[key] for key in sorted(found)]


def _merge(
    found: _Found,
    question: Question,
    names: list[str],
    site: str,
    gateway: str,
    table: Table,
) -> None:
    metrics = {name: column for name, column in table.items() if name not in names and name != "t"}
    times = table.get("t", array("d"))
    for row, t in enumerate(times):
        if not question.t0 <= t < question.t1:
            continue
        key = tuple(int(table[name][row]) for name in names)
        identity = key, "" if names else gateway
        entry = found.get(identity)
        if entry is None:
            entry = found[identity] = Latest(site, gateway, dict(zip(names, key, strict=True)), t)
        _update(entry, gateway, t, metrics, row)


def _update(entry: Latest, gateway: str, t: float, metrics: dict[str, Column], row: int) -> None:
    if t >= entry.t:
        entry.t, entry.gateway = t, gateway
    for name, column in metrics.items():
        value = column[row]
        if value == value and t >= entry.times.get(name, 0.0):  # NaN: not measured
            entry.values[name], entry.times[name] = value, t


def _table(body: bytes) -> Table:
    try:
        return decode_table(body)
    except Rejected as error:
        raise Corrupt(f"a stored measurement is unreadable: {error}") from error
