"""Where an export goes. A regular file is replaced as a whole once all went well; whatever else there is at
the path (a device, a pipe) is written to, never replaced; a link leads to its target and stays.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from common.errors import Misconfigured

STANDARD_OUTPUT: Final = Path("-")


class Sink(Protocol):
    """Takes bytes; as much of a binary file as writers of CSV and Parquet use."""

    @property
    def closed(self) -> bool:
        """Never, while it is lent."""

    def write(self, data: bytes, /) -> int:
        """Take all of `data`."""

    def tell(self) -> int:
        """How many bytes it took."""

    def flush(self) -> None:
        """Pass on what waits."""


@contextmanager
def opened(output: Path) -> Iterator[Sink]:
    """A stream of bytes into `output`; `-` is the standard output. Raises Misconfigured for what cannot be
    written; BrokenPipeError, which is the reader's wish, goes through."""
    try:
        target = Path(os.path.realpath(output))
        if output == STANDARD_OUTPUT or _is_standard_output(output):
            yield _Straight(sys.stdout.buffer)
            sys.stdout.flush()
        elif (found := _mode(target)) is None or stat.S_ISREG(found):
            with _beside(target, found) as stream:
                yield stream
        else:
            # Without O_CREAT and O_TRUNC: it is what it is.
            with open(os.open(target, os.O_WRONLY | os.O_CLOEXEC), "wb") as stream:
                yield _Straight(stream)
    except BrokenPipeError:
        raise
    except OSError as error:
        problem = error.strerror or str(error)
        raise Misconfigured(f"{output} cannot be written: {problem}", "name a file elsewhere") from error


@contextmanager
def _beside(target: Path, mode: int | None) -> Iterator[Sink]:
    """A file beside `target`, which takes its place and its mode when nothing was raised."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        # Exclusively: in a folder that others may write to, somebody may have put a link there.
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), "w+b") as stream:
            yield stream
            if mode is not None:
                os.fchmod(stream.fileno(), stat.S_IMODE(mode))
        os.replace(part, target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _is_standard_output(path: Path) -> bool:
    """`/dev/stdout` and its like: what a shell made it may be a file that is appended to."""
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):
        return False


class _Straight:
    """What is written goes on to `stream`; knows how far it is, which pipes do not, and Parquet asks."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._written = 0

    def write(self, data: bytes) -> int:
        self._written += len(data)
        return self._stream.write(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._stream.flush()
