"""Brings a bundle from the coordinator over HTTPS, and goes on where an earlier attempt was cut.

Blocking, on the standard library, for the short-lived process only. Looks at lengths; what is in the file is
checked by whoever asked for it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from ssl import SSLContext
from typing import Final

from common.errors import Misconfigured, Rejected, RejectReason, Unavailable
from common.messages import ModelReference

ANSWER_S: Final = 10.0
TOTAL_S: Final = 90.0
"""What has come by then is kept, and the next attempt goes on from there."""

CHUNK_BYTES: Final = 16 * 1024
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,10})-(\d{1,10})/(\d{1,10})")


def download(
    host: str,
    port: int,
    context: SSLContext,
    reference: ModelReference,
    part: Path,
    now: Callable[[], float] = time.monotonic,
) -> bool:
    """Fill the file `part` up to the size of `reference`; whether a part of it was there before.

    Raises Unavailable (no or an odd answer, or cut short: ask again), Rejected (the file is longer or shorter
    than announced), Misconfigured (the disk).
    """
    there = _size(part, reference.size)
    if there == reference.size:
        return True
    connection = HTTPSConnection(host, port, timeout=ANSWER_S, context=context)
    with closing(connection):
        try:
            with closing(_ask(connection, reference.digest, there)) as response:
                start = _check(response, there, reference.size)
                _write(part, start, _chunks(response, reference.size - start, now() + TOTAL_S, now))
        except (OSError, HTTPException) as error:
            raise Unavailable(f"{host}:{port}: {_told(error)}") from error
    if (found := _size(part, reference.size)) < reference.size:
        raise Unavailable(f"{host}:{port}: cut off after {found} of {reference.size} bytes")
    return start > 0


def _ask(connection: HTTPSConnection, digest: str, there: int) -> HTTPResponse:
    headers = {"Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    connection.request("GET", f"/v1/models/{digest}", headers=headers)
    return connection.getresponse()


def _check(response: HTTPResponse, there: int, size: int) -> int:
    """From which byte on the answer is. Raises Unavailable and Rejected."""
    if response.status == 206:
        told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if told is None or int(told[1]) != there:
            raise Unavailable("another range came than was asked for")
        _check_length(int(told[3]), size)
        return there
    if response.status == 416:
        # Shorter than what is here already: it is not the file that was announced.
        raise Rejected(RejectReason.TRUNCATED, f"the coordinator's file has no byte {there}")
    if response.status != 200:
        raise Unavailable(f"the coordinator answered {response.status} {response.reason[:80]}")
    if response.length is not None:
        _check_length(response.length, size)
    return 0


def _check_length(length: int, size: int) -> None:
    if length < size:
        raise Rejected(RejectReason.TRUNCATED, f"the coordinator serves {length} of {size} bytes")
    if length > size:
        raise Rejected(RejectReason.OVERSIZED, f"the coordinator serves {length} bytes, not {size}")


def _chunks(
    response: HTTPResponse, wanted: int, deadline: float, now: Callable[[], float]
) -> Iterator[bytes]:
    """What comes, up to `wanted` bytes. Raises Rejected(OVERSIZED) for more."""
    while chunk := response.read(min(CHUNK_BYTES, wanted + 1)):
        if len(chunk) > wanted:
            raise Rejected(RejectReason.OVERSIZED, "more bytes came than were announced")
        wanted -= len(chunk)
        yield chunk
        if now() > deadline:
            return


def _write(part: Path, start: int, chunks: Iterator[bytes]) -> None:
    """Keep the first `start` bytes and add what comes; what came before an error stays."""
    with _disk(part):
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with _disk(part):
            if os.fstat(descriptor).st_size != start:
                os.ftruncate(descriptor, start)
            os.lseek(descriptor, start, os.SEEK_SET)
        for chunk in chunks:
            with _disk(part):
                while chunk:
                    chunk = chunk[os.write(descriptor, chunk) :]
        with _disk(part):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk(part: Path) -> Iterator[None]:
    """Tell the disk's errors from the network's."""
    try:
        yield
    except OSError as error:
        raise Misconfigured(
            f"{part} cannot be written: {error.strerror}", "check owner, mode and free space of its folder"
        ) from error


def _size(part: Path, most: int) -> int:
    """How much of the file is there; a longer one is none of ours and begun anew."""
    try:
        size = part.stat().st_size
    except FileNotFoundError:
        return 0
    return size if size <= most else 0


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
