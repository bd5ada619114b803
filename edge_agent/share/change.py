"""Changing to another identity: when a connection is given up for it, and for how long that goes unnoticed.
Pure, in monotonic seconds; `mqtt` asks.
"""

from __future__ import annotations

from typing import Final

from edge_agent.share.session import Endpoint

# How long a change waits for a moment at which nothing is on its way.
QUIET_WITHIN_S: Final = 60.0


class Change:
    """At most one change is asked for at a time; a later one takes its place. `unnoticed_s` is how long the
    broker may be away without counting as silent."""

    def __init__(self, unnoticed_s: float) -> None:
        self._unnoticed_s = unnoticed_s
        self._wanted: Endpoint | None = None
        self._asked_at = 0.0
        self._left_at: float | None = None

    def ask(self, endpoint: Endpoint, now: float) -> None:
        """Connect by `endpoint` next."""
        self._wanted, self._asked_at = endpoint, now

    def take(self, used: Endpoint) -> Endpoint:
        """What to connect by: what was asked for, or what was `used` before."""
        wanted, self._wanted = self._wanted or used, None
        return wanted

    def is_due(self, quiet: bool, now: float) -> bool:
        """Whether to end the connection now: one is asked for, and nothing is on its way or that took too
        long. What was not acknowledged by then comes again from the outbox."""
        return self._wanted is not None and (quiet or now - self._asked_at > QUIET_WITHIN_S)

    def left(self, now: float) -> None:
        """The connection was ended on purpose."""
        self._left_at = now

    def arrived(self, now: float) -> bool:
        """A connection stands; whether it continues the former one, as far as anybody could notice."""
        continued = self._left_at is not None and not self.is_late(now)
        self._left_at = None
        return continued

    def failed(self) -> None:
        """There is no connection."""
        self._left_at = None

    def is_late(self, now: float) -> bool:
        """Whether the way from one connection to the next takes too long to go unnoticed."""
        return self._left_at is not None and now - self._left_at > self._unnoticed_s
