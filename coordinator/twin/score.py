"""How well the twin foretells its site: predicted against observed delivery, hops and round trips.

The score is 1 for a twin that is right to within chance, and 0.5 where one kind of error reaches what is
tolerated. Below that, or with too little to judge by, the twin does not vouch for changes. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import Unavailable
from coordinator.twin.mirror_state import ObservedFlow
from coordinator.twin.score_prediction import Foretold

DELIVERY_TOLERANCE: Final = 0.1
"""Root mean square error of delivery, beyond chance."""

HOPS_TOLERANCE: Final = 1.0
ROUND_TRIP_TOLERANCE: Final = 0.3
"""Share of the observed round trip."""

THRESHOLD: Final = 0.5
LEAST_FLOWS: Final = 3
LEAST_TRIALS: Final = 100.0
MOST_TRIALS: Final = 100.0
"""More messages of one flow do not weigh more."""

RESAMPLES: Final = 200
INTERVAL: Final = (0.05, 0.95)


class Verdict(StrEnum):
    """What the twin's word is worth."""

    TRUSTED = "trusted"
    WRONG = "wrong"
    UNPROVEN = "unproven"


class NotVouched(Unavailable):
    """The twin does not vouch for changes now. It may later, when it has learned or was calibrated."""


@dataclass(frozen=True, slots=True)
class FlowScore:
    """One flow: what was observed, and what had been foretold of it."""

    observed: ObservedFlow
    foretold: Foretold

    @property
    def weight(self) -> float:
        """How much the flow's delivery counts."""
        return min(self.observed.certainty, MOST_TRIALS)

    @property
    def delivery_square(self) -> float:
        """Squared error of delivery less what chance and measuring alone explain; may be negative."""
        n, k = self.observed.trials, self.observed.successes
        p = (k + self.foretold.delivery) / (n + 1.0)
        chance = p * (1.0 - p) / n + self.observed.systematic**2 if n > 0 else 0.0
        return float((k / n - self.foretold.delivery) ** 2 - chance) if n > 0 else 0.0

    @property
    def hops_error(self) -> float | None:
        """Hops beyond what chance explains; None where one side does not know."""
        if self.observed.hops is None or self.foretold.hops is None:
            return None
        return max(0.0, abs(self.observed.hops - self.foretold.hops) - self.observed.hops_error)

    @property
    def round_trip_error(self) -> float | None:
        """Relative, beyond what chance explains; None where one side does not know."""
        seen, said = self.observed.round_trip_ms, self.foretold.round_trip_ms
        if seen is None or said is None or seen <= 0:
            return None
        noise = self.observed.round_trip_error_ms + self.foretold.round_trip_error_ms
        return max(0.0, abs(seen - said) - noise) / seen


@dataclass(frozen=True, slots=True)
class Score:
    """The twin's score (0 to 1) with its 90 % interval over the flows, and what went into it.

    Errors are None where nothing could be compared.
    """

    value: float
    low: float
    high: float
    verdict: Verdict
    reason: str
    delivery_error: float | None
    hops_error: float | None
    round_trip_error: float | None
    trials: float
    flows: tuple[FlowScore, ...]


def score(flows: Sequence[FlowScore], threshold: float = THRESHOLD) -> Score:
    """Judge a twin by its flows."""
    errors = _errors(flows)
    value = _value(errors)
    low, high = _interval(flows)
    trials = sum(flow.observed.trials for flow in flows)
    judged = sum(1 for flow in flows if flow.observed.trials > 0)
    verdict, reason = _judge(value, errors, judged, trials, threshold)
    return Score(value, low, high, verdict, reason, *errors, trials, tuple(flows))


def vouch(judged: Score) -> None:
    """Return if the twin stands by its predictions. Raises NotVouched, which says why it does not."""
    if judged.verdict is not Verdict.TRUSTED:
        raise NotVouched(f"the twin does not vouch for changes: {judged.reason}")


Errors = tuple[float | None, float | None, float | None]


def _errors(flows: Sequence[FlowScore]) -> Errors:
    weight = sum(flow.weight for flow in flows)
    square = sum(flow.weight * flow.delivery_square for flow in flows)
    delivery = sqrt(max(0.0, square / weight)) if weight > 0 else None
    return delivery, _mean(flows, lambda f: f.hops_error), _mean(flows, lambda f: f.round_trip_error)


def _mean(flows: Sequence[FlowScore], of: Callable[[FlowScore], float | None]) -> float | None:
    known = [error for flow in flows if (error := of(flow)) is not None]
    return sum(known) / len(known) if known else None


def _value(errors: Errors) -> float:
    return max(0.0, 1.0 - 0.5 * max((ratio for _, ratio in _ratios(errors)), default=2.0))


def _ratios(errors: Errors) -> list[tuple[str, float]]:
    """Each error that is known, as a multiple of what is tolerated."""
    tolerated = (DELIVERY_TOLERANCE, HOPS_TOLERANCE, ROUND_TRIP_TOLERANCE)
    names = ("delivery", "hops", "round trips")
    rows = zip(names, errors, tolerated, strict=True)
    return [(name, error / most) for name, error, most in rows if error is not None]


def _judge(value: float, errors: Errors, judged: int, trials: float, threshold: float) -> tuple[Verdict, str]:
    if judged < LEAST_FLOWS or trials < LEAST_TRIALS:
        return Verdict.UNPROVEN, f"{trials:.0f} messages of {judged} flows are too few to judge it by"
    if value < threshold:
        name, ratio = max(_ratios(errors), key=lambda pair: pair[1])
        return Verdict.WRONG, f"its error of {name} is {ratio:.1f} times what is tolerated"
    return Verdict.TRUSTED, f"right within tolerance over {trials:.0f} messages of {judged} flows"


def _interval(flows: Sequence[FlowScore]) -> tuple[float, float]:
    """Resampled over flows, from a fixed seed: the same flows have the same interval."""
    if not flows:
        return 0.0, 1.0
    picked = np.random.default_rng(1).integers(0, len(flows), (RESAMPLES, len(flows)))
    weight = np.array([flow.weight for flow in flows])
    squares = weight * [flow.delivery_square for flow in flows]
    total = weight[picked].sum(axis=1)
    mean = squares[picked].sum(axis=1) / np.where(total > 0.0, total, np.nan)
    ratios = [
        np.sqrt(np.maximum(0.0, mean)) / DELIVERY_TOLERANCE,
        _resampled([flow.hops_error for flow in flows], picked) / HOPS_TOLERANCE,
        _resampled([flow.round_trip_error for flow in flows], picked) / ROUND_TRIP_TOLERANCE,
    ]
    worst = np.max([np.nan_to_num(ratio, nan=0.0) for ratio in ratios], axis=0)
    unknown = np.all(np.isnan(ratios), axis=0)
    values = np.sort(np.maximum(0.0, 1.0 - 0.5 * np.where(unknown, 2.0, worst)))
    low, high = (float(values[round(share * (RESAMPLES - 1))]) for share in INTERVAL)
    return low, high


def _resampled(errors: Sequence[float | None], picked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the errors that are known, in each sample; NaN where none is."""
    values = np.array([np.nan if error is None else error for error in errors])[picked]
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / np.where(count > 0, count, np.nan))
