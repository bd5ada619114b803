"""Twins, recipes, what-ifs and applications in the form that the API answers."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

from pydantic import BaseModel

from coordinator.recipes.application import Application
from coordinator.recipes.desk import Run, calibrated, doubt_of
from coordinator.recipes.recipe import Recipe
from coordinator.twin.mirror import Twin
from coordinator.twin.whatif_effect import WhatIf


class ParameterView(BaseModel):
    kind: str
    default: float | int | bool | str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    unit: str
    help: str


class RecipeView(BaseModel):
    name: str
    kind: str
    title: str
    help: str
    parameters: dict[str, ParameterView]
    recipes: list[str]
    examples: tuple[str, ...]


class AnswerView(BaseModel):
    recipe: str
    summary: str
    columns: tuple[str, ...]
    rows: list[tuple[str | int | float | None, ...]]
    figures: dict[str, float | None]
    notes: tuple[str, ...]


class RunView(BaseModel):
    """`plan` is what `twin apply` takes; None where nothing is to be changed."""

    recipe: str
    site: str
    summary: str
    answers: list[AnswerView]
    plan: dict[str, Any] | None
    picture: str | None


class FittedView(BaseModel):
    """A number that was fitted to the site, its standard error, and how many flows or links it rests on."""

    value: float
    error: float
    evidence: int


class TwinView(BaseModel):
    """`score` and what follows are None until the twin was scored first."""

    site: str
    t: float
    updated_at: float
    nodes: int
    dead: list[int]
    gateways: list[int]
    relays: list[int]
    links: int
    flows: int
    ttl: int
    network_transmit: tuple[int, int]
    relay_retransmit: tuple[int, int]
    vouches: bool
    doubt: str
    score: dict[str, float | str | None] | None
    calibration: dict[str, FittedView | None] | None


class LinkBeliefView(BaseModel):
    """What the twin believes of a link: PDR of one transmission, and the posterior's standard deviation."""

    transmitter: int
    receiver: int
    pdr: float
    deviation: float


class StepView(BaseModel):
    t: float
    text: str


class ApplicationView(BaseModel):
    id: str
    site: str
    recipe: str
    state: str
    began: float
    taken: int
    steps: int
    unwanted: bool
    reason: str
    story: list[StepView]


def recipe(found: Recipe) -> RecipeView:
    return RecipeView(
        name=found.name,
        kind=found.kind,
        title=found.title,
        help=found.help,
        parameters={
            name: ParameterView.model_validate(one.model_dump()) for name, one in found.parameters.items()
        },
        recipes=[stage.recipe for stage in found.recipes],
        examples=found.examples,
    )


def ran(site: str, made: Run, *, with_picture: bool) -> RunView:
    return RunView(
        recipe=made.outcome.recipe,
        site=site,
        summary=made.outcome.summary,
        answers=[
            AnswerView(
                recipe=answer.recipe,
                summary=answer.summary,
                columns=answer.columns,
                rows=[tuple(map(_plain, row)) for row in answer.rows],
                figures={name: _number(value) for name, value in answer.figures.items()},
                notes=answer.notes,
            )
            for answer in made.outcome.answers
        ],
        plan=None if made.plan is None else made.plan.model_dump(mode="json"),
        picture=made.picture if with_picture else None,
    )


def twin(found: Twin) -> TwinView:
    model, doubt = calibrated(found), doubt_of(found)
    chosen = model.configuration
    return TwinView(
        site=found.site,
        t=found.t,
        updated_at=found.updated_at,
        nodes=len(model.addresses),
        dead=sorted(found.dead),
        gateways=list(model.gateways),
        relays=sorted(model.relays),
        links=len(model.links),
        flows=len(model.flows),
        ttl=chosen.ttl,
        network_transmit=(chosen.network_transmit.count, chosen.network_transmit.interval_ms),
        relay_retransmit=(chosen.relay_retransmit.count, chosen.relay_retransmit.interval_ms),
        vouches=not doubt,
        doubt=doubt,
        score=_score(found),
        calibration=_calibration(found),
    )


def links(found: Twin) -> list[LinkBeliefView]:
    return [
        LinkBeliefView(transmitter=a, receiver=b, pdr=belief.pdr, deviation=belief.deviation)
        for (a, b), belief in sorted(found.model.links.items())
    ]


def _calibration(found: Twin) -> dict[str, FittedView | None] | None:
    if found.judgement is None:
        return None
    fitted = {name: getattr(found.judgement.calibration, name) for name in _FITTED}
    return {
        name: one and FittedView(value=one.value, error=one.error, evidence=one.evidence)
        for name, one in fitted.items()
    }


_FITTED = ("reception_offset_db", "interference", "sensitivity_dbm", "response_delay_ms")


def _score(found: Twin) -> dict[str, float | str | None] | None:
    if found.judgement is None:
        return None
    score = found.judgement.score
    return {
        "value": _number(score.value),
        "low": _number(score.low),
        "high": _number(score.high),
        "verdict": score.verdict.value,
        "reason": score.reason,
        "delivery_error": _number(score.delivery_error),
        "hops_error": _number(score.hops_error),
        "round_trip_error": _number(score.round_trip_error),
        "messages": _number(score.trials),
        "flows": len(score.flows),
        "scored_at": found.judgement.t,
    }


def effects(found: WhatIf, asked: Twin) -> dict[str, Any]:
    """What a change would do, and whether the twin that was asked stands by it."""
    plain, doubt = asdict(found), doubt_of(asked)
    return plain | {"harmless": found.is_harmless, "vouches": not doubt, "doubt": doubt}


def application(found: Application) -> ApplicationView:
    return ApplicationView(
        id=found.id,
        site=found.plan.site,
        recipe=found.plan.recipe,
        state=found.state,
        began=found.began,
        taken=found.taken,
        steps=len(found.plan.steps),
        unwanted=found.unwanted,
        reason=found.reason,
        story=[StepView(t=one.t, text=one.text) for one in found.story],
    )


def _plain(cell: str | int | float | None) -> str | int | float | None:
    return _number(cell) if isinstance(cell, float) else cell


def _number(value: float | None) -> float | None:
    return value if value is not None and isfinite(value) else None
