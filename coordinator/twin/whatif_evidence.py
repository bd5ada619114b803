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

LEAST_ODDS: Final = 0.001
ROUNDS: Final = 12
STEP: Final = 0.7


@dataclass(frozen=True, slots=True)
class Shift:
    """How far predictions are to be moved, in log odds, and how sure that is (a variance)."""

    value: float
    variance: float


@dataclass(frozen=True, slots=True)
class _Residual:
    """The shift that a count speaks of, its variance by chance, and how far a systematic error of one
    deviation moves it."""

    value: float
    variance: float
    pull: float


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
    """For each flow, from ((predicted, its standard error), what was counted), the likeliest shift and its
    doubt: each flow's error is the site's and its own, both normal; counts are binomial, and those with
    something systematic are off by one amount, which is normal, too.

    By Fisher scoring, as for any generalised linear model with random effects: what is linear around the
    present shifts is solved, and that some times over."""
    shifts = [Shift(0.0, 0.0)] * len(flows)
    for _ in range(ROUNDS):
        solved = _solved(
            [
                None if told is None else _residual(*said, told, at.value)
                for (said, told), at in zip(flows, shifts, strict=True)
            ]
        )
        shifts = [_towards(at, to) for at, to in zip(shifts, solved, strict=True)]
    return shifts


def _solved(residuals: Sequence[_Residual | None]) -> list[Shift]:
    """The posterior of a normal model: of the site's shift and the systematic error together first."""
    known = [found for found in residuals if found is not None]
    weights = [1.0 / (found.variance + FLOW_SPREAD**2) for found in known]
    pairs = list(zip(weights, known, strict=True))
    here = sum(weights) + 1.0 / SITE_SPREAD**2
    both = sum(w * found.pull for w, found in pairs)
    told = sum(w * found.pull**2 for w, found in pairs) + 1.0
    speaks = sum(w * found.value for w, found in pairs)
    speaks_off = sum(w * found.pull * found.value for w, found in pairs)
    scale = here * told - both * both
    site, off = (told * speaks - both * speaks_off) / scale, (here * speaks_off - both * speaks) / scale
    return [_shift(found, site, off, told / scale) for found in residuals]


def _shift(found: _Residual | None, site: float, off: float, doubt: float) -> Shift:
    own = FLOW_SPREAD**2
    if found is None:
        return Shift(site, doubt + own)
    kept = own / (own + found.variance)
    value = site + kept * (found.value - off * found.pull - site)
    return Shift(value, (1.0 - kept) ** 2 * doubt + kept * found.variance)


def _towards(at: Shift, to: Shift) -> Shift:
    """Not too far at once: where nearly everything arrives, the line around a shift soon leaves the curve."""
    step = min(STEP, max(-STEP, to.value - at.value))
    return Shift(at.value + step, to.variance)


def _residual(predicted: float, error: float, told: Delivered, at: float) -> _Residual:
    """The shift that a count speaks of, seen from the shift `at`."""
    said = _bounded(predicted)
    now = _bounded(_share(_odds(said) + at))
    slope = now * (1.0 - now)
    blurred = error / max(said * (1.0 - said), 0.01)
    value, variance = at + (told.share - now) / slope, 1.0 / (told.trials * slope) + blurred**2
    return _Residual(value, variance, told.systematic / max(slope, 0.01))


def _moved(flow: FlowEffect, shift: Shift, tolerance: float) -> FlowEffect:
    before = _shifted(flow.before, shift, 0.0)
    after = _shifted(flow.after, shift, CHANGED_SPREAD)
    mean = after.mean - before.mean
    change = Estimate(
        mean, max(-1.0, mean + flow.change.low - flow.change.mean), mean + flow.change.high - flow.change.mean
    )
    return replace(flow, before=before, after=after, change=change, effect=judge_effect(change, tolerance))


def _shifted(said: Estimate, shift: Shift, anew: float) -> Estimate:
    if said.mean <= 0.0:
        return said
    odds = _odds(said.mean) + shift.value
    mean, more = _share(odds), SURE * sqrt(shift.variance + anew**2)
    low = mean - sqrt((said.mean - said.low) ** 2 + (mean - _share(odds - more)) ** 2)
    high = mean + sqrt((said.high - said.mean) ** 2 + (_share(odds + more) - mean) ** 2)
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
