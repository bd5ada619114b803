"""Fits the twin to its site: few numbers, each with a meaning, each with how sure it is.

    reception_offset_db   data is received as if its signals were so much stronger than those of the probes
    interference          share of packets that are lost on links far above their threshold: others' doing
    sensitivity_dbm       the signal at which half the packets are lost: receivers and noise of this site
    response_delay_ms     what a node takes to answer, beyond the time on the air
    air                   how strong each signal is, and what others spoil, by `site_air`
    delivered             what was counted of flows, which predictions start from

Links themselves are not fitted: they are observed. Pure, but for the predictions it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log, sqrt
from statistics import median
from typing import Final

from common.mesh.graph import LinkKey
from coordinator.twin.site_air import Air
from coordinator.twin.site_model import Delivered, LinkBelief, SiteModel

SLOPE_DB: Final = 2.0
"""Width of the curve from lost to received, as small-scale fading leaves it: dB per logit of the PDR."""

OFFSETS_DB: Final = (-3.0, -2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
OFFSET_PRIOR_DB: Final = 0.7
"""Probes and data use one radio: large offsets need strong evidence."""

CLAIM_DB: Final = 1.0
CLAIM_ERRORS: Final = 3.0
"""Smaller or less sure offsets are shown but not applied: weak links that nobody reports help delivery as a
small offset would, and do not move with a change as an offset would."""

STRONG_DB: Final = 14.0
"""So far above its threshold a link loses nothing by itself."""

LEAST_LINKS: Final = 5
MOST_TRIALS: Final = 200.0
"""No single flow tells more than so many messages: they share the moods of their site."""

NOMINAL_SENSITIVITY_DBM: Final = -96.0


@dataclass(frozen=True, slots=True)
class Fitted:
    """A number with its standard error, from so many pieces of evidence."""

    value: float
    error: float
    evidence: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """A site's own numbers; None where nothing spoke of one."""

    reception_offset_db: Fitted | None = None
    interference: Fitted | None = None
    sensitivity_dbm: Fitted | None = None
    response_delay_ms: Fitted | None = None
    air: Air | None = None
    delivered: Mapping[tuple[int, int, bool], Delivered] = field(default_factory=dict)

    def applied(self, model: SiteModel) -> SiteModel:
        """The model as this site would have it."""
        offset = self.reception_offset_db
        if offset is not None and abs(offset.value) >= max(CLAIM_DB, CLAIM_ERRORS * offset.error):
            model = shifted(model, offset.value)
        if self.response_delay_ms is not None:
            delay = max(0.0, self.response_delay_ms.value)
            flows = (replace(f, response_delay_ms=delay) if f.acknowledged else f for f in model.flows)
            model = replace(model, flows=tuple(flows))
        if self.air is not None or self.delivered:
            model = replace(model, air=self.air, delivered=self.delivered)
        return model

    def pdr_at(self, signal_dbm: float) -> float:
        """PDR to expect of a signal of this strength here: for links that nobody measured yet."""
        threshold = self.sensitivity_dbm.value if self.sensitivity_dbm else NOMINAL_SENSITIVITY_DBM
        spoilt = self.interference.value if self.interference else 0.0
        return (1.0 - spoilt) * _share((signal_dbm - threshold) / SLOPE_DB)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Of `trials` messages of a flow (index into the flows that are predicted) `successes` arrived."""

    trials: float
    successes: float


def shifted(model: SiteModel, offset_db: float) -> SiteModel:
    """The model with every signal `offset_db` stronger; what is known of links stays as uncertain."""
    if not offset_db:
        return model
    links = {key: _shifted(belief, offset_db / SLOPE_DB) for key, belief in model.links.items()}
    return replace(model, links=links)


def fit_offset(
    model: SiteModel,
    outcomes: Sequence[Outcomes],
    predict: Callable[[SiteModel], Sequence[float]],
) -> Fitted | None:
    """The offset under which the flows' outcomes are likeliest; `predict` gives the delivery of each."""
    if len(outcomes) < LEAST_LINKS:
        return None
    predictions = [predict(shifted(model, offset)) for offset in OFFSETS_DB]
    dispersion = max(1.0, min(_dispersion(outcomes, p) for p in predictions))
    fits = [
        _likelihood(outcomes, p) / dispersion - 0.5 * (offset / OFFSET_PRIOR_DB) ** 2
        for offset, p in zip(OFFSETS_DB, predictions, strict=True)
    ]
    value, error = _top(OFFSETS_DB, fits)
    return Fitted(value, error, len(outcomes))


