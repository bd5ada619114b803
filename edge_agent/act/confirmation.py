"""Has the expected effect come? Pure counting of questions and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from common.policy.actions import Action, Priority

ENOUGH_SHARE = 0.5
"""Share of the expected nodes that must be back. Not all: a node may have a trouble of its own, and undoing
the change would cut off the others again."""

DEGRADED_QUESTIONS = 5
ROUND_TRIP_TOLERANCE = 0.25
"""A few questions are a coarse measure of delivery: 5 of them at 0.8 give 3 one time in five."""


@dataclass(slots=True)
class Confirmation:
    """Counts per expected node of one action."""

    action: Action
    asked: dict[int, int] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)

    @property
    def takes_any_answer(self) -> bool:
        """Whether one answer is enough of a node, so that one to somebody else's question counts as well."""
        return self.action.priority is Priority.CUT_OFF

    def count(self, node: int, answered: bool) -> None:
        """One more question to `node`."""
        self.asked[node] = self.asked.get(node, 0) + 1
        self.answered[node] = self.answered.get(node, 0) + answered

    def back(self, node: int) -> bool:
        """A node that was cut off is back with its first answer; a degraded one when it answers often."""
        answers = self.answered.get(node, 0)
        if self.action.priority >= Priority.CUT_OFF:
            return answers > 0
        wanted = self.action.expected.delivery**2 - ROUND_TRIP_TOLERANCE
        asked = self.asked.get(node, 0)
        return asked >= DEGRADED_QUESTIONS and answers >= wanted * asked

    def waiting(self, is_dead: Callable[[int], bool]) -> list[int]:
        """The nodes still to be asked."""
        return [n for n in sorted(self.action.expected.nodes) if not self.back(n) and not is_dead(n)]

    def enough(self) -> bool:
        """True when the effect counts as seen."""
        back = sum(self.back(node) for node in self.action.expected.nodes)
        # Before an operator's change every node was served: one that is lost makes it fail.
        share = 1.0 if self.action.priority is Priority.OPERATOR else ENOUGH_SHARE
        return back >= share * len(self.action.expected.nodes)

    def __str__(self) -> str:
        back = sum(self.back(node) for node in self.action.expected.nodes)
        return f"{back} of {len(self.action.expected.nodes)} nodes answer"
