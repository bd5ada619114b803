"""What can be asked of the twins of all sites: recipes, plans, what-ifs, scores, the past.

Answers from the mirror, and from the repository for the past. Changes nothing at a site; `applications` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.mesh.configuration import NodeConfiguration
from coordinator.recipes import picture
from coordinator.recipes.applications import check_current, configurations
from coordinator.recipes.plan import Plan, check_whole
from coordinator.recipes.planning import Basis, plan_of
from coordinator.recipes.running import Outcome, run
from coordinator.recipes.shelf import Shelf
from coordinator.repository.store import Repository
from coordinator.twin.mirror import Mirror, Twin
from coordinator.twin.score import NotVouched, vouch
from coordinator.twin.site_model import SiteModel
from coordinator.twin.whatif import whatif
from coordinator.twin.whatif_change import Change
from coordinator.twin.whatif_effect import WhatIf


@dataclass(frozen=True)
class Run:
    """A recipe's outcome, the plan that follows from it where one was wanted, and a picture (HTML)."""

    outcome: Outcome
    plan: Plan | None
    picture: str


class TwinDesk:
    """Safe from any thread; may take seconds. `compute` calls a function with arguments that can be pickled,
    and waits for it: here, or on another processor."""

    def __init__(
        self,
        mirror: Mirror,
        shelf: Shelf,
        repository: Repository,
        clock: Clock,
        compute: Callable[..., Any] = lambda function, *given: function(*given),
    ) -> None:
        self.mirror = mirror
        self.shelf = shelf
        self._compute = compute
        self._repository = repository
        self._clock = clock

    def twin(self, site: str, t: float | None = None) -> Twin:
        """A site's twin as of now, or as it was at Unix time `t`. Raises Rejected."""
        return self.mirror.twin(site) if t is None else self.mirror.as_of(site, t)

    def run(self, site: str, name: str, said: Mapping[str, object], seed: int, t: float | None = None) -> Run:
        """Run a recipe on a site as it is, or as it was. Raises Rejected."""
        self.shelf.get(name)  # A wrong name is said before a wrong site.
        twin = self.twin(site, t)
        model = calibrated(twin)
        outcome: Outcome = self._compute(run, self.shelf, name, said, site, model, twin.dead, seed)
        plan = self._plan(twin, model, outcome, seed) if outcome.wanted is not None else None
        return Run(outcome, plan, drawn(model, outcome, plan))

    def whatif(self, site: str, change: Change, seed: int, t: float | None = None) -> WhatIf:
        """What a change would do. Raises Rejected for one that makes no sense."""
        found: WhatIf = self._compute(_whatif, calibrated(self.twin(site, t)), change, seed)
        return found

    def check(self, plan: Plan, *, force: bool) -> None:
        """Raises Rejected for a plan that does not fit the site as it is; NotVouched, unless `force`, while
        the twin does not stand by its predictions."""
        check_whole(plan)
        twin = self.twin(plan.site)
        known = frozenset(twin.model.addresses) | twin.dead
        if strangers := plan.touches - known:
            raise Rejected(RejectReason.INVALID, f"site {plan.site} has no node 0x{min(strangers):04x}")
        check_current(plan, self.present(plan.site, self._clock.wall()), self._clock.wall())
        if not force and (doubt := doubt_of(twin)):
            raise NotVouched(f"{doubt}\n  fix: wait until it has learned more, or apply with --force")

    def present(self, site: str, t: float) -> dict[int, NodeConfiguration]:
        """What is known of every node's configuration at `t`."""
        snapshot = self._repository.configuration_as_of(site, t)
        return {} if snapshot is None else configurations(snapshot.nodes)

    def watched(self, site: str) -> tuple[int, ...]:
        """The nodes whose round trips tell how a site fares: all that live but gateways."""
        model = self.twin(site).model
        return tuple(address for address in model.addresses if address not in model.gateways)

    def _plan(self, twin: Twin, model: SiteModel, outcome: Outcome, seed: int) -> Plan:
        assert outcome.wanted is not None
        doubt = doubt_of(twin)
        basis = Basis(
            site=twin.site,
            model=model,
            wanted=outcome.wanted,
            present=self.present(twin.site, twin.t),
            recipe=outcome.recipe,
            reason=outcome.summary,
            made=twin.t,
            seed=seed,
            vouched=not doubt,
            doubt=doubt,
        )
        made: Plan = self._compute(plan_of, basis)
        return made


def _whatif(model: SiteModel, change: Change, seed: int) -> WhatIf:
    return whatif(model, change, seed=seed)


def calibrated(twin: Twin) -> SiteModel:
    """The model with what was fitted to the site's flows, where it was fitted."""
    return twin.model if twin.judgement is None else twin.judgement.calibration.applied(twin.model)


def doubt_of(twin: Twin) -> str:
    """Why the twin does not vouch for changes; "" when it does."""
    if twin.judgement is None:
        return "the twin was not scored yet"
    try:
        vouch(twin.judgement.score)
    except NotVouched as error:
        return str(error)
    return ""


def drawn(model: SiteModel, outcome: Outcome, plan: Plan | None) -> str:
    """A page with the map: before and after a plan, or what the last answer marks."""
    if plan is not None:
        return picture.of_plan(model, plan)
    answer = outcome.answers[-1]
    return picture.page(
        outcome.recipe, outcome.summary, {answer.recipe: picture.drawing(model, answer.marks)}
    )
