"""What a site model foretells for given flows, with how sure it is: what observations are held against.

Delivery comes from percolation, its uncertainty from percolation again in chosen states of the links: what
is not known well of them is put to its quantiles, each link to each of them once. That takes six states where
random ones would take dozens. Hops and round trips come from the event simulator, which alone knows of time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import NormalDist, fmean, pstdev
from typing import Final

from common.mesh.graph import LinkKey
from common.radio import FlowOutcome, RadioParameters, simulate
from coordinator.twin.percolation import WORDS, Percolation
from coordinator.twin.site_model import SiteFlow, SiteModel

STATES: Final = 6
"""Chosen states of the links."""

MESSAGES: Final = 20
"""Per flow, for hops and round trips."""

NOMINAL: Final = RadioParameters()

APART_S: Final = 0.5
"""Messages of the flows that are asked about are so far apart that they do not disturb each other."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """One flow. `delivery` is there and back for acknowledged flows, `error` its standard deviation. Hops
    and round trip are None where nobody simulated them, or nothing arrived."""

    delivery: float
    error: float
    hops: float | None = None
    round_trip_ms: float | None = None
    round_trip_error_ms: float = 0.0


def chosen_states(model: SiteModel, count: int = STATES, seed: int = 1) -> Iterator[dict[LinkKey, float]]:
    """PDRs of all links in `count` states: each link takes each of `count` quantiles of its posterior once,
    in an order of its own (a Latin hypercube)."""
    normal = NormalDist()
    steps = [normal.inv_cdf((i + 0.5) / count) for i in range(count)]
    random = Random(seed)
    orders = {key: random.sample(range(count), count) for key in sorted(model.links)}
    for state in range(count):
        yield {
            key: min(1.0, max(0.0, model.links[key].pdr + steps[order[state]] * model.links[key].deviation))
            for key, order in orders.items()
        }


def foretell(
    model: SiteModel, flows: Sequence[SiteFlow], *, states: int = STATES, words: int = WORDS
) -> list[Foretold]:
    """Delivery of each flow by percolation. Flows must have their ends in the model.

    Flows share the luck of their worlds, so that each state is played in worlds of its own.
    """
    draws = [
        percolated(model, flows, pdr, words=words, seed=i + 1)
        for i, pdr in enumerate(chosen_states(model, states))
    ]
    return [Foretold(fmean(draw), pstdev(draw)) for draw in zip(*draws, strict=True)] if flows else []


def foretell_times(
    model: SiteModel,
    flows: Sequence[SiteFlow],
    parameters: RadioParameters = NOMINAL,
    *,
    messages: int = MESSAGES,
    seed: int = 1,
) -> list[FlowOutcome]:
    """Hops and latencies of each flow by the event simulator, one message at a time on the air."""
    period = max(5.0, APART_S * len(flows))
    spread = [
        replace(flow, period_s=min(86_400.0, period), offset_s=(i + 0.5) * period / len(flows))
        for i, flow in enumerate(flows)
    ]
    scenario = replace(model, flows=tuple(spread)).scenario(duration_s=period * messages, seed=seed)
    return list(simulate(scenario, model.parameters(parameters), seed=seed).flows)


def with_times(foretold: Sequence[Foretold], outcomes: Sequence[FlowOutcome]) -> list[Foretold]:
    """Predictions of delivery, completed by what the event simulator says of hops and time."""
    return [_with_time(one, outcome) for one, outcome in zip(foretold, outcomes, strict=True)]


def _with_time(one: Foretold, outcome: FlowOutcome) -> Foretold:
    trip = outcome.round_trip_ms
    return replace(
        one,
        hops=outcome.hops if outcome.delivered else None,
        round_trip_ms=trip.mean if trip else None,
        round_trip_error_ms=trip.standard_error if trip else 0.0,
    )


def percolated(
    model: SiteModel,
    flows: Sequence[SiteFlow],
    state: Mapping[LinkKey, float],
    *,
    words: int = WORDS,
    seed: int = 1,
) -> list[float]:
    """Delivery of each flow, there and back where acknowledged, in one state of the links."""
    if not flows:
        return []
    found = Percolation(replace(model, flows=tuple(flows)), words=words, seed=seed, pdr=state).deliver()
    there, both = found.delivery.tolist(), found.answered.tolist()
    return [both[i] if flow.acknowledged else there[i] for i, flow in enumerate(flows)]
