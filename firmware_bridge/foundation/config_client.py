"""Asking nodes' Config servers: one question, repeated until the right answer comes.

Repeats are paced by each node's own round trip, as TCP does it (RFC 6298), so that a message lost near the
gateway costs a fraction of a second and a far node is not asked over its own answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason, TimedOut
from common.mesh.addresses import show
from firmware_bridge.access import catalogue
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.access.opcodes import MAX_UNSEGMENTED_PAYLOAD, split
from firmware_bridge.foundation.answers import Answers, Inbox
from firmware_bridge.foundation.sender import Sender

A = TypeVar("A", bound=AccessMessage)

GIVE_UP_S: Final = 4.0
# A segmented question has repeats below it, which take longer.
_SEGMENTED_WAIT_S: Final = 1.2
_FIRST_WAIT_S: Final = 0.28
_SHORTEST_WAIT_S: Final = 0.15
_LONGEST_WAIT_S: Final = 1.0
_GROWTH: Final = 1.5


class RoundTrips:
    """Smoothed round trip times by node, in seconds."""

    def __init__(self) -> None:
        self._estimates: dict[int, tuple[float, float]] = {}

    def record(self, address: int, seconds: float) -> None:
        """Take a sample; only of a question that was sent once (Karn's rule)."""
        mean, spread = self._estimates.get(address, (seconds, seconds / 2))
        spread = 0.75 * spread + 0.25 * abs(mean - seconds)
        self._estimates[address] = (0.875 * mean + 0.125 * seconds, spread)

    def first_wait(self, address: int) -> float:
        """How long to wait before a question is repeated for the first time."""
        if address not in self._estimates:
            return _FIRST_WAIT_S
        mean, spread = self._estimates[address]
        return min(_FIRST_WAIT_S * 2, max(_SHORTEST_WAIT_S, mean + 4 * spread))


def _accept_all(_: AccessMessage) -> bool:
    return True


class ConfigClient:
    """Asks over `node()`, which raises Unavailable while detached."""

    def __init__(self, node: Callable[[], Sender], clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._answers = Answers()
        self._round_trips = RoundTrips()

    def offer(self, source: int, payload: bytes) -> None:
        """Take a message that came under the source's device key. Raises Rejected for a malformed one."""
        opcode, _ = split(payload)
        self._answers.offer_all(source, opcode, payload)

    def fail(self, reason: MeshtwinError) -> None:
        """End all asking: the link is gone."""
        self._answers.fail(reason)

    async def ask(
        self,
        address: int,
        question: AccessMessage,
        answer: type[A],
        accept: Callable[[A], bool] = _accept_all,
        give_up_s: float = GIVE_UP_S,
    ) -> A:
        """Send `question` until `accept` takes an answer.

        An answer that is not accepted may be a late one to an earlier question: the asking goes on.
        Raises TimedOut without any answer, Rejected(REFUSED_BY_NODE) with the wrong ones only, Unavailable.
        """
        payload = build(question)
        seen: A | None = None
        with self._answers.expect(address, answer.OPCODE) as inbox:
            for attempt, wait in enumerate(self._waits(address, payload, give_up_s)):
                sent = self._clock.monotonic()
                await self._node().send_with_device_key(address, payload)
                seen, accepted = await self._read(inbox, answer, accept, wait, seen)
                if seen is not None and accepted:
                    if attempt == 0:
                        self._round_trips.record(address, self._clock.monotonic() - sent)
                    return seen
        if seen is None:
            raise TimedOut(f"{show(address)} did not answer {type(question).__name__} in {give_up_s:g} s")
        raise Rejected(
            RejectReason.REFUSED_BY_NODE, f"{show(address)} answers {type(question).__name__} with {seen}"
        )

    def _waits(self, address: int, payload: bytes, give_up_s: float) -> Iterator[float]:
        segmented = len(payload) > MAX_UNSEGMENTED_PAYLOAD
        wait = _SEGMENTED_WAIT_S if segmented else self._round_trips.first_wait(address)
        left = give_up_s
        while left > 0:
            yield min(wait, left)
            left -= wait
            wait = min(wait * _GROWTH, max(_LONGEST_WAIT_S, wait))

    async def _read(
        self, inbox: Inbox, answer: type[A], accept: Callable[[A], bool], wait: float, seen: A | None
    ) -> tuple[A | None, bool]:
        """The accepted answer, or the latest other one, within `wait` seconds."""
        try:
            async with asyncio.timeout(wait):
                while True:
                    parsed = _parse(await inbox.get(), answer)
                    if parsed is not None:
                        seen = parsed
                        if accept(parsed):
                            return parsed, True
        except TimeoutError:
            return seen, False


def _parse(payload: bytes, answer: type[A]) -> A | None:
    try:
        message = catalogue.parse(payload)
    except Rejected:
        return None
    return message if isinstance(message, answer) else None
