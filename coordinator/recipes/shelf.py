"""Where recipes lie: those that come with meshtwin, and an operator's own `*.yaml` in one folder more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from common.errors import Misconfigured, Rejected, RejectReason
from common.logs import get_logger
from coordinator.recipes import recipe as recipes
from coordinator.recipes.questions import QUESTIONS
from coordinator.recipes.recipe import Recipe

OURS: Final = Path(__file__).with_name("files")
MOST: Final = 500

log = get_logger(__name__)


class Shelf:
    """Recipes by name. An operator's own replaces one of ours that has its name; one that is wrong is left
    out, and said: a slip in it must not keep a coordinator from starting. `problems` are these."""

    def __init__(self, own: Path | None = None) -> None:
        """Read and check every recipe."""
        self._recipes: dict[str, Recipe] = {}
        self.problems: list[str] = []
        for folder in (OURS, own):
            if folder is not None and folder.is_dir():
                self._take(sorted(folder.glob("*.yaml"))[:MOST])

    def _take(self, paths: list[Path]) -> None:
        read = [found for path in paths if (found := self._usable(partial(recipes.read, path)))]
        # Pipelines last: they name the others.
        for one in sorted(read, key=lambda found: found.kind == "pipeline"):
            if (found := self._usable(partial(_checked, one, self._recipes))) is not None:
                self._recipes[found.name] = found

    def _usable(self, make: Callable[[], Recipe]) -> Recipe | None:
        try:
            return make()
        except Misconfigured as error:
            log.warning("recipe-unusable", reason=error)
            self.problems.append(" · ".join(line.strip() for line in str(error).splitlines()))
            return None

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


def _checked(found: Recipe, shelf: dict[str, Recipe]) -> Recipe:
    """A recipe that fits what it names. Raises Misconfigured."""
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
    return found


def _check_question(found: Recipe) -> None:
    question = QUESTIONS.get(found.question or "")
    if question is None:
        known = ", ".join(sorted(QUESTIONS))
        raise Rejected(RejectReason.INVALID, f"question: {found.question!r} is none of {known}")
    if missing := question.takes - found.parameters.keys():
        raise Rejected(RejectReason.INVALID, f"parameters: {min(missing)!r} is missing")
    if strange := found.parameters.keys() - question.takes:
        raise Rejected(RejectReason.INVALID, f"parameters: {found.question} takes no {min(strange)!r}")
