"""Measured link traces (`*.k7.gz`): a JSON header line, then CSV rows
`datetime,src,dst,channel,mean_rssi,pdr,tx_count`, gzip-compressed.

A row with a channel tells of that channel alone and is skipped; the others average over all channels. Files
come from outside: what they may hold is bounded, and a damaged one is refused by name.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import numpy as np

from common.errors import Rejected, RejectReason, Unavailable
from common.logs import get_logger
from coordinator.training.windows import Windows, arrange

VARIABLE: Final = "MESHTWIN_DATA"
PATTERN: Final = "*.k7.gz"
MAX_FILES: Final = 32
MAX_ROWS: Final = 2_000_000
MAX_LINE: Final = 4096
FIELDS: Final = ("datetime", "src", "dst", "channel", "mean_rssi", "pdr", "tx_count")

_Row = tuple[float, str, str, float, float, float]

log = get_logger(__name__)


def data_folder(environment: Mapping[str, str]) -> Path | None:
    """The folder that `MESHTWIN_DATA` names, where it is set."""
    named = environment.get(VARIABLE, "")
    return Path(named) if named else None


def load_all(folder: Path | None) -> dict[str, Windows]:
    """The windows of every readable trace below `folder`/radio, by the file's name without its endings.

    A damaged file is left out with a warning; no folder or no file with a line in the log.
    """
    paths = [] if folder is None else sorted((folder / "radio").glob(PATTERN))[:MAX_FILES]
    if not paths:
        log.info("traces-absent", folder=folder, fix=f"set {VARIABLE} to a folder with radio/{PATTERN}")
    traces = {}
    for path in paths:
        try:
            traces[path.name.removesuffix(PATTERN[1:])] = load(path)
        except (Rejected, Unavailable) as error:
            log.warning("trace-refused", file=path.name, reason=str(error))
    return traces


def load(path: Path) -> Windows:
    """The windows of one trace. Raises Rejected: OVERSIZED, MALFORMED, TRUNCATED, INVALID; Unavailable."""
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            return _windows(_rows(file))
    except EOFError as error:
        raise Rejected(RejectReason.TRUNCATED, f"{path.name} ends early") from error
    except (gzip.BadGzipFile, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise Rejected(RejectReason.MALFORMED, f"{path.name}: {error}"[:200]) from error
    except OSError as error:
        raise Unavailable(f"{path.name} cannot be read: {os.strerror(error.errno or 0)}") from error


def _rows(file: IO[str]) -> Iterator[_Row]:
    lines = _bounded(file)
    _check_header(next(lines, ""))
    table = csv.reader(lines)
    if tuple(next(table, ())) != FIELDS:
        raise Rejected(RejectReason.MALFORMED, f"the columns are not {','.join(FIELDS)}")
    for number, values in enumerate(table, 3):
        if len(values) != len(FIELDS):
            raise Rejected(RejectReason.MALFORMED, f"line {number} has {len(values)} fields")
        if not values[3]:
            yield _row(values, number)


def _bounded(file: IO[str]) -> Iterator[str]:
    """Lines of limited length and number: a small archive may unpack to anything."""
    for _ in range(MAX_ROWS):
        line = file.readline(MAX_LINE)
        if not line:
            return
        if len(line) == MAX_LINE and not line.endswith("\n"):
            raise Rejected(RejectReason.OVERSIZED, f"a line is longer than {MAX_LINE} characters")
        yield line
    raise Rejected(RejectReason.OVERSIZED, f"more than {MAX_ROWS} lines")


def _check_header(line: str) -> None:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Rejected(RejectReason.MALFORMED, "the first line is not JSON") from error
    if not isinstance(header, dict):
        raise Rejected(RejectReason.MALFORMED, "the first line is not a JSON object")


def _row(values: list[str], number: int) -> _Row:
    try:
        t = datetime.fromisoformat(values[0]).replace(tzinfo=UTC).timestamp()
        rssi = float(values[4]) if values[4] else float("nan")
        pdr, sent = float(values[5]), int(values[6])
    except (ValueError, OverflowError) as error:
        raise Rejected(RejectReason.INVALID, f"line {number}: {error}"[:200]) from error
    if not (0.0 <= pdr <= 1.0 and 0 <= sent < 2**31):
        raise Rejected(RejectReason.INVALID, f"line {number}: pdr {pdr} of {sent} sent")
    return t, values[1], values[2], rssi, pdr, float(sent)


def _windows(rows: Iterable[_Row]) -> Windows:
    """Every packet counts as a probe with one transmission."""
    links: dict[tuple[str, str], int] = {}
    table = np.array(
        [(t, links.setdefault((a, b), len(links)), rssi, pdr, n) for t, a, b, rssi, pdr, n in rows],
        np.float64,
    ).reshape(-1, 5)
    t, link, rssi, pdr, sent = table.T
    return arrange(link, t, np.round(pdr * sent), sent, np.ones(len(t)), rssi)
