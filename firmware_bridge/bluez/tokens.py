"""Tokens by which a daemon knows its nodes again: secrets, one small file a node, mode 0600, crash-safe."""

from __future__ import annotations

import re
from pathlib import Path

from common import files
from common.errors import Corrupt

# The line's end tells a whole file from a cut one.
_TOKEN = re.compile(r"[0-9a-f]{16}\n")


class TokenStore:
    """Tokens in `folder`, which is made (0700) with the first one. Nodes are named by their UUID."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, uuid: bytes) -> int | None:
        """The token of a node, None if there is none. Raises Corrupt: the caller imports the node anew."""
        try:
            text = self._path(uuid).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Corrupt(f"the token of node {uuid.hex()} cannot be read") from error
        if not _TOKEN.fullmatch(text):
            # The text is not repeated: it is nearly a secret.
            raise Corrupt(f"the token of node {uuid.hex()} is damaged")
        return int(text, 16)

    def write(self, uuid: bytes, token: int) -> None:
        """Store a token; a crash leaves the old one or the new one. Raises Misconfigured."""
        files.make_folder(self._folder)
        files.write_file(self._path(uuid), f"{token:016x}\n")

    def _path(self, uuid: bytes) -> Path:
        return self._folder / f"{uuid.hex()}.token"
