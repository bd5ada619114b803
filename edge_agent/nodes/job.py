"""One long task that an operator follows step by step, and is asked things by."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeAlias

from common.errors import MeshtwinError, Rejected, RejectReason, TimedOut

MAX_STEPS: Final = 64
ANSWER_S: Final = 60.0
"""How long a question waits: no device waits longer (5.4.4)."""
FOLLOW_S: Final = 10.0
"""How long `follow` waits for news."""

Fields: TypeAlias = dict[str, Any]


class Job:
    """What has happened so far, and the question that waits for an answer. Steps are bounded; a job that
    wants to say more than that has gone astray, and what it says is dropped."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.over = False
        self._steps: list[Fields] = []
        self._news = asyncio.Event()
        self._answer: asyncio.Future[str] | None = None

    def tell(self, step: str, **fields: Any) -> None:
        """Note a step."""
        if len(self._steps) < MAX_STEPS:
            self._steps.append({"step": step, **fields})
        self._news.set()

    async def ask(self, **fields: Any) -> str:
        """The operator's answer. Raises TimedOut."""
        self._answer = asyncio.get_running_loop().create_future()
        self.tell("question", **fields)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._answer
        except TimeoutError as error:
            raise TimedOut(f"nobody answered within {ANSWER_S:g} s") from error
        finally:
            self._answer = None

    def answer(self, value: object) -> None:
        """Answer what was asked. Raises Rejected(INVALID)."""
        if not isinstance(value, str) or len(value) > 64:
            raise Rejected(RejectReason.INVALID, '"value" is a short text')
        if self._answer is None or self._answer.done():
            raise Rejected(RejectReason.INVALID, "nothing is being asked")
        self._answer.set_result(value)

    def end(self, error: MeshtwinError | None = None, **fields: Any) -> None:
        """It is over, well or not."""
        self.over = True
        if error is None:
            self.tell("done", **fields)
        else:
            # The last step is always kept: it tells how the job ended.
            self._steps = self._steps[: MAX_STEPS - 1]
            self.tell("failed", error=str(error), kind=type(error).__name__)

    async def follow(self, seen: object) -> Fields:
        """The steps after the first `seen`, as soon as there are any; none when nothing happens for long.
        Raises Rejected(INVALID)."""
        if isinstance(seen, bool) or not isinstance(seen, int) or seen < 0:
            raise Rejected(RejectReason.INVALID, '"seen" is a number of steps')
        if seen >= len(self._steps) and not self.over:
            self._news.clear()
            try:
                async with asyncio.timeout(FOLLOW_S):
                    await self._news.wait()
            except TimeoutError:
                pass
        return {"job": self.number, "steps": self._steps[seen:], "over": self.over}
