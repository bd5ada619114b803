"""Tells every step in an action's life: to the log, to the durable stream, and to whoever asks afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.clock import Clock
from common.logs import Logger
from common.messages import ActionRecord, Kind, encode
from common.policy.actions import Action, Step
from edge_agent.act.executor import State

REMEMBERED = 10
MAX_STEPS = 512


@dataclass(slots=True)
class _Story:
    """An action as it stands: since when (Unix time), how far, and what was said of it last."""

    began: float
    action: Action
    state: State
    detail: str
    seconds: float | None


class Diary:
    """The lives of this gateway's actions; the last few are kept in memory for status pages.

    `append` is the outbox's.
    """

    def __init__(self, append: Callable[[Kind, bytes, float], int], clock: Clock, log: Logger) -> None:
        self._append = append
        self._clock = clock
        self._log = log
        self._stories: dict[str, _Story] = {}
        self.confirmed = 0
        """Actions whose effect was seen, since the start."""

    def tell(self, action_id: str, action: Action, state: State, detail: str, seconds: float | None) -> None:
        """One more step in the life of an action; `seconds` since it was taken up."""
        self._log.info(f"action-{state}", id=action_id, cause=action.cause, detail=detail, seconds=seconds)
        record = ActionRecord(
            id=action_id,
            state=state,
            kind=action.kind.value,
            cause=action.cause[:256],
            expected=str(action.expected),
            priority=int(action.priority),
            steps=[_plain(step) for step in action.steps[:MAX_STEPS]],
            detail=detail[:512],
            seconds=seconds,
        )
        self._append(Kind.ACTION, encode(record), self._clock.wall())
        self._remember(action_id, action, state, detail, seconds)
        self.confirmed += state == "confirmed"

    def recent(self) -> list[dict[str, Any]]:
        """The last actions, the newest first: `began` (Unix time), `state`, `cause`, `steps`, `detail`,
        `seconds`."""
        return [
            {
                "id": action_id,
                "began": round(story.began, 3),
                "state": story.state,
                "cause": story.action.cause,
                "steps": [_plain(step) for step in story.action.steps[:MAX_STEPS]],
                "detail": story.detail,
                "seconds": None if story.seconds is None else round(story.seconds, 2),
            }
            for action_id, story in reversed(self._stories.items())
        ]

    def _remember(
        self, action_id: str, action: Action, state: State, detail: str, seconds: float | None
    ) -> None:
        known = self._stories.get(action_id)
        began = self._clock.wall() - (seconds or 0.0) if known is None else known.began
        self._stories[action_id] = _Story(began, action, state, detail, seconds)
        while len(self._stories) > REMEMBERED:
            del self._stories[next(iter(self._stories))]


def _plain(step: Step) -> dict[str, int | None]:
    change = step.change
    plain = {
        "address": step.address,
        "relay": None if change.relay is None else int(change.relay),
        "default_ttl": change.default_ttl,
    }
    for name in ("network_transmit", "relay_retransmit"):
        if (transmit := getattr(change, name)) is not None:
            plain[f"{name}_count"] = transmit.count
            plain[f"{name}_interval_ms"] = transmit.interval_ms
    return plain
