"""What was counted of flows, brought into what is predicted of them: the change is the simulator's, the level
is the site's own.

What the twin gets wrong of a flow today (a wall it does not know of, a relay that is deaf) it most likely
gets wrong after a change as well. So each prediction is moved by what its flow's count says, on the scale of
log odds, and by what all counts of the site say together, each as far as it can be trusted. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Final

from coordinator.twin.site_model import Delivered
from coordinator.twin.whatif_effect import SURE, Effect, Estimate, FlowEffect, WhatIf, judge_effect

SITE_SPREAD: Final = 0.5
FLOW_SPREAD: Final = 0.4
"""By how much (log odds) the simulator errs for a whole site, and for a flow beyond that, before anything is
known: what hidden sites showed."""

CHANGED_SPREAD: Final = 0.25
"""How much of the simulator's error a change makes anew: a flow that goes other ways meets other walls."""

LEAST_ODDS: Final = 0.002


@dataclass(frozen=True, slots=True)
class Shift:
    """How far predictions are to be moved, in log odds, and how sure that is (a variance)."""

    value: float
    variance: float


def corrected(answer: WhatIf, delivered: Mapping[tuple[int, int, bool], Delivered]) -> WhatIf:
    """The answer with what was counted before the change. Flows that end keep what was said."""
    if not delivered:
        return answer
    shifts = shifts_of([(_before(flow), delivered.get(_key(flow))) for flow in answer.flows])
    flows = [
        flow if flow.effect is Effect.ENDED else _moved(flow, shift, answer.tolerance)
        for flow, shift in zip(answer.flows, shifts, strict=True)
    ]
    return replace(answer, flows=tuple(flows))


def shifts_of(flows: Sequence[tuple[tuple[float, float], Delivered | None]]) -> list[Shift]:
    """For each flow, from ((predicted, its standard error), what was counted), by the posterior of a normal
    model: each flow's error is the site's and its own."""
    residuals = [None if told is None else _residual(*said, told) for said, told in flows]
    known = [found for found in residuals if found is not None]
    weights = [1.0 / (found.variance + FLOW_SPREAD**2) for found in known]
    precision = sum(weights) + 1.0 / SITE_SPREAD**2
    site = sum(w * found.value for w, found in zip(weights, known, strict=True)) / precision
    return [_shift(found, site, 1.0 / precision) for found in residuals]


def _shift(found: Shift | None, site: float, doubt: float) -> Shift:
    own = FLOW_SPREAD**2
    if found is None:
        return Shift(site, doubt + own)
    kept = own / (own + found.variance)
    return Shift(site + kept * (found.value - site), (1.0 - kept) ** 2 * doubt + kept * found.variance)


def _residual(predicted: float, error: float, told: Delivered) -> Shift:
    """Log odds of what was counted over what was predicted, in a straight line with the slope between both
    shares: so few messages, of which all arrived, are neither odd without bound nor surer than they are."""
    between = 0.5 * (_bounded(predicted) + _bounded(told.share))
    slope = max(between * (1.0 - between), 0.01)
    return Shift((told.share - predicted) / slope, (told.error**2 + error**2) / slope**2)


def _moved(flow: FlowEffect, shift: Shift, tolerance: float) -> FlowEffect:
    before = _shifted(flow.before, shift, 0.0)
    after = _shifted(flow.after, shift, CHANGED_SPREAD)
    mean = after.mean - before.mean
    change = Estimate(
        mean, max(-1.0, mean + flow.change.low - flow.change.mean), mean + flow.change.high - flow.change.mean
    )
    return replace(flow, before=before, after=after, change=change, effect=judge_effect(change, tolerance))


def _shifted(said: Estimate, shift: Shift, anew: float) -> Estimate:
    mean = _share(_odds(said.mean) + shift.value) if said.mean > 0.0 else 0.0
    slope = mean * (1.0 - mean)
    more = SURE * slope * sqrt(shift.variance + anew**2)
    low = mean - sqrt((said.mean - said.low) ** 2 + more**2)
    high = mean + sqrt((said.high - said.mean) ** 2 + more**2)
    return Estimate(mean, max(0.0, low), min(1.0, high))


def _before(flow: FlowEffect) -> tuple[float, float]:
    return flow.before.mean, (flow.before.high - flow.before.low) / (2.0 * SURE)


def _key(flow: FlowEffect) -> tuple[int, int, bool]:
    return flow.source, flow.destination, flow.acknowledged


def _bounded(share: float) -> float:
    return min(1.0 - LEAST_ODDS, max(LEAST_ODDS, share))


def _odds(share: float) -> float:
    bounded = _bounded(share)
    return log(bounded / (1.0 - bounded))


def _share(odds: float) -> float:
    return 1.0 / (1.0 + exp(-odds))
