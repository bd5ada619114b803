"""What the service manager hears of the agent, spoken by the decision loop alone.

`beat` is called after every turn of that loop, and no timer stands in for it: a loop that hangs falls silent,
and the manager starts the agent again. A broker that is away changes only the line of text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.clock import Clock
from common.notify import Notifier

TELL_S: Final = 10.0
"""How often the line of text is brought up to date, at most."""

API_PATIENCE_S: Final = 30.0
"""An agent whose local interface does not come up heals its mesh all the same, and is ready after this."""


class Heartbeat:
    """Ready with the first decision, once `answers` says that the local interface is up; then alive with
    every further one, a few times per watchdog period. `story` gives the line of text.
    """

    def __init__(
        self, notifier: Notifier, clock: Clock, answers: Callable[[], bool], story: Callable[[], str]
    ) -> None:
        self._notifier = notifier
        self._clock = clock
        self._answers = answers
        self._story = story
        self._begun = clock.monotonic()
        self._ready = False
        self._told = float("-inf")
        self._every_s = min(TELL_S, (notifier.watchdog_s or TELL_S * 4) / 4)

    def beat(self) -> None:
        """The decision loop has made a turn."""
        now = self._clock.monotonic()
        if not self._ready:
            self._ready = self._answers() or now - self._begun > API_PATIENCE_S
            if self._ready:
                self._notifier.ready(self._story())
        if now - self._told >= self._every_s:
            self._told = now
            self._notifier.alive(self._story())

    def stopping(self) -> None:
        """The end was asked for, or an essential part has failed."""
        self._notifier.stopping("stopping")
