"""Blobs on disk by their SHA-256: inputs and outputs of tasks. Checked when read, bounded in size.

What a live job needs is pinned. When space is wanted, the blobs that nobody pins go, longest unused first; a
store full of pinned ones refuses. Files only: no list to lose, so any file may be cut at any byte.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from common.errors import Corrupt, Rejected, RejectReason, Unavailable
from common.files import make_folder
from common.taskgraph.executor import Refusal, Refused
from common.taskgraph.graph import MAX_BLOB_BYTES

PIECE_BYTES: Final = 1 << 20
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PART: Final = ".part"


class BlobStore:
    """The blobs below `folder`, at most `cap_bytes` together. One process at a time; one thread at a time,
    but for `get`, `has` and `path`.

    Raises Misconfigured when the folder cannot be made.
    """

    def __init__(self, folder: Path, cap_bytes: int, max_blob_bytes: int = MAX_BLOB_BYTES) -> None:
        self.folder = make_folder(folder)
        self.cap_bytes = cap_bytes
        self.max_blob_bytes = max_blob_bytes
        self._pins: Counter[str] = Counter()
        self._serial = 0
        self.evicted = 0
        self.damaged = 0
        """Blobs that were not what their name says."""
        for left in self.folder.glob(f"*{_PART}"):
            left.unlink(missing_ok=True)
        self._sizes = {path.name: path.stat().st_size for path in self._files()}

    @property
    def used_bytes(self) -> int:
        """What is held."""
        return sum(self._sizes.values())

    @property
    def free_bytes(self) -> int:
        """What could be put in, evicting all that nobody pins."""
        held = sum(size for digest, size in self._sizes.items() if self._pins[digest])
        return max(0, self.cap_bytes - held)

    def put(self, data: bytes) -> str:
        """Keep it; its digest. Raises Rejected(OVERSIZED), Refused(DISK)."""
        digest = sha256(data).hexdigest()
        if not self.has(digest):
            self.make_room(len(data))
            with self._writing(digest) as part:
                part.write_bytes(data)
        return digest

    def adopt(self, path: Path, most: int | None = None) -> tuple[str, int]:
        """Take over a file that somebody else wrote, as `copy_plain` does; digest and size.

        Raises Rejected: OVERSIZED, INVALID (not a plain file); Refused(DISK).
        """
        part = self.begin()
        try:
            digest, size = copy_plain(path, part, min(most or self.max_blob_bytes, self.max_blob_bytes))
            self.settle(part, digest)
        finally:
            part.unlink(missing_ok=True)
        return digest, size

    def begin(self) -> Path:
        """A new empty file for a blob that comes in pieces; `finish` or `abandon` it."""
        self._serial += 1
        part = self.folder / f"{os.getpid()}.{self._serial}{_PART}"
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        return part

    def finish(self, part: Path, digest: str | None = None) -> str:
        """Keep what was written to `part`; its digest.

        Raises Rejected: OVERSIZED, ALTERED (it is not `digest`); Refused(DISK). The part is gone then.
        """
        try:
            size = part.stat().st_size
            if size > self.max_blob_bytes:
                raise Rejected(RejectReason.OVERSIZED, f"{size} bytes, at most {self.max_blob_bytes}")
            found = _digest_of(part)
            if digest is not None and found != digest:
                raise Rejected(RejectReason.ALTERED, f"{found[:12]}… instead of {digest[:12]}…")
            self.make_room(size)
            self._settle(part, found)
        finally:
            part.unlink(missing_ok=True)
        return found

    def settle(self, part: Path, digest: str) -> None:
        """Like `finish`, for a writer that has hashed every byte on its way to `part`: reading a large one
        again would stop everything else for a while. Raises Rejected(OVERSIZED) or Refused(DISK)."""
        try:
            self.make_room(part.stat().st_size)
            self._settle(part, digest)
        except OSError as error:
            raise Refused(Refusal.DISK, f"it cannot be kept: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)

    def abandon(self, part: Path) -> None:
        """Give up a part."""
        part.unlink(missing_ok=True)

    def get(self, digest: str) -> bytes:
        """The blob. Raises Unavailable (not there) or Corrupt (damaged: it is removed)."""
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Unavailable(f"blob {digest[:12]}… is not here") from error
        if sha256(data).hexdigest() != digest:
            self._discard_damaged(digest)
            raise Corrupt(f"blob {digest[:12]}… is damaged")
        return data

    def has(self, digest: str) -> bool:
        """Whether it is here; a damaged one is, until it is read."""
        return digest in self._sizes

    def size(self, digest: str) -> int | None:
        """In bytes; None when it is not here."""
        return self._sizes.get(digest)

    def path(self, digest: str) -> Path:
        """Where it lies, for a process that checks it itself. Raises Rejected(INVALID)."""
        if not _DIGEST.fullmatch(digest):
            raise Rejected(RejectReason.INVALID, "a digest has 64 hexadecimal digits")
        return self.folder / digest

    def verify(self, digest: str) -> bool:
        """Whether it is here and whole; a damaged one is removed."""
        try:
            whole = _digest_of(self.path(digest)) == digest
        except OSError:
            whole = False
        if not whole:
            self._discard_damaged(digest)
        return whole

    def pin(self, digests: Iterable[str]) -> None:
        """Keep these, whether here already or not, until unpinned as often."""
        # A list: of a map of sizes the counter would take those.
        self._pins.update(list(digests))

    def unpin(self, digests: Iterable[str]) -> None:
        """Take pins back."""
        self._pins.subtract(list(digests))
        self._pins = +self._pins

    def make_room(self, wanted: int) -> None:
        """Evict until `wanted` bytes fit. Raises Rejected(OVERSIZED) or Refused(DISK)."""
        if wanted > self.max_blob_bytes:
            raise Rejected(RejectReason.OVERSIZED, f"{wanted} bytes, at most {self.max_blob_bytes}")
        excess = self.used_bytes + wanted - self.cap_bytes
        if excess <= 0:
            return
        loose = sorted((d for d in self._sizes if not self._pins[d]), key=self._last_use)
        if sum(self._sizes[digest] for digest in loose) < excess:
            raise Refused(Refusal.DISK, f"the store of {self.cap_bytes >> 20} MiB is full of what jobs need")
        for digest in loose:
            if excess <= 0:
                break
            excess -= self._sizes[digest]
            self._remove(digest)
            self.evicted += 1

    def touch(self, digest: str) -> None:
        """Note a use: the longest unused go first."""
        with suppress(OSError):
            os.utime(self.path(digest), (time.time(), time.time()))

    @contextmanager
    def _writing(self, digest: str) -> Iterator[Path]:
        part: Path | None = None
        try:
            part = self.begin()
            yield part
            self._settle(part, digest)
        except OSError as error:
            raise Refused(Refusal.DISK, f"it cannot be written: {error.strerror}") from error
        finally:
            if part is not None:
                part.unlink(missing_ok=True)

    def _settle(self, part: Path, digest: str) -> None:
        """Not synced: a blob that a power cut damages is found out when it is read, and made again."""
        size = part.stat().st_size
        part.replace(self.folder / digest)
        self._sizes[digest] = size

    def _last_use(self, digest: str) -> float:
        try:
            return (self.folder / digest).stat().st_mtime
        except OSError:
            return 0.0

    def _discard_damaged(self, digest: str) -> None:
        if digest in self._sizes:
            self.damaged += 1
            self._remove(digest)

    def _remove(self, digest: str) -> None:
        with suppress(OSError):
            (self.folder / digest).unlink(missing_ok=True)
        self._sizes.pop(digest, None)

    def _files(self) -> Iterator[Path]:
        return (path for path in self.folder.iterdir() if _DIGEST.fullmatch(path.name) and path.is_file())


def copy_plain(source: Path, target: Path, most: int) -> tuple[str, int]:
    """Copy a file of at most `most` bytes, and hash what is written: a file that still changes deceives
    nobody. Digest and size. Touches no store: fit for a thread.

    Raises Rejected: OVERSIZED, INVALID (not a plain file); Refused(DISK).
    """
    hasher, size = sha256(), 0
    with os.fdopen(_open_plain(source), "rb") as file:
        try:
            with target.open("wb") as copy:
                while piece := file.read(PIECE_BYTES):
                    size += len(piece)
                    if size > most:
                        raise Rejected(RejectReason.OVERSIZED, f"{source.name}: more than {most} bytes")
                    hasher.update(piece)
                    copy.write(piece)
        except OSError as error:
            raise Refused(Refusal.DISK, f"it cannot be written: {error.strerror}") from error
    return hasher.hexdigest(), size


def _open_plain(path: Path) -> int:
    """Raises Rejected(INVALID) for links, pipes, devices and folders: a task may have put anything there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Rejected(RejectReason.INVALID, f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Rejected(RejectReason.INVALID, f"{path.name} is no plain file")
    return descriptor


def _digest_of(path: Path) -> str:
    hasher = sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
    return hasher.hexdigest()
