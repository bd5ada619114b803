"""The questions that recipes are made of, by name, and the parameters that each takes.

Loading this loads no numerics: a question's module comes with the first run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from coordinator.recipes.answer import Answer, Case


@dataclass(frozen=True, slots=True)
class Question:
    """A function of a module below this package, and the names of its parameters."""

    module: str
    function: str
    takes: frozenset[str]

    def ask(self, case: Case) -> Answer:
        """Compute. Raises Rejected for a site that the question makes no sense for."""
        asked: Callable[[Case], Answer] = getattr(
            import_module(f"coordinator.recipes.{self.module}"), self.function
        )
        return asked(case)


def _question(module: str, function: str, *takes: str) -> Question:
    return Question(module, function, frozenset(takes))


QUESTIONS: Final = {
    "topology-audit": _question("topology_questions", "audit", "needed_pdr", "doubtful_deviation"),
    "weakest-links": _question("topology_questions", "weakest_links", "at_most"),
    "single-points-of-failure": _question("topology_questions", "single_points", "at_most"),
    "latency-budget": _question("timing_questions", "latency_budget", "limit_ms", "share", "messages"),
    "relay-thinning": _question("relay_questions", "thinning", "mean_loss", "flow_loss", "keep"),
    "redundancy": _question("relay_questions", "redundancy", "k", "needed_pdr"),
    "retransmit-tuning": _question(
        "search_questions", "retransmits", "limit_ms", "latency_weight", "occupancy_weight", "plays"
    ),
    "search": _question(
        "search_questions",
        "everything",
        "limit_ms",
        "latency_weight",
        "occupancy_weight",
        "change_weight",
        "plays",
    ),
    "lighting": _question("search_questions", "lighting", "limit_ms", "share", "plays"),
    "gateway-placement": _question("gateway_question", "placement", "at_most", "replace_own"),
    "energy-saving": _question("relay_questions", "sleepers", "need", "battery", "keep"),
}


def answered(name: str, case: Case, recipe: str) -> Answer:
    """The answer to a question, under the name of the recipe that asked."""
    return replace(QUESTIONS[name].ask(case), recipe=recipe)
