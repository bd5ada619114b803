"""Hands what the coordinator sent on `command` and `desired` to whom it concerns; what cannot be taken is
counted, told once a minute, and forgotten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.topics import Channel
from edge_agent.share.inbox import Inbox
from edge_agent.share.incoming import Instruction

COMPLAIN_EVERY_S: Final = 60.0

Taker = Callable[[Mapping[str, Any]], None]


class Instructions:
    """Run `run()` in the supervisor. A taker raises Rejected for what it does not understand."""

    def __init__(
        self,
        inbox: Inbox[Instruction],
        takers: Mapping[Channel, Taker],
        warn: Callable[..., None],
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._takers = takers
        self._warn = warn
        self._clock = clock
        self._complained_at: float | None = None
        self.rejected: Counter[RejectReason] = Counter()

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            instruction = await self._inbox.get()
            try:
                self._take(instruction)
            except Rejected as error:
                self.rejected[error.reason] += 1
                self._complain(instruction.channel, error)

    def _take(self, instruction: Instruction) -> None:
        taker = self._takers.get(instruction.channel)
        if taker is None:
            raise Rejected(RejectReason.UNKNOWN_KIND, f"nothing takes a {instruction.channel.value}")
        taker(instruction.value)

    def _complain(self, channel: Channel, error: Rejected) -> None:
        now = self._clock.monotonic()
        if self._complained_at is None or now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            self._warn("instruction-rejected", channel=channel.value, reason=str(error)[:200])
