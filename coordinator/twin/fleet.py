"""All twins at a glance: which sites fare worst, and whose twin is not to be trusted. Pure.

A site fares by what was observed of it; a twin is judged by how well it foretold that. The two differ: a bad
site may have an excellent twin, and there its plans are worth most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from coordinator.twin.fleet_order import Order
from coordinator.twin.mirror_judgement import Judgement
from coordinator.twin.score import NotVouched, vouch

SILENT_S: Final = 300.0
"""Whose newest measurement is older says nothing of the present."""

LEAST_TRIALS: Final = 20.0
"""A flow with fewer messages is not named as the worst one: it may have had bad luck."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a mirror holds of a site, without its model: cheap to ask for, whatever the site's size. `nodes`
    counts living ones, and those in `dead`; times are Unix seconds."""

    site: str
    updated_at: float
    nodes: int
    dead: int
    gateways: int
    judgement: Judgement | None


@dataclass(frozen=True, slots=True)
class LastPlan:
    """The application of a plan that began last at a site."""

    id: str
    recipe: str
    state: str
    began: float


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow's ends and the share of its messages that arrived."""

    source: int
    destination: int
    delivery: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A site and its twin. `age_s` is that of its newest measurement; `delivery` the share of all observed
    messages that arrived, `worst` the flow that fares worst. `doubt` says why the twin does not vouch for
    changes, and is "" when it does. `mesh_up` is None while no gateway is live to tell."""

    site: str
    age_s: float
    nodes: int
    dead: int
    gateways: int
    delivery: float | None
    worst: Flow | None
    score: float | None
    low: float | None
    high: float | None
    verdict: str
    scored_s: float | None
    doubt: str
    plan: LastPlan | None
    mesh_up: bool | None = None


def standing(held: Held, plan: LastPlan | None, now: float, mesh_up: bool | None = None) -> Standing:
    """How a site stands at Unix time `now`."""
    judged = held.judgement
    score = None if judged is None else judged.score
    return Standing(
        site=held.site,
        age_s=max(0.0, now - held.updated_at),
        nodes=held.nodes,
        dead=held.dead,
        gateways=held.gateways,
        delivery=_delivery(judged),
        worst=_worst(judged),
        score=None if score is None else score.value,
        low=None if score is None else score.low,
        high=None if score is None else score.high,
        verdict="unscored" if score is None else score.verdict.value,
        scored_s=None if judged is None else max(0.0, now - judged.t),
        doubt="its mesh is down" if mesh_up is False else _doubt(held, now),
        plan=plan,
        mesh_up=mesh_up,
    )


def ranked(
    standings: Iterable[Standing], order: Order = Order.TRUST, limit: int | None = None
) -> list[Standing]:
    """The worst first. What is not known stands before what is well."""
    found = sorted(standings, key=lambda one: (*_key(one, order), one.site))
    return found if limit is None else found[:limit]


def _key(one: Standing, order: Order) -> tuple[float, ...]:
    match order:
        case Order.TRUST:
            return (not one.doubt, -1.0 if one.score is None else one.score)
        case Order.DELIVERY:
            return (-1.0 if one.delivery is None else one.delivery,)
        case Order.AGE:
            return (-one.age_s,)
        case Order.DEAD:
            return (-one.dead, -one.age_s)
        case Order.SITE:
            return ()


def _doubt(held: Held, now: float) -> str:
    if (silent := now - held.updated_at) > SILENT_S:
        return f"nothing was measured for {silent / 60.0:.0f} min"
    if held.judgement is None:
        return "the twin was not scored yet"
    try:
        vouch(held.judgement.score)
    except NotVouched as error:
        return str(error)
    return ""


def _delivery(judged: Judgement | None) -> float | None:
    flows = [] if judged is None else [flow.observed for flow in judged.score.flows]
    trials = sum(flow.trials for flow in flows)
    return sum(flow.successes for flow in flows) / trials if trials > 0 else None


def _worst(judged: Judgement | None) -> Flow | None:
    seen = [] if judged is None else [flow.observed for flow in judged.score.flows]
    known = [
        Flow(flow.source, flow.destination, flow.successes / flow.trials)
        for flow in seen
        if flow.trials >= LEAST_TRIALS
    ]
    return min(known, key=lambda flow: (flow.delivery, flow.source, flow.destination), default=None)
