"""Tables of observations into CSV or Parquet, one after the other, in bounded memory.

Columns: `site`, `gateway`, `t` (Unix seconds), the subject's keys, then the metrics in order of their names.
A value that was not measured is empty in CSV and null in Parquet.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, Final, Protocol

from common.codec import Table, rows
from common.errors import Misconfigured
from common.messages import KEY_COLUMNS, Kind
from coordinator.export.destination import Sink

ROWS_AT_ONCE: Final = 50_000
"""Rows of a Parquet row group: gathered before they are written."""

_ARROW_TYPES: Final = {
    "b": "int8", "B": "uint8", "h": "int16", "H": "uint16", "i": "int32", "I": "uint32",
    "q": "int64", "Q": "uint64", "f": "float32", "d": "float64",
}  # fmt: skip


class Writer(Protocol):
    """Takes tables, and must be closed."""

    def write(self, site: str, gateway: str, table: Table) -> None:
        """Add a table's rows."""

    def close(self) -> None:
        """Write what is left; without it the file is not complete."""


def ordered(kind: Kind, columns: Mapping[str, str]) -> dict[str, str]:
    """The columns in the order of a file: keys first, then metrics by name."""
    keys = KEY_COLUMNS[kind]
    return {**keys, **{name: columns[name] for name in sorted(columns.keys() - keys.keys())}}


class CsvWriter:
    """Comma-separated values with a header, RFC 4180 but for the line end."""

    def __init__(self, out: Sink, columns: Sequence[str]) -> None:
        self._columns = columns
        self._writer = csv.writer(_Encoded(out), lineterminator="\n")
        self._writer.writerow(["site", "gateway", *columns])

    def write(self, site: str, gateway: str, table: Table) -> None:
        count = rows(table)
        columns = [_texts(table, name, count) for name in self._columns]
        self._writer.writerows([site, gateway, *values] for values in zip(*columns, strict=True))

    def close(self) -> None:
        """Nothing is held back."""


class _Encoded:
    def __init__(self, out: Sink) -> None:
        self._out = out

    def write(self, text: str) -> int:
        return self._out.write(text.encode())


class ParquetWriter:
    """One Parquet file, compressed by zstd; `site` and `gateway` are dictionary columns."""

    def __init__(self, out: Path | Sink, columns: Mapping[str, str]) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise Misconfigured("Parquet needs pyarrow", "pip install 'meshtwin[coordinator]'") from error
        self._pa = pa
        names = pa.dictionary(pa.int32(), pa.string())
        fields = [("site", names), ("gateway", names)]
        fields += [(name, getattr(pa, _ARROW_TYPES[code])()) for name, code in columns.items()]
        self._schema = pa.schema(fields)
        self._file = parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, site: str, gateway: str, table: Table) -> None:
        count = rows(table)
        self._waiting.append(self._batch(site, gateway, table, count))
        self._rows += count
        if self._rows >= ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _batch(self, site: str, gateway: str, table: Table, count: int) -> Any:
        pa = self._pa
        one = [pa.array([text] * count).dictionary_encode() for text in (site, gateway)]
        columns = [
            pa.nulls(count, field.type)
            if field.name not in table
            else pa.array(list(table[field.name]), field.type, from_pandas=True)
            for field in list(self._schema)[2:]
        ]
        return pa.table([column.cast(field.type) for column, field in zip(one, self._schema, strict=False)]
                        + columns, schema=self._schema)  # fmt: skip

    def _flush(self) -> None:
        if self._waiting:
            merged = self._pa.concat_tables(self._waiting).unify_dictionaries().combine_chunks()
            self._file.write_table(merged)
        self._waiting, self._rows = [], 0


def _texts(table: Table, name: str, count: int) -> Sequence[object]:
    """A column's values; empty for what was not measured. `repr` of a float keeps all of it."""
    if name not in table:
        return [""] * count
    column = table[name]
    if column.typecode in "fd":
        return ["" if isnan(value) else value for value in column]
    return column