def fit_radio(signals: Mapping[LinkKey, tuple[LinkBelief, float]]) -> tuple[Fitted | None, Fitted | None]:
    """(interference, sensitivity) from links whose PDR and signal strength (dBm) are both known."""
    interference = _fit_interference(signals.values())
    return interference, _fit_sensitivity(signals.values(), interference)


def fit_delay(pairs: Iterable[tuple[float, float]]) -> Fitted | None:
    """The usual difference of (observed, foretold) round trips in ms. Never below zero: nobody answers
    before being asked."""
    differences = sorted(observed - foretold for observed, foretold in pairs)
    if len(differences) < LEAST_LINKS:
        return None
    middle = median(differences)
    spread = 1.4826 * median(abs(d - middle) for d in differences)
    return Fitted(max(0.0, middle), 1.25 * spread / sqrt(len(differences)), len(differences))


def _fit_interference(links: Iterable[tuple[LinkBelief, float]]) -> Fitted | None:
    strong = [b for b, rssi in links if rssi >= NOMINAL_SENSITIVITY_DBM + STRONG_DB and b.alpha + b.beta > 20]
    if len(strong) < LEAST_LINKS:
        return None
    losses = [1.0 - belief.pdr for belief in strong]
    middle = median(losses)
    spread = 1.4826 * median(abs(loss - middle) for loss in losses)
    return Fitted(middle, max(0.002, 1.25 * spread / sqrt(len(losses))), len(losses))


def _fit_sensitivity(links: Iterable[tuple[LinkBelief, float]], spoilt: Fitted | None) -> Fitted | None:
    """Each link on the slope of the curve says where its threshold lies; the median is the site's."""
    ceiling = 1.0 - (spoilt.value if spoilt else 0.0)
    found = []
    for belief, rssi in links:
        share = belief.pdr / ceiling
        if 0.1 < share < 0.9 and belief.alpha + belief.beta > 20:
            found.append(rssi - SLOPE_DB * _logit(share))
    if len(found) < LEAST_LINKS:
        return None
    middle = median(found)
    spread = 1.4826 * median(abs(value - middle) for value in found)
    return Fitted(middle, max(0.1, 1.25 * spread / sqrt(len(found))), len(found))


def _shifted(belief: LinkBelief, logits: float) -> LinkBelief:
    total = belief.alpha + belief.beta
    pdr = _share(_logit(min(1.0 - 1e-6, max(1e-6, belief.pdr))) + logits)
    return LinkBelief(pdr * total, (1.0 - pdr) * total, belief.attenuation_db)


def _likelihood(outcomes: Sequence[Outcomes], predicted: Sequence[float]) -> float:
    total = 0.0
    for outcome, p in zip(outcomes, predicted, strict=True):
        scale = min(1.0, MOST_TRIALS / outcome.trials) if outcome.trials > 0 else 0.0
        bounded = min(0.995, max(0.005, p))
        missed = outcome.trials - outcome.successes
        total += scale * (outcome.successes * log(bounded) + missed * log(1.0 - bounded))
    return total


def _dispersion(outcomes: Sequence[Outcomes], predicted: Sequence[float]) -> float:
    """How much more outcomes scatter than chance alone explains, 1 for as much."""
    scores = []
    for outcome, p in zip(outcomes, predicted, strict=True):
        if outcome.trials > 0:
            bounded, trials = min(0.995, max(0.005, p)), min(outcome.trials, MOST_TRIALS)
            difference = outcome.successes / outcome.trials - bounded
            scores.append(difference * difference * trials / (bounded * (1.0 - bounded)))
    return sum(scores) / max(1, len(scores) - 1)


def _top(at: Sequence[float], fits: Sequence[float]) -> tuple[float, float]:
    """Mean and deviation of the posterior over the points: no parabola, which noise could turn over."""
    widths = [(at[min(i + 1, len(at) - 1)] - at[max(i - 1, 0)]) / 2.0 for i in range(len(at))]
    best = max(fits)
    weights = [width * exp(fit - best) for width, fit in zip(widths, fits, strict=True)]
    total = sum(weights)
    mean = sum(w * x for w, x in zip(weights, at, strict=True)) / total
    variance = sum(w * (x - mean) ** 2 for w, x in zip(weights, at, strict=True)) / total
    return mean, max(0.1, sqrt(variance))


def _logit(p: float) -> float:
    return log(p / (1.0 - p))


def _share(logit: float) -> float:
    return 1.0 / (1.0 + exp(-max(-50.0, min(50.0, logit))))
