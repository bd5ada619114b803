"""The frames that `/v1/observations` streams, checked and cut to the time asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgpack

from common.codec import MAX_MESSAGE_BYTES, Table, decode_table, rows
from common.errors import Corrupt, Rejected


@dataclass(frozen=True, slots=True)
class Frame:
    """What one gateway measured, as a table."""

    site: str
    gateway: str
    table: Table


def read(pieces: Iterable[bytes]) -> Iterator[Frame]:
    """The frames in a stream of bytes that may be cut anywhere. Raises Corrupt."""
    unpacker = msgpack.Unpacker(raw=False, max_buffer_size=64 * MAX_MESSAGE_BYTES)
    try:
        for piece in pieces:
            unpacker.feed(piece)
            for value in unpacker:
                yield Frame(str(value["site"]), str(value["gateway"]), decode_table(value["table"]))
    except (Rejected, ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise Corrupt(f"the coordinator's answer is unreadable: {error!r}"[:200]) from error


def within(table: Table, t0: float, t1: float) -> Table:
    """The rows with t0 <= t < t1."""
    chosen = [i for i, t in enumerate(table["t"]) if t0 <= t < t1]
    if len(chosen) == rows(table):
        return table
    return {name: array(column.typecode, [column[i] for i in chosen]) for name, column in table.items()}
