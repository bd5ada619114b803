"""A recipe asked of a scenario file, without a coordinator: the site is what the file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from common.scenario import Scenario
from coordinator.api.twin_views import ran
from coordinator.recipes.answer import Progress
from coordinator.recipes.desk import Run, drawn
from coordinator.recipes.ordering import present_of
from coordinator.recipes.planning import Basis, plan_of
from coordinator.recipes.running import run
from coordinator.recipes.shelf import Shelf
from coordinator.twin.site_model import SiteModel

UNSCORED: Final = "it was made of a scenario file, which was never compared with a site"


def ask(
    shelf: Shelf,
    name: str,
    given: Mapping[str, object],
    site: str,
    scenario: Scenario,
    seed: int,
    now: float,
    tell: Progress,
) -> dict[str, Any]:
    """What the API would answer, as plain values. Raises Rejected."""
    model = SiteModel.of(scenario)
    outcome = run(shelf, name, given, site, model, seed=seed, tell=tell)
    plan = None
    if outcome.wanted is not None:
        present = present_of(model, {})
        basis = Basis(site, model, outcome.wanted, present, outcome.recipe, outcome.summary, now, seed)
        plan = plan_of(replace(basis, vouched=False, doubt=UNSCORED))
    made = Run(outcome, plan, drawn(model, outcome, plan))
    return ran(site, made, with_picture=True).model_dump(mode="json")
