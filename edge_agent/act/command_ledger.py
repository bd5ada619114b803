"""The commands that this gateway took, on disk for longer than they live: none is carried out twice.

An id is written down before anything is done, and its result before it is told. When the file fails its
check, the ids in it are unknown: commands issued before that moment are then refused by date.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from common.commands import LONGEST_LIFE_S, Command, CommandResult
from common.errors import Corrupt, Misconfigured, Rejected, RejectReason
from common.messages import validate
from edge_agent import state_file

KEPT_AFTER_EXPIRY_S: Final = 3600.0
"""Clocks differ, and a message may lie on its way: an id outlives its command by this much."""
MOST: Final = 2000


@dataclass(frozen=True, slots=True)
class Noted:
    """One command that was taken; `result` is None while it is under way."""

    id: str
    expires: float
    result: CommandResult | None = None


class Ledger:
    """The file of taken commands. Times are Unix seconds, the caller's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._noted: dict[str, Noted] = {}
        self.since = 0.0
        """Of commands issued before this nothing is known any more."""

    def load(self, now: float) -> None:
        """Read what an earlier run noted. Raises Corrupt, after setting the file aside and starting anew."""
        try:
            document = state_file.load(self._path)
            if document is not None:
                self.since, noted = _parsed(document)
                self._noted = {one.id: one for one in noted}
        except (Corrupt, Rejected, ValueError, KeyError, TypeError, AttributeError) as error:
            state_file.set_aside(self._path)
            self.since = now
            with suppress(Misconfigured):
                # A disk that refuses now refuses the next command, too.
                self._write()
            raise Corrupt(f"{self._path.name} failed its check: earlier commands are refused") from error

    def find(self, command_id: str) -> Noted | None:
        """What is known of a command."""
        return self._noted.get(command_id)

    def open(self) -> list[Noted]:
        """The commands that were taken and have no result."""
        return [noted for noted in self._noted.values() if noted.result is None]

    def take(self, command: Command, now: float) -> None:
        """Write down that a command is about to be carried out.

        Raises Rejected(OUT_OF_RANGE) when too many are remembered, Misconfigured when the disk refuses; then
        it is not noted and must not be carried out.
        """
        self._forget(now)
        if len(self._noted) >= MOST:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{MOST} commands are remembered already")
        self._noted[command.id] = Noted(command.id, command.expires)
        try:
            self._write()
        except BaseException:
            del self._noted[command.id]
            raise

    def finish(self, result: CommandResult) -> None:
        """Write down how a command ended. Raises Misconfigured when the disk refuses; memory keeps it."""
        noted = self._noted.get(result.id)
        if noted is not None:
            self._noted[result.id] = replace(noted, result=result)
            self._write()

    def _forget(self, now: float) -> None:
        # A clock that was set back by years must not keep everything, nor one set forward forget what lives.
        latest = now + LONGEST_LIFE_S + KEPT_AFTER_EXPIRY_S
        self._noted = {
            key: noted
            for key, noted in self._noted.items()
            if noted.result is None or now <= noted.expires + KEPT_AFTER_EXPIRY_S <= latest
        }

    def _write(self) -> None:
        entries = [
            {"id": n.id, "expires": n.expires, "result": None if n.result is None else n.result.model_dump()}
            for n in self._noted.values()
        ]
        state_file.save(self._path, {"since": self.since, "entries": entries})


def _parsed(document: dict[str, Any]) -> tuple[float, list[Noted]]:
    noted = [
        Noted(
            str(plain["id"]),
            float(plain["expires"]),
            None if plain["result"] is None else validate(CommandResult, plain["result"]),
        )
        for plain in document["entries"]
    ]
    return float(document["since"]), noted
