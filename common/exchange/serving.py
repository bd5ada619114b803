"""Handing out pieces of blobs to those who were told of them.

A blob is *shared* with a machine for as long as an errand needs that: nobody gets a blob only because he
knows its digest. Answers go out as they are asked for; the post's own bound is the limit, and what does not
fit is asked for again.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Final

from common.clock import Clock
from common.exchange.messages import PIECE_BYTES, Lacking, Party, Piece, Want
from common.exchange.pulling import Send
from common.exchange.rates import Rates
from common.taskgraph.blob_store import BlobStore

MAX_TIMED: Final = 256


class Server:
    """Feed it with `want`. `denied` counts requests for what was not shared."""

    def __init__(self, send: Send, store: BlobStore, clock: Clock, rates: Rates) -> None:
        self._send = send
        self._store = store
        self._clock = clock
        self._rates = rates
        self._shared: Counter[tuple[Party, str]] = Counter()
        self._begun: dict[tuple[Party, str], float] = {}
        self.denied = 0

    def share(self, party: Party, digests: Iterable[str]) -> None:
        """Let `party` have these, until unshared as often. They stay in the store."""
        kept = list(digests)
        self._shared.update((party, digest) for digest in kept)
        self._store.pin(kept)

    def unshare(self, party: Party, digests: Iterable[str]) -> None:
        """Take that back."""
        kept = list(digests)
        self._shared.subtract((party, digest) for digest in kept)
        self._shared = +self._shared
        self._store.unpin(kept)

    def want(self, party: Party, want: Want) -> None:
        """Somebody asks for a part of a blob."""
        size = self._store.size(want.digest)
        if size is None or not self._shared[party, want.digest]:
            self.denied += 1
            self._send(party, Lacking(digest=want.digest))
            return
        until = want.offset + want.count * PIECE_BYTES
        if want.offset == 0 and until < size:
            self._time(party, want.digest)
        for offset in range(want.offset, min(until, size), PIECE_BYTES):
            data = self._read(want.digest, offset, min(PIECE_BYTES, size - offset))
            if data is None:
                self._send(party, Lacking(digest=want.digest))
                return
            if not self._send(party, Piece(digest=want.digest, offset=offset, total=size, data=data)):
                return
        if until >= size:
            self._told(party, want.digest, size)

    def _read(self, digest: str, offset: int, size: int) -> bytes | None:
        """A part; None when the file is gone or shorter than it was."""
        try:
            descriptor = os.open(self._store.path(digest), os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, size, offset)
            finally:
                os.close(descriptor)
        except OSError:
            return None
        return data if len(data) == size else None

    def _time(self, party: Party, digest: str) -> None:
        self._begun[party, digest] = self._clock.monotonic()
        while len(self._begun) > MAX_TIMED:
            del self._begun[next(iter(self._begun))]

    def _told(self, party: Party, digest: str, size: int) -> None:
        """The last piece was asked for: those before have arrived. Half a window is too little to matter."""
        if (begun := self._begun.pop((party, digest), None)) is not None:
            self._rates.sent(party, size, self._clock.monotonic() - begun)
