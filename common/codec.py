"""Columnar tables: little-endian typed bytes per column, read without numpy.

On the wire a table is a MessagePack map `{column name: [type code, count, bytes]}`. Type codes are those of
the standard library's `array`, restricted to the fixed-size ones. Whatever the input, decoding ends in a
table or in `Rejected`; memory stays within about a hundred times the input's size, which is limited.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeAlias

import msgpack

from common.errors import Rejected, RejectReason

MAX_MESSAGE_BYTES = 256 * 1024
MAX_COLUMNS = 64
MAX_ROWS = 65_536
MAX_DEPTH = 16
ITEM_BYTES = {"b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4, "d": 8}

Column: TypeAlias = "array[int] | array[float]"
Table: TypeAlias = dict[str, Column]
Scalar: TypeAlias = "None | bool | int | float | str | bytes"
Value: TypeAlias = "Scalar | Sequence[Value] | Mapping[str, Value]"

_COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_NATIVE_IS_LITTLE = sys.byteorder == "little"


def pack(value: Value) -> bytes:
    """MessagePack bytes of a plain value."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes) -> Value:
    """The plain value in `data`, with string keys only and every length bounded by the input's.

    Raises Rejected: OVERSIZED, TRUNCATED or MALFORMED.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise Rejected(RejectReason.OVERSIZED, f"{len(data)} bytes, at most {MAX_MESSAGE_BYTES}")
    try:
        _check_complete(data)
        value: Value = msgpack.unpackb(data, raw=False, strict_map_key=True, ext_hook=_refuse_extension)
        _check_shape(value)
    except Rejected:
        raise
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise _explain(error) from error
    return value


def encode_table(table: Table) -> bytes:
    """Pack a table whose columns all have the same length.

    Raises ValueError for a table that `decode_table` would refuse: a mistake of the caller.
    """
    counts = {len(column) for column in table.values()}
    if len(counts) > 1 or len(table) > MAX_COLUMNS or max(counts, default=0) > MAX_ROWS:
        raise ValueError(f"a table has equal columns, at most {MAX_COLUMNS} of {MAX_ROWS} rows")
    if bad := [name for name in table if not _COLUMN_NAME.fullmatch(name)]:
        raise ValueError(f"bad column names {bad}")
    return pack({name: [c.typecode, len(c), _little_endian(c).tobytes()] for name, c in table.items()})


def decode_table(data: bytes) -> Table:
    """Unpack a table and check names, type codes, counts and lengths. Raises Rejected."""
    return {name: _little_endian(array(code, packed)) for name, (code, packed) in table_bytes(data).items()}


def table_bytes(data: bytes) -> dict[str, tuple[str, bytes]]:
    """Type code and little-endian bytes of every column, checked like `decode_table` but not decoded.

    For readers that pass many rows on without looking at them. Raises Rejected.
    """
    value = unpack(data)
    if not isinstance(value, dict) or len(value) > MAX_COLUMNS:
        raise Rejected(RejectReason.INVALID, f"a table is a map of at most {MAX_COLUMNS} columns")
    columns = {name: _checked(name, packed) for name, packed in value.items()}
    if len({len(packed) // ITEM_BYTES[code] for code, packed in columns.values()}) > 1:
        raise Rejected(RejectReason.INVALID, "columns differ in length")
    return columns


def rows(table: Table) -> int:
    """How many rows a table has."""
    return len(next(iter(table.values()))) if table else 0


def _checked(name: str, packed: Value) -> tuple[str, bytes]:
    """Type code and bytes of a packed column. Runs for each column of every message: kept plain."""
    if not _is_column_name(name):
        raise Rejected(RejectReason.INVALID, f"column name {name[:60]!r}")
    code, count, data = packed if isinstance(packed, list) and len(packed) == 3 else (None, None, None)
    if not (isinstance(code, str) and code in ITEM_BYTES and type(count) is int and isinstance(data, bytes)):
        raise Rejected(RejectReason.INVALID, f"column {name} is not [type code, count, bytes]")
    if not 0 <= count <= MAX_ROWS or len(data) != count * ITEM_BYTES[code]:
        raise Rejected(RejectReason.INVALID, f"column {name}: {count} x {code} in {len(data)} bytes")
    return code, data


@lru_cache(maxsize=1024)
def _is_column_name(name: str) -> bool:
    return _COLUMN_NAME.fullmatch(name) is not None


def _little_endian(column: Column) -> Column:
    """Swap between the machine's and the wire's byte order; the same object where they agree."""
    if _NATIVE_IS_LITTLE or column.itemsize == 1:
        return column
    swapped = column[:]
    swapped.byteswap()
    return swapped


def _check_complete(data: bytes) -> None:
    """Walk the message once without building it.

    `unpackb` allocates what a header promises before the elements have come: 3 bytes of every nested
    header become kilobytes. A complete message holds what it promises.
    """
    unpacker = msgpack.Unpacker(read_size=max(1, len(data)), max_buffer_size=max(1, len(data)))
    unpacker.feed(data)
    unpacker.skip()


def _check_shape(value: Value, depth: int = 0) -> None:
    """Maps have text keys (MessagePack also allows bytes), nesting stays shallow, no extension types."""
    if depth > MAX_DEPTH:
        raise Rejected(RejectReason.MALFORMED, f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise Rejected(RejectReason.MALFORMED, "a map key is not text")
        for inner in value.values():
            _check_shape(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_shape(inner, depth + 1)
    elif isinstance(value, msgpack.Timestamp):
        # The one extension that msgpack decodes without asking the hook.
        raise Rejected(RejectReason.MALFORMED, "MessagePack time stamps are not used here")


def _refuse_extension(code: int, data: bytes) -> Value:
    raise Rejected(RejectReason.MALFORMED, f"MessagePack extension type {code} is not used here")


def _explain(error: Exception) -> Rejected:
    text = str(error) or type(error).__name__
    truncated = isinstance(error, msgpack.OutOfData)
    return Rejected(RejectReason.TRUNCATED if truncated else RejectReason.MALFORMED, text[:200])
