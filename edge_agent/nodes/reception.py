"""Takes the operator's questions about nodes, and opens the desk with the first of them.

Most agents are never asked. The desk and what it needs of provisioning take most of a mebibyte, and are not
loaded before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edge_agent.api import Question

if TYPE_CHECKING:
    from edge_agent.nodes.desk import Desk

QUESTIONS: Final = ("nodes-scan", "nodes-add", "nodes-follow", "nodes-answer", "nodes-remove")


class Reception:
    """`open_desk` makes the desk, once. Run `run()` in the supervisor: the desk's jobs live there."""

    def __init__(self, open_desk: Callable[[], Desk]) -> None:
        self._open = open_desk
        self._desk: Desk | None = None
        self._asked = asyncio.Event()
        self._running = False

    def questions(self) -> dict[str, Question]:
        """For `api.LocalApi`."""
        return {name: partial(self._ask, name) for name in QUESTIONS}

    async def run(self) -> None:
        """Run the desk, once there is one, until cancelled."""
        self._running = True
        try:
            await self._asked.wait()
            await self._opened().run()
        finally:
            self._running = False

    async def _ask(self, name: str, asked: dict[str, Any]) -> Any:
        desk = self._opened()
        self._asked.set()
        if self._running:
            await desk.ready.wait()
        return await desk.questions()[name](asked)

    def _opened(self) -> Desk:
        if self._desk is None:
            self._desk = self._open()
        return self._desk
