"""Small state on disk: one JSON document per file, with a checksum, replaced as a whole."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from common.errors import Corrupt
from common.files import write_file

MAX_STATE_BYTES = 4 << 20


def save(path: Path, document: dict[str, Any]) -> None:
    """Replace the file. Raises Misconfigured when the disk refuses."""
    body = json.dumps(document)
    write_file(path, f"{crc32(body.encode()):08x}\n{body}")


def load(path: Path) -> dict[str, Any] | None:
    """The document, or None when there is no file.

    A file that fails its check is moved aside to `<name>.corrupt`, and Corrupt is raised: the caller starts
    clean and says so.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_STATE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}") from error
    head, _, body = data.partition(b"\n")
    try:
        if len(data) > MAX_STATE_BYTES or len(head) != 8 or int(head, 16) != crc32(body):
            raise ValueError("checksum")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        set_aside(path)
        raise Corrupt(f"{path.name} failed its check") from error
    return document


def set_aside(path: Path) -> None:
    """Keep a damaged file for people to look at; one such file is kept.

    Where the disk refuses, the file stays: it is refused again at the next start, and replaced when written.
    """
    with suppress(OSError):
        path.replace(path.with_name(path.name + ".corrupt"))
