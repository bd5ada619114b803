"""What a node of ours may never forget: IV index, sequence numbers, and whose messages it accepted last.

The first two are written in full to two files, one after the other, before a number is used. Damage to either
loses nothing; damage to both, or their loss, ends in Misconfigured, since a number that was used must not be
used again (Mesh Protocol 1.1, 3.9.3). The lock file is empty until numbers were saved: that tells a node that
lost them from one that never had any. The replay list is one file, saved now and then: without it an old
message would be accepted once more.
"""

from __future__ import annotations

import fcntl
import math
import os
from dataclasses import dataclass
from pathlib import Path
from struct import Struct, error
from typing import IO, Final
from zlib import crc32

from common import files
from common.errors import Corrupt, MeshtwinError, Misconfigured, Rejected, RejectReason, Unavailable
from common.logs import Logger
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.network import MAX_IV_INDEX, MAX_SEQUENCE
from firmware_bridge.stack.replay import MOST_SOURCES, ReplayList

_SLOTS: Final = ("numbers.a", "numbers.b")
_REPLAY: Final = "replay"
_LOCK: Final = "lock"
_BEGUN: Final = b"numbers were saved\n"
_NUMBERS: Final = Struct(">4sQIBddI")
_MAGIC: Final = b"MTN2"
_UPDATING: Final = 1
_CAME_LATER: Final = 2
_KNOWN: Final = 4
_REPLAY_MAGIC: Final = b"MTR1"
_SOURCE: Final = Struct(">HII")
_CRC: Final = Struct(">I")
_MAX_GENERATION: Final = 1 << 63
"""Far beyond what a node saves in its life, and far from what no longer fits."""
_MAX_REPLAY_BYTES: Final = len(_REPLAY_MAGIC) + MOST_SOURCES * _SOURCE.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Numbers:
    """The IV index state, and the limit below which every sequence number may have been used."""

    iv: IvState
    limit: int


class StackState:
    """One node's state in `folder`, which is made (0700) with the first number. One process holds it at a
    time; `log` hears of damage."""

    def __init__(self, folder: Path, log: Logger) -> None:
        self._folder = folder
        self._log = log
        self._generation = 0
        self._copies_differ = False
        self._lock: IO[bytes] | None = None
        self._begun = False
        self._saved_replay = b""

    def open(self) -> Numbers | None:
        """Take hold of the state and read the numbers; None for a node that never sent.

        Raises Misconfigured: another process uses it, or both copies are damaged or gone.
        """
        files.make_folder(self._folder)
        self._take_lock()
        try:
            numbers = self._read_numbers()
        except BaseException:
            self.close()
            raise
        if numbers is not None and self._copies_differ:
            # At once: the next damage may hit the other copy.
            self._mend(numbers)
        return numbers

    def look(self) -> Numbers | None:
        """The numbers as they are, with nothing held and nothing mended; None for a node that never sent.
        Raises Misconfigured: both copies are damaged or gone."""
        return self._read_numbers()

    def close(self) -> None:
        """Let go of the state; safe to call twice."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def save(self, iv: IvState, limit: int) -> None:
        """Make the numbers durable, see `StackNode`. Raises Unavailable when the disk does not take them:
        then none may be used; Rejected(OUT_OF_RANGE) for numbers that no node has."""
        if self._lock is None:
            raise Unavailable("the node's state is closed")
        content = _seal(_pack(self._generation + 1, iv, limit))
        self._generation += 1
        try:
            for slot in _SLOTS:
                files.write_file(self._folder / slot, content)
            self._note_begun(self._lock)
        except Misconfigured as error:
            raise Unavailable(f"sequence numbers cannot be reserved: {error.problem}") from error

    def read_replay(self, replay: ReplayList) -> None:
        """Fill `replay` with what an earlier run saved; a damaged file is told, and nothing taken from it."""
        try:
            content = _read(self._folder / _REPLAY, _MAX_REPLAY_BYTES)
            if content is not None:
                replay.restore(_unpack_replay(content))
                self._saved_replay = _seal(content)
        except Corrupt as error:
            self._log.warning("replay-list-damaged", file=str(self._folder / _REPLAY), error=error)

    def save_replay(self, replay: ReplayList) -> None:
        """Save the list if it has changed; a full disk is told, and not an error: the list still holds."""
        content = _pack_replay(replay)
        if content == self._saved_replay or self._lock is None:
            return
        try:
            files.write_file(self._folder / _REPLAY, content)
            self._saved_replay = content
        except MeshtwinError as error:
            self._log.warning("replay-list-not-saved", error=error)

    def _take_lock(self) -> None:
        try:
            lock = (self._folder / _LOCK).open("ab")
            os.fchmod(lock.fileno(), 0o600)
        except OSError as error:
            raise Misconfigured(
                f"{self._folder / _LOCK} cannot be written: {error.strerror}",
                "check owner, mode and free space of its folder",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise Misconfigured(
                f"another process sends as this node: {self._folder}", "stop the other agent first"
            ) from error
        self._lock = lock

    def _note_begun(self, lock: IO[bytes]) -> None:
        """From now on missing numbers are lost ones."""
        if self._begun:
            return
        try:
            if os.fstat(lock.fileno()).st_size == 0:
                lock.write(_BEGUN)
                lock.flush()
                os.fsync(lock.fileno())
        except OSError as error:
            raise Unavailable(f"sequence numbers cannot be reserved: {error.strerror}") from error
        self._begun = True

    def _was_begun(self) -> bool:
        try:
            return (self._folder / _REPLAY).exists() or (self._folder / _LOCK).stat().st_size > 0
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Misconfigured(
                f"{self._folder} cannot be read: {error.strerror}", "check its owner and mode"
            ) from error

    def _read_numbers(self) -> Numbers | None:
        found: list[tuple[int, Numbers]] = []
        damaged: list[str] = []
        for slot in _SLOTS:
            try:
                content = _read(self._folder / slot, _NUMBERS.size + _CRC.size)
                if content is not None:
                    found.append(_unpack(content))
            except Corrupt as error:
                damaged.append(slot)
                self._log.warning("stack-state-damaged", file=str(self._folder / slot), error=error)
        if found:
            self._generation, numbers = max(found, key=lambda one: one[0])
            self._copies_differ = len(set(found)) > 1 or len(found) < len(_SLOTS)
            return numbers
        if damaged or self._was_begun():
            raise Misconfigured(
                f"the sequence numbers in {self._folder} are lost, and none may be used twice",
                "give this gateway another unicast address in the site file and in gateway.address",
            )
        return None

    def _mend(self, numbers: Numbers) -> None:
        try:
            self.save(numbers.iv, numbers.limit)
        except Unavailable as error:
            self._log.warning("stack-state-not-mended", error=error)


def _read(path: Path, most: int) -> bytes | None:
    """A file's content up to its checksum, None where there is no file. Raises Corrupt."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}") from error
    body, checksum = content[: -_CRC.size], content[-_CRC.size :]
    if len(content) > most or checksum != _CRC.pack(crc32(body)):
        raise Corrupt(f"{path.name} fails its checksum")
    return body


