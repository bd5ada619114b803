"""Runs a recipe, or a pipeline one recipe after the other, each on what the one before it proposes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coordinator.recipes.answer import Answer, Case, Progress, no_progress
from coordinator.recipes.questions import answered
from coordinator.recipes.recipe import Recipe, Value
from coordinator.recipes.shelf import Shelf
from coordinator.twin.site_model import SiteConfiguration, SiteModel


@dataclass(frozen=True)
class Outcome:
    """The answers in the order of the recipes, and what they come to together: the configuration that is
    wanted in the end, None when it is the present one."""

    recipe: str
    answers: tuple[Answer, ...]
    wanted: SiteConfiguration | None

    @property
    def summary(self) -> str:
        """What the last answer that proposes something says, or else the last one."""
        proposing = [answer for answer in self.answers if answer.wanted is not None]
        return (proposing or list(self.answers))[-1].summary


def run(
    shelf: Shelf,
    name: str,
    said: Mapping[str, object],
    site: str,
    model: SiteModel,
    dead: frozenset[int] = frozenset(),
    seed: int = 1,
    tell: Progress = no_progress,
) -> Outcome:
    """Ask. Raises Rejected: an unknown recipe or parameter, or a site that it makes no sense for."""
    recipe = shelf.get(name)
    given = recipe.given(said)
    stages = _stages(shelf, recipe, given)
    answers, now = [], model
    for number, (one, values) in enumerate(stages):
        case = Case(site, now, values, dead, seed, _part(tell, number, len(stages), one.title))
        answer = answered(one.question or "", case, one.name)
        answers.append(answer)
        if answer.wanted is not None:
            now = now.with_configuration(answer.wanted)
    tell(1.0, "done")
    wanted = now.configuration if now.configuration != model.configuration else None
    return Outcome(recipe.name, tuple(answers), wanted)


def _stages(
    shelf: Shelf, recipe: Recipe, given: Mapping[str, Value]
) -> list[tuple[Recipe, dict[str, Value]]]:
    if not recipe.recipes:
        return [(recipe, dict(given))]
    stages = []
    for stage in recipe.recipes:
        inner = shelf.get(stage.recipe)
        values = {
            name: given[value[1:]] if isinstance(value, str) and value.startswith("$") else value
            for name, value in stage.given.items()
        }
        stages.append((inner, inner.given(values)))
    return stages


def _part(tell: Progress, number: int, of: int, title: str) -> Progress:
    """Progress of one stage as a part of the whole."""

    def told(share: float, what: str) -> None:
        tell((number + min(1.0, max(0.0, share))) / of, f"{title}: {what}" if of > 1 else what)

    return told
