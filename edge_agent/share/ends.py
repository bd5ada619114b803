"""Why there is no connection to the broker, and what helps: told once a minute, and kept for who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.clock import Clock
from common.errors import Unavailable
from common.logs import Logger
from edge_agent.share.session import Ended

COMPLAIN_EVERY_S: Final = 60.0


class Refused(Unavailable):
    """There was no connection; `fix` where something is known to help."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.reason)
        self.fix = ended.fix


class Cut(Refused):
    """The broker's side ended the connection; `taken_over` when it said that another client took it."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended)
        self.taken_over = ended.taken_over


class Complaints:
    """Warnings about the connection, each event at most once a minute.

    `reason` is why there is none, empty while there is one. `hint` is asked for what may help when the end
    itself does not say.
    """

    def __init__(self, clock: Clock, log: Logger) -> None:
        self._clock = clock
        self._log = log
        self._told: dict[str, float] = {}
        self.reason = ""
        self.hint: Callable[[], str] = lambda: ""

    def tell_end(self, error: Unavailable, contested: bool) -> None:
        """There is no connection any more; `contested` when another agent uses this identity."""
        self.reason = str(error)
        if contested:
            fix = "stop the other agent, or enrol it by a name of its own"
            self.tell("another-agent-uses-this-identity", reason=error, fix=fix)
        else:
            fix = (error.fix if isinstance(error, Refused) else "") or self.hint()
            self.tell("broker-unreachable", reason=error, **({"fix": fix} if fix else {}))

    def tell(self, event: str, **fields: object) -> None:
        """Log a warning, unless the same was told within the last minute."""
        now = self._clock.monotonic()
        if now - self._told.get(event, -COMPLAIN_EVERY_S) >= COMPLAIN_EVERY_S:
            self._told[event] = now
            self._log.warning(event, **fields)
