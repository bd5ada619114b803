"""Where recipes lie: those that come with meshtwin, and an operator's own `*.yaml` in one folder more."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from common.errors import Misconfigured, Rejected, RejectReason
from coordinator.recipes import recipe as recipes
from coordinator.recipes.questions import QUESTIONS
from coordinator.recipes.recipe import Recipe

OURS: Final = Path(__file__).with_name("files")
MOST: Final = 500


class Shelf:
    """Recipes by name. An operator's own replaces one of ours that has its name."""

    def __init__(self, own: Path | None = None) -> None:
        """Read and check every recipe. Raises Misconfigured for the first one that is wrong."""
        self._recipes = {}
        for folder in (OURS, own):
            if folder is not None and folder.is_dir():
                for path in sorted(folder.glob("*.yaml"))[:MOST]:
                    found = recipes.read(path)
                    self._recipes[found.name] = found
        for found in self._recipes.values():
            _check(found, self._recipes)

    def all(self) -> list[Recipe]:
        """Questions first, then optimisations, then pipelines; by name."""
        order = ("question", "optimisation", "pipeline")
        return sorted(self._recipes.values(), key=lambda found: (order.index(found.kind), found.name))

    def get(self, name: str) -> Recipe:
        """Raises Rejected(INVALID), naming what there is."""
        if (found := self._recipes.get(name)) is None:
            known = ", ".join(one.name for one in self.all())
            raise Rejected(RejectReason.INVALID, f"recipe {name[:48]!r} is not known; there are: {known}")
        return found


def _check(found: Recipe, shelf: dict[str, Recipe]) -> None:
    """A recipe against what it names. Raises Misconfigured."""
    try:
        if found.question is not None:
            _check_question(found)
        for stage in found.recipes:
            inner = shelf.get(stage.recipe)
            if inner is None or inner.kind == "pipeline":
                raise Rejected(RejectReason.INVALID, f"recipes: {stage.recipe!r} is no recipe, or a pipeline")
            inner.given({k: v for k, v in stage.given.items() if not str(v).startswith("$")})
            if strange := stage.given.keys() - inner.parameters.keys():
                raise Rejected(RejectReason.INVALID, f"recipes: {stage.recipe} has no {min(strange)!r}")
    except Rejected as error:
        raise Misconfigured(f"recipe {found.name}: {error.detail}", "edit its file") from error


def _check_question(found: Recipe) -> None:
    question = QUESTIONS.get(found.question or "")
    if question is None:
        known = ", ".join(sorted(QUESTIONS))
        raise Rejected(RejectReason.INVALID, f"question: {found.question!r} is none of {known}")
    if missing := question.takes - found.parameters.keys():
        raise Rejected(RejectReason.INVALID, f"parameters: {min(missing)!r} is missing")
    if strange := found.parameters.keys() - question.takes:
        raise Rejected(RejectReason.INVALID, f"parameters: {found.question} takes no {min(strange)!r}")
