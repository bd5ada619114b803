"""The hands of an application at a real site: orders to the acting gateway, round trips counted by it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from common.clock import Clock
from common.commands import MAX_NODES, MAX_QUESTIONS, Command, CommandResult, NodeChange
from common.errors import TimedOut, Unavailable
from coordinator.recipes.applying import Ordered
from coordinator.recipes.commanding import CommandDesk
from coordinator.recipes.judgement import Count, Key
from coordinator.recipes.plan import NodeSetting

LIFE_S: Final = 60.0
A_STEP_S: Final = 5.0
WINDOW_S: Final = 8.0
A_NODE_S: Final = 0.3
A_QUESTION_S: Final = 1.0
"""What a question costs at most, when nobody answers."""

# An agent that has just started refuses: it does not know yet whether it is the one to act.
_AGAIN: Final = frozenset({"expired", "interrupted", "refused"})
_UNTOUCHED: Final = frozenset({"refused", "expired"})


class SiteHands:
    """Hands at one site. `since` is when the application began: its orders are no older."""

    def __init__(
        self,
        desk: CommandDesk,
        site: str,
        since: float,
        clock: Clock,
        new_id: Callable[[], str] = lambda: f"probe-{secrets.token_hex(8)}",
    ) -> None:
        self._desk = desk
        self._site = site
        self._since = since
        self._clock = clock
        self._new_id = new_id

    async def whom(self) -> str:
        return await self._desk.acting(self._site)

    async def change(
        self,
        command_id: str,
        gateway: str,
        settings: tuple[NodeSetting, ...],
        expects: tuple[int, ...],
        cause: str,
    ) -> Ordered:
        now = self._clock.wall()
        command = Command(
            id=command_id,
            kind="configure",
            issued=now,
            expires=now + LIFE_S + A_STEP_S * len(settings),
            cause=cause,
            steps=[NodeChange.of(setting.address, setting.change()) for setting in settings],
            nodes=sorted(expects)[:MAX_NODES],
            window_s=min(300.0, WINDOW_S + A_NODE_S * len(expects)),
        )
        return _ordered(await self._desk.order(self._site, gateway, command, self._since))

    async def count(self, keys: Collection[Key], times: int) -> Mapping[Key, Count]:
        nodes = sorted(key for key in keys if isinstance(key, int))
        counted: dict[Key, Count] = {}
        for first in range(0, len(nodes), MAX_NODES):
            result = await self._probe(nodes[first : first + MAX_NODES], min(times, MAX_QUESTIONS))
            counted |= {one.address: Count(one.asked, one.answered) for one in result.answers}
        return counted

    async def _probe(self, nodes: Sequence[int], times: int) -> CommandResult:
        """Asked again of whoever acts then, should the gateway go away meanwhile."""
        for last in (False, True):
            now = self._clock.wall()
            command = Command(
                id=self._new_id(),
                kind="probe",
                issued=now,
                expires=now + LIFE_S + A_QUESTION_S * times * len(nodes),
                nodes=list(nodes),
                times=times,
            )
            try:
                result = await self._desk.order(self._site, await self.whom(), command)
            except TimedOut:
                if last:
                    raise
            else:
                if result.state == "done":
                    return result
        raise Unavailable(f"round trips were not counted: {result.state}: {result.detail}")


def _ordered(result: CommandResult) -> Ordered:
    if result.state == "done":
        return Ordered(True, result.detail)
    said = f"{result.state}: {result.detail}" + (f" ({result.acting} acts)" if result.acting else "")
    return Ordered(False, said, again=result.state in _AGAIN, untouched=result.state in _UNTOUCHED)
