"""Makes a plan of a configuration that is wanted: stages in safe order, each forecast, each with its undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.mesh.configuration import NodeConfiguration
from coordinator.recipes.forecasting import StageForecast, forecast, halfway, mean
from coordinator.recipes.ordering import Change, Stage, present_of, stages, undo_of
from coordinator.recipes.plan import FlowForecast, NodeSetting, Plan, PlanStep, digest_of
from coordinator.twin.site_model import SiteConfiguration, SiteModel

ANSWERING: Final = 0.5
"""A node that is served worse than this may well stay silent for no fault of the plan's."""
MOST_EXPECTED: Final = 200
PUT_UP_WITH: Final = 0.02


@dataclass(frozen=True)
class Basis:
    """What a plan is made of. `present` is what is known of each node's configuration; `vouched` whether the
    twin stands by its predictions, and `doubt` why not."""

    site: str
    model: SiteModel
    wanted: SiteConfiguration
    present: Mapping[int, NodeConfiguration]
    recipe: str
    reason: str
    made: float
    seed: int = 1
    vouched: bool = True
    doubt: str = ""
    notes: tuple[str, ...] = ()


def plan_of(basis: Basis) -> Plan:
    """The plan. It has no steps when every node is as wanted."""
    now = present_of(basis.model, basis.present)
    steps = _steps(basis, now)
    flows = forecast(basis.model, basis.wanted, basis.seed)
    return Plan(
        id=f"{basis.recipe[:15].strip('-')}-{digest_of(basis.site, basis.made, steps)}",
        site=basis.site,
        recipe=basis.recipe,
        made=basis.made,
        reason=basis.reason[:1000],
        vouched=basis.vouched,
        notes=(*basis.notes, *_notes(basis, steps, now)),
        steps=steps,
        flows=flows,
        figures=_figures(basis, flows),
    )


def _steps(basis: Basis, now: dict[int, NodeConfiguration]) -> tuple[PlanStep, ...]:
    stage_forecast = StageForecast(basis.model, basis.seed)
    relays = basis.model.relays
    made = []
    ordered = stages(basis.model, basis.wanted, basis.present)
    for number, stage in enumerate(ordered):
        relays = _relays_after(relays, stage.changes)
        raising = any(later.title == stage.title for later in ordered[number + 1 :])
        between = halfway(
            relays,
            basis.model.configuration,
            basis.wanted,
            raised=not (stage.title.startswith("raise") and raising),
            lowering=stage.title.startswith("lower"),
        )
        made.append(_step(stage, now, stage_forecast, between))
        for address, change in stage.changes:
            now[address] = NodeSetting.of(address, change).over(now[address])
    return tuple(made)


def _step(
    stage: Stage, now: dict[int, NodeConfiguration], ahead: StageForecast, between: SiteConfiguration
) -> PlanStep:
    delivery, worst, loss = ahead.at(between)
    undo = undo_of(stage.changes, now)
    return PlanStep(
        title=f"{stage.title}: {len(stage.changes)} node{'s' * (len(stage.changes) > 1)}",
        changes=tuple(NodeSetting.of(address, change) for address, change in stage.changes),
        undo=tuple(NodeSetting.of(address, change) for address, change in undo if change),
        expects=ahead.served(between, ANSWERING)[:MOST_EXPECTED],
        delivery=delivery,
        worst_delivery=worst,
        worst_loss=loss,
    )


def _relays_after(relays: frozenset[int], changes: tuple[Change, ...]) -> frozenset[int]:
    on = {address for address, change in changes if change.relay}
    return (relays | on) - {address for address, change in changes if change.relay is False}


def _notes(
    basis: Basis, steps: tuple[PlanStep, ...], now: Mapping[int, NodeConfiguration]
) -> tuple[str, ...]:
    said = []
    if not basis.vouched:
        said.append(f"The twin does not vouch for this plan: {basis.doubt}"[:500])
    guessed = {setting.address for step in steps for setting in step.changes} - basis.present.keys()
    if guessed:
        said.append(f"The configuration of {len(guessed)} nodes is not known: taken for the usual one.")
    bad = [number for number, step in enumerate(steps, 1) if step.worst_loss > PUT_UP_WITH]
    if bad:
        said.append(f"Step {bad[0]} costs some flow or node more than {PUT_UP_WITH:.0%} of its messages.")
    return tuple(said)


def _figures(basis: Basis, flows: tuple[FlowForecast, ...]) -> dict[str, float | None]:
    return {
        "delivery_before": mean([flow.before for flow in flows]) if flows else None,
        "delivery_after": mean([flow.after for flow in flows]) if flows else None,
        "flows_worse": float(sum(flow.effect in ("worse", "ended") for flow in flows)),
        "flows_undecided": float(sum(flow.effect == "undecided" for flow in flows)),
        "relays_before": float(len(basis.model.relays)),
        "relays_after": float(len(basis.wanted.relays)),
    }
