"""A second look before acting on old news.

A relay that died this moment is bypassed at once. One that died earlier, without an action then, may long
have been bypassed by another gateway that nobody could hear of: right after the broker's return, say. So some
of the nodes that it is said to have cut off are asked first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from common.clock import Clock
from common.logs import get_logger
from common.policy.actions import Action, Priority
from edge_agent.observe.site import SiteView

log = get_logger(__name__)

FRESH_S: Final = 1.5
ASKED: Final = 3
HELD_S: Final = 10.0
"""How long an action that nobody needs is not thought of again: the peers tell their relays meanwhile."""


class SecondLook:
    """Tells which actions may go ahead. `question` asks a node and tells whether it answered."""

    def __init__(self, site: SiteView, question: Callable[[int], Awaitable[bool]], clock: Clock) -> None:
        self._site = site
        self._question = question
        self._clock = clock
        self._held: dict[frozenset[int], float] = {}
        self._looking: set[frozenset[int]] = set()

    def is_needed(self, action: Action) -> bool:
        """Whether an action mends what was cut off some time ago."""
        deaths = [
            record.dead_since for _, record in self._site.nodes.items() if record.dead_since is not None
        ]
        newest = max(deaths, default=self._clock.monotonic())
        return action.priority is Priority.CUT_OFF and self._clock.monotonic() - newest > FRESH_S

    def is_due(self, action: Action) -> bool:
        """Whether to look now: not while looking, nor soon after it was found unnecessary."""
        now = self._clock.monotonic()
        self._held = {touches: until for touches, until in self._held.items() if until > now}
        return action.touches not in self._looking and action.touches not in self._held

    async def confirms(self, action: Action) -> bool:
        """Ask some of the nodes; true when none of them answers. Otherwise what the action would change is
        read again: it is not as this gateway believed."""
        self._looking.add(action.touches)
        try:
            nodes = sorted(action.expected.nodes)[:ASKED]
            answered = await asyncio.gather(*(self._question(node) for node in nodes))
        finally:
            self._looking.discard(action.touches)
        if not any(answered):
            return True
        self._held[action.touches] = self._clock.monotonic() + HELD_S
        for address in action.touches:
            self._site.reread(address)
        log.info("action-not-needed", cause=action.cause)
        return False
