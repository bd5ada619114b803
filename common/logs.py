"""Structured logs on the standard library: an event name plus fields.

    log = get_logger(__name__, gateway="gw-1")
    log.info("relay-set-applied", nodes=3, seconds=0.21)

prints `… INFO relay-set-applied gateway=gw-1 nodes=3 seconds=0.21`, or one JSON object a line.
Handlers are configured only by entry points, through `configure`.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Mapping
from typing import TextIO

Field = object
_FIELDS = "meshtwin_fields"


class Logger:
    """A logger that carries bound fields. Exceptions are logged with their class and text."""

    def __init__(self, name: str, fields: dict[str, Field]) -> None:
        self._logger = logging.getLogger(name)
        self._fields = fields

    def bind(self, **fields: Field) -> Logger:
        """A logger with more fields bound."""
        return Logger(self._logger.name, {**self._fields, **fields})

    def debug(self, event: str, **fields: Field) -> None:
        self._emit(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        self._emit(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        self._emit(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Field) -> None:
        self._emit(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Field) -> None:
        """Log at error level with the traceback of the exception being handled."""
        self._logger.error(event, exc_info=True, extra={_FIELDS: {**self._fields, **fields}})

    def _emit(self, level: int, event: str, fields: dict[str, Field]) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, extra={_FIELDS: {**self._fields, **fields}})


class LineFormatter(logging.Formatter):
    """One human-readable line a record."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"{stamp}.{int(record.msecs):03d}Z {record.levelname:<7} {record.getMessage()}"
        fields = "".join(f" {key}={_plain(value)}" for key, value in _fields(record).items())
        return head + fields + _trace(self, record)


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, object] = {key: _plain(value) for key, value in _fields(record).items()}
        # After the fields: none of them can pose as another time, level or event.
        document["time"] = round(record.created, 3)
        document["level"] = record.levelname.lower()
        document["event"] = record.getMessage()
        if record.exc_info:
            document["trace"] = self.formatException(record.exc_info)
        return json.dumps(document)


def get_logger(name: str, **fields: Field) -> Logger:
    """The logger of a module, with `fields` bound to every line."""
    return Logger(name, fields)


def configure(level: str = "info", style: str = "line", stream: TextIO | None = None) -> None:
    """Send logs to `stream` (standard error by default). Called by entry points only.

    `style` is "line" or "json".
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else LineFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


def _fields(record: logging.LogRecord) -> dict[str, Field]:
    fields: dict[str, Field] = getattr(record, _FIELDS, {})
    return fields


def _plain(value: Field) -> Field:
    """What may be printed of a value, as JSON knows it: secrets masked, line breaks escaped."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else str(value)
    if hasattr(value, "get_secret_value"):
        # pydantic's secrets, told by what they can do: importing it takes a gateway more than its logs may.
        return "********"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(value))


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return "\n" + formatter.formatException(record.exc_info) if record.exc_info else ""
