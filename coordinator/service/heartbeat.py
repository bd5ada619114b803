"""What the service manager hears of the coordinator: alive while it stores and answers.

The broker does not count: a coordinator without one answers questions, and a restart would mend nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from common.clock import Clock
from common.errors import MeshtwinError
from common.notify import Notifier

FIRST_S: Final = 0.05
TELL_S: Final = 10.0


class Heartbeat:
    """Asks and tells in `run`.

    `turns` is a count that grows as long as the storing loop does, whether or not there is anything to store;
    `ask` puts a question to the API over its own socket and raises when there is no answer in time; `story`
    gives the line of text.
    """

    def __init__(
        self,
        notifier: Notifier,
        clock: Clock,
        turns: Callable[[], int],
        ask: Callable[[], Awaitable[object]],
        story: Callable[[], str],
    ) -> None:
        self._notifier = notifier
        self._clock = clock
        self._turns = turns
        self._ask = ask
        self._story = story
        self._every_s = min(TELL_S, (notifier.watchdog_s or TELL_S * 4) / 4)

    async def run(self) -> None:
        """Tell until cancelled. Silence is the alarm: nothing is raised for a loop that hangs."""
        while not await self._answers():
            await self._clock.sleep(FIRST_S)
        self._notifier.ready(self._story())
        seen = -1
        while True:
            turns = self._turns()
            if turns != seen and await self._answers():
                seen = turns
                self._notifier.alive(self._story())
            await self._clock.sleep(self._every_s)

    def stopping(self) -> None:
        """The end was asked for."""
        self._notifier.stopping("stopping")

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(self._every_s):
                await self._ask()
        except (MeshtwinError, TimeoutError):
            return False
        return True