def _seal(body: bytes) -> bytes:
    return body + _CRC.pack(crc32(body))


def _pack(generation: int, iv: IvState, limit: int) -> bytes:
    recovered = math.nan if iv.recovered_at is None else iv.recovered_at
    flags = iv.updating * _UPDATING | iv.came_later * _CAME_LATER | iv.known * _KNOWN
    if not (0 <= iv.index <= MAX_IV_INDEX and 0 <= limit <= MAX_SEQUENCE + 1):
        raise Rejected(RejectReason.OUT_OF_RANGE, f"IV index {iv.index:#x}, limit {limit:#x}")
    return _NUMBERS.pack(_MAGIC, generation, iv.index, flags, iv.since, recovered, limit)


def _unpack(body: bytes) -> tuple[int, Numbers]:
    """Generation and numbers. Raises Corrupt."""
    try:
        magic, generation, index, flags, since, recovered, limit = _NUMBERS.unpack(body)
    except error as wrong:
        raise Corrupt("numbers of another length") from wrong
    if magic != _MAGIC or not math.isfinite(since) or limit > MAX_SEQUENCE + 1 or flags > 7:
        raise Corrupt("numbers of another kind")
    if generation > _MAX_GENERATION:
        raise Corrupt("numbers of a generation that nobody reached")
    recovered_at = None if math.isnan(recovered) else recovered
    iv = IvState(
        index, bool(flags & _UPDATING), since, recovered_at, bool(flags & _CAME_LATER), bool(flags & _KNOWN)
    )
    return generation, Numbers(iv, limit)


def _pack_replay(replay: ReplayList) -> bytes:
    return _seal(_REPLAY_MAGIC + b"".join(_SOURCE.pack(*item) for item in replay.items()))


def _unpack_replay(body: bytes) -> list[tuple[int, int, int]]:
    """Source, IV index and sequence number of each last message. Raises Corrupt."""
    rest, over = divmod(len(body) - len(_REPLAY_MAGIC), _SOURCE.size)
    if not body.startswith(_REPLAY_MAGIC) or over or rest < 0:
        raise Corrupt("a replay list of another kind")
    return [(s, iv, n & MAX_SEQUENCE) for s, iv, n in _SOURCE.iter_unpack(body[len(_REPLAY_MAGIC) :])]
