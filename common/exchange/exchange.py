"""All that one machine does about tasks of others and with others: the parts wired together, and every letter
handed to the one it concerns.

Carries nothing itself: `post` takes a letter's bytes, and `take` is called with what came in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.exchange.asking import Asker
from common.exchange.hosting import Host, Runner
from common.exchange.messages import (
    Answer,
    Cancel,
    Done,
    Lacking,
    Letter,
    Offer,
    Party,
    Piece,
    Receipt,
    Want,
    channel_of,
    decode_letter,
    encode_letter,
)
from common.exchange.pulling import Puller
from common.exchange.rates import Rates
from common.exchange.serving import Server
from common.logs import get_logger
from common.taskgraph.blob_store import BlobStore
from common.topics import Channel

COMPLAIN_EVERY_S: Final = 60.0
Post = Callable[[Party, Channel, bytes], bool]
log = get_logger(__name__)


class Exchange:
    """Run `run()` in a supervisor. `rejected` counts letters that are none, by reason."""

    def __init__(self, runner: Runner, store: BlobStore, post: Post, clock: Clock, run_name: str) -> None:
        self._post = post
        self._clock = clock
        self._complained_at = -COMPLAIN_EVERY_S
        self.rates = Rates()
        self.puller = Puller(self.send, store, clock, self.rates)
        self.server = Server(self.send, store, clock, self.rates)
        self.host = Host(runner, store, self.puller, self.server, self.send, clock, run_name)
        self.asker = Asker(self.send, store, self.puller, self.server, clock, self.rates)
        self.rejected: Counter[RejectReason] = Counter()
        self.others: Callable[[Party, Letter], None] = self._refuse
        """Takes the letters about jobs that are kept for others. May raise Rejected."""

    async def run(self) -> None:
        """Carry out errands of others until cancelled."""
        await self.host.run()

    def send(self, party: Party, letter: Letter) -> bool:
        """Give a letter to the post; False when it has no room."""
        return self._post(party, channel_of(letter), encode_letter(letter))

    def take(self, party: Party, channel: Channel, payload: bytes) -> None:
        """A letter came in. Never raises: what is wrong with it is counted, and told once a minute."""
        try:
            self._dispatch(party, decode_letter(channel, payload))
        except Rejected as error:
            self.rejected[error.reason] += 1
            self._complain(party, error)

    def _dispatch(self, party: Party, letter: Letter) -> None:
        match letter:
            case Piece():
                self.puller.piece(party, letter)
            case Want():
                self.server.want(party, letter)
            case Lacking():
                self.puller.lacking(party, letter)
            case Offer():
                self.host.offer(party, letter)
            case Cancel():
                self.host.cancel(party, letter)
            case Receipt():
                self.host.receipt(party, letter)
            case Answer():
                self.asker.answer(party, letter)
            case Done():
                self.asker.done(party, letter)
            case _:
                self.others(party, letter)

    def _refuse(self, party: Party, letter: Letter) -> None:
        raise Rejected(RejectReason.UNKNOWN_KIND, f"{type(letter).__name__} is not served here")

    def _complain(self, party: Party, error: Rejected) -> None:
        now = self._clock.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            log.warning("letter-rejected", site=party.site, sender=party.name, reason=str(error)[:200])
