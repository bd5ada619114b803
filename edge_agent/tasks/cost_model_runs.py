"""The runs that cost models learn from: one JSON object a line, in two files of bounded size.

Appended, never rewritten: a line that a power cut leaves unfinished is for the reader to leave out.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from common.errors import Misconfigured
from edge_agent.tasks.cost_model import Corrected

MAX_FILE_BYTES: Final = 256 << 10
"""Of each of the two files: together some two thousand runs."""

PENDING: Final = 500
"""Runs that wait for `save`. When they are full the oldest goes, and is counted."""

MAX_FIELDS: Final = 64
MAX_WORD: Final = 32


class RunRecords:
    """`note` each run, `save` now and then, `lines` for whoever learns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.1")
        self._pending: deque[str] = deque()
        self.dropped = 0

    def note(self, kind: str, machine: str, hint: Corrected, wall_s: float, cpu_s: float) -> None:
        """A run came to a good end."""
        if len(self._pending) == PENDING:
            self._pending.popleft()
            self.dropped += 1
        row = {
            "kind": kind,
            "machine": machine,
            "parameters": _plain(hint.parameters),
            "sizes": dict(list(hint.sizes.items())[:MAX_FIELDS]),
            "hint": {
                "cpu_s": hint.cpu_s,
                "output_bytes": hint.output_bytes,
                "memory_bytes": hint.memory_bytes,
            },
            "wall_s": round(wall_s, 6),
            "cpu_s": round(cpu_s, 6),
        }
        self._pending.append(json.dumps(row, separators=(",", ":")))

    def save(self) -> None:
        """Append what waits. Raises Misconfigured when the disk refuses; it waits on then."""
        if not self._pending:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                # A line that was cut ends here, and harms no other.
                file.write("\n" + "\n".join(self._pending) + "\n")
            self._path.chmod(0o600)
            if self._path.stat().st_size > MAX_FILE_BYTES:
                self._path.replace(self._before)
        except OSError as error:
            raise Misconfigured(
                f"{self._path} cannot be written: {error.strerror}", "free the disk"
            ) from error
        self._pending.clear()

    def lines(self) -> list[str]:
        """All that there are, the oldest first; lines may be cut."""
        found: list[str] = []
        for path in (self._before, self._path):
            with suppress(OSError), path.open("rb") as file:
                text = file.read(2 * MAX_FILE_BYTES).decode(errors="replace")
                found += [line for line in text.splitlines() if line]
        return [*found, *self._pending]


def _plain(parameters: Any) -> dict[str, Any]:
    """Numbers and short words: what a model sees."""
    rows = list(parameters.items())[:MAX_FIELDS]
    return {
        name: value[:MAX_WORD] if isinstance(value, str) else value
        for name, value in rows
        if isinstance(value, str | int | float)
    }
