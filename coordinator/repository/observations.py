"""Stored measurements as they came, message by message, for export: nothing is decoded or joined here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

from coordinator.repository.samples import Question, bodies, unpack_columns


@dataclass(frozen=True, slots=True)
class Extent:
    """What a question covers: messages, rows (a few may lie outside its time), and the union of columns.

    `columns` maps each name to its type code (`array`'s); where messages disagree it is "d".
    """

    messages: int
    rows: int
    columns: dict[str, str]


def extent(engine: Engine, question: Question) -> Extent:
    """Look through what a question covers; its metric and key are ignored. Raises Unavailable, Corrupt."""
    messages = rows = 0
    columns: dict[str, str] = {}
    for _, _, body in bodies(engine, question):
        found = unpack_columns(body)
        messages += 1
        rows += len(found["t"][1]) // 8
        for name, (code, _) in found.items():
            columns[name] = code if columns.get(name, code) == code else "d"
    return Extent(messages, rows, columns)


def messages(engine: Engine, question: Question) -> Iterator[tuple[str, str, bytes]]:
    """Site, gateway and body (a packed table) of every message that may hold rows of the question.

    Raises Unavailable or Corrupt.
    """
    return bodies(engine, question)
