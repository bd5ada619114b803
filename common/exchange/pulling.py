"""Fetching blobs from other machines, piece by piece: what is asked for comes in, and only so much at once.

The receiver asks for a few pieces at a time, writes and hashes them as they come, and asks for the next ones;
that is all the backpressure there is, and all that is needed. A connection that is lost costs the pieces on
their way: the fetch asks again from where it stands. Memory holds one piece, the disk what the store allows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Final

from common.clock import Clock
from common.errors import Corrupt, TimedOut, Unavailable
from common.exchange.messages import PIECE_BYTES, Lacking, Letter, Party, Piece, Want
from common.exchange.rates import Rates
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Refusal, Refused

Send = Callable[[Party, Letter], bool]
"""Give a letter to whatever carries it; False when there is no room or no connection."""

WINDOW: Final = 4
"""Pieces on their way to one fetch."""
FETCHES: Final = 8
"""At once; others wait for their turn."""
ASK_AGAIN_S: Final = 2.0
PATIENCE_S: Final = 30.0
"""Without a single new piece."""


@dataclass(eq=False)
class _Fetch:
    """A blob on its way. Pieces come in order or are ignored."""

    source: Party
    digest: str
    size: int
    file: BinaryIO
    offset: int = 0
    hasher: Any = field(default_factory=sha256)
    lacking: bool = False
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    failure: OSError | None = None

    def take(self, piece: Piece) -> bool:
        """Whether this was the next piece."""
        whole = min(PIECE_BYTES, self.size - self.offset)
        if piece.offset != self.offset or piece.total != self.size or len(piece.data) != whole:
            return False
        try:
            self.file.write(piece.data)
        except OSError as error:
            self.failure = error
        self.hasher.update(piece.data)
        self.offset += len(piece.data)
        self.moved.set()
        return True


class Puller:
    """Fetches into `store`. Feed it with `piece` and `lacking`; `strays` counts what nobody asked for."""

    def __init__(
        self,
        send: Send,
        store: BlobStore,
        clock: Clock,
        rates: Rates,
        ask_again_s: float = ASK_AGAIN_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._send = send
        self._store = store
        self._clock = clock
        self._rates = rates
        self._ask_again = ask_again_s
        self._patience = patience_s
        self._turns = asyncio.Semaphore(FETCHES)
        self._fetches: dict[tuple[Party, str], _Fetch] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()
        self.strays: Counter[str] = Counter()

    async def fetch(self, source: Party, digest: str, size: int) -> None:
        """Return when the blob is in the store, at once when it was. Cancelling gives it up.

        Raises Unavailable (`source` does not have it), TimedOut (nothing comes any more), Corrupt (what came
        is another one) or Refused(DISK).
        """
        lock = self._locks.setdefault(digest, asyncio.Lock())
        self._users[digest] += 1
        try:
            # Two tasks with the same input: the second finds it there, or asks its own source.
            async with lock:
                if not self._store.has(digest):
                    async with self._turns:
                        await self._pull(source, digest, size)
        finally:
            self._users[digest] -= 1
            if not self._users[digest]:
                del self._users[digest], self._locks[digest]

    def piece(self, sender: Party, piece: Piece) -> None:
        """A piece came in."""
        fetch = self._fetches.get((sender, piece.digest))
        if fetch is None or not fetch.take(piece):
            self.strays["piece"] += 1

    def lacking(self, sender: Party, letter: Lacking) -> None:
        """Somebody does not have what was asked for."""
        if (fetch := self._fetches.get((sender, letter.digest))) is None:
            self.strays["lacking"] += 1
            return
        fetch.lacking = True
        fetch.moved.set()

    async def _pull(self, source: Party, digest: str, size: int) -> None:
        self._store.make_room(size)
        begun, part = self._clock.monotonic(), self._begin()
        try:
            with part.open("wb", buffering=0) as file:
                fetch = _Fetch(source, digest, size, file)
                self._fetches[source, digest] = fetch
                await self._until_whole(fetch)
            if fetch.hasher.hexdigest() != digest:
                raise Corrupt(f"blob {digest[:12]}… from {source.name} is another one")
            self._store.settle(part, digest)
        except OSError as error:
            raise Refused(Refusal.DISK, f"a blob cannot be written: {error.strerror}") from error
        finally:
            self._fetches.pop((source, digest), None)
            self._store.abandon(part)
        self._rates.received(source, size, self._clock.monotonic() - begun)

    def _begin(self) -> Path:
        try:
            return self._store.begin()
        except OSError as error:
            raise Refused(Refusal.DISK, f"a blob cannot be written: {error.strerror}") from error

    async def _until_whole(self, fetch: _Fetch) -> None:
        asked, quiet = 0, 0.0
        while fetch.offset < fetch.size:
            if asked - fetch.offset <= WINDOW // 2 * PIECE_BYTES:
                asked = self._ask(fetch, max(asked, fetch.offset))
            fetch.moved.clear()
            try:
                async with asyncio.timeout(self._ask_again):
                    await fetch.moved.wait()
                quiet = 0.0
            except TimeoutError:
                quiet += self._ask_again
                asked = fetch.offset
            if fetch.lacking:
                raise Unavailable(f"{fetch.source.name} does not have blob {fetch.digest[:12]}…")
            if fetch.failure is not None:
                raise fetch.failure
            if quiet >= self._patience:
                raise TimedOut(
                    f"nothing of blob {fetch.digest[:12]}… comes from {fetch.source.name} any more"
                )

    def _ask(self, fetch: _Fetch, offset: int) -> int:
        """Ask for pieces from `offset` on; up to where."""
        left = -(-(fetch.size - offset) // PIECE_BYTES)
        if left <= 0:
            return offset
        count = min(WINDOW // 2 if offset > fetch.offset else WINDOW, left)
        self._send(fetch.source, Want(digest=fetch.digest, offset=offset, count=count))
        return offset + count * PIECE_BYTES
