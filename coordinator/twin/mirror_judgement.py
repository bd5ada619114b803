"""Judging a twin: fit it to what its flows did, then score what it would have said of them. Pure.

Fitting takes most of the time, and tells little that is new of a site that is as it was: there the last fit
is scored again, and a new one made when it is old, or no longer good enough.

Runs in whatever process has the simulator loaded; everything that goes in and comes out can be pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot, sqrt
from statistics import fmean
from typing import Final

from common.mesh.graph import LinkKey
from coordinator.twin import calibration as fitting
from coordinator.twin.calibration import Calibration, Fitted, Outcomes
from coordinator.twin.mirror_state import ObservedFlow
from coordinator.twin.score import FlowScore, Score, Verdict, score
from coordinator.twin.score_prediction import Foretold, foretell, foretell_times, with_times
from coordinator.twin.site_air import air_of
from coordinator.twin.site_model import Delivered, LinkBelief, SiteConfiguration, SiteFlow, SiteModel

MOST_TIMED: Final = 300
"""Flows whose hops and round trips are simulated: those that were observed most."""

PERIOD_S: Final = 60.0

USUAL_REACH: Final = 0.95
"""Share of the messages that a relay gets, where no flow tells: of all flows, the root of what arrives, as
half of the way is behind it on average."""

UNKNOWN: Final = 0.25
FITTED_S: Final = 300.0
"""A fit is not used for longer."""

MORE: Final = 1.25
"""So many times the messages counted, and a young site is fitted anew."""

LEAST_CERTAINTY: Final = 4.0
"""Messages counted, below which a flow's count is left out."""

FITTING_WORDS: Final = 64
"""4,096 worlds: flows share their luck, and a fit to it would be taken for a property of the site."""


@dataclass(frozen=True)
class Material:
    """What a site's twin is judged by, at Unix time `t`: what it believes, and what was observed."""

    t: float
    model: SiteModel
    observed: tuple[ObservedFlow, ...]
    signals: Mapping[LinkKey, tuple[LinkBelief, float]]


@dataclass(frozen=True)
class Fit:
    """What a calibration was fitted to, and when (Unix time): `trials` messages that were counted."""

    t: float
    trials: float
    addresses: tuple[int, ...]
    configuration: SiteConfiguration


@dataclass(frozen=True)
class Judgement:
    """A twin's score at Unix time `t`, with the calibration that it was given before. `fit` is None where
    nobody may use that calibration again."""

    t: float
    score: Score
    calibration: Calibration
    fit: Fit | None = None


def judge(material: Material, last: Judgement | None = None) -> Judgement:
    """Calibrate and score; with the calibration of the `last` judgement where the site is as it was then, and
    the twin is trusted no less with it."""
    observed = _comparable(material)
    flows = [_as_flow(flow) for flow in observed]
    now = Fit(
        material.t,
        sum(flow.trials for flow in observed),
        material.model.addresses,
        material.model.configuration,
    )
    if last is not None and last.fit is not None and still_holds(last.fit, now):
        known = replace(last.calibration, delivered=_delivered(observed))
        found = _scored(material, observed, flows, known, last.fit)
        # One that was not trusted before either would be fitted in vain: it has little new to be fitted to.
        if found.score.verdict is Verdict.TRUSTED or last.score.verdict is not Verdict.TRUSTED:
            return found
    return _scored(material, observed, flows, _calibrate(material, observed, flows), now)


def still_holds(fit: Fit, now: Fit) -> bool:
    """Whether there is so little news since a fit that another one would come to the same."""
    same = (fit.addresses, fit.configuration) == (now.addresses, now.configuration)
    return same and 0.0 <= now.t - fit.t < FITTED_S and now.trials < MORE * fit.trials


def _scored(
    material: Material,
    observed: Sequence[ObservedFlow],
    flows: Sequence[SiteFlow],
    calibration: Calibration,
    fit: Fit,
) -> Judgement:
    model = calibration.applied(material.model)
    foretold = foretell(model, flows)
    foretold = _with_times(model, observed, flows, foretold)
    trips = [
        (flow.round_trip_ms, said.round_trip_ms)
        for flow, said in zip(observed, foretold, strict=True)
        if flow.round_trip_ms is not None and said.round_trip_ms is not None
    ]
    calibration = replace(calibration, response_delay_ms=fitting.fit_delay(trips))
    delay = calibration.response_delay_ms.value if calibration.response_delay_ms else 0.0
    scored = [FlowScore(flow, _later(said, delay)) for flow, said in zip(observed, foretold, strict=True)]
    return Judgement(material.t, score(scored), calibration, fit)


def _comparable(material: Material) -> list[ObservedFlow]:
    """The observed flows between nodes that the model has, of which something was measured."""
    known = set(material.model.addresses)
    return [
        flow
        for flow in material.observed
        if {flow.source, flow.destination} <= known
        and flow.source != flow.destination
        and (flow.trials > 0 or flow.hops is not None)
    ]


def _as_flow(flow: ObservedFlow) -> SiteFlow:
    return SiteFlow(flow.source, flow.destination, PERIOD_S, flow.payload_bytes, flow.both_ways)


def _calibrate(
    material: Material, observed: Sequence[ObservedFlow], flows: Sequence[SiteFlow]
) -> Calibration:
    interference, sensitivity = fitting.fit_radio(material.signals)
    chosen = [i for i, flow in enumerate(observed) if flow.trials > 0]
    told = [flows[i] for i in chosen]
    offset = fitting.fit_offset(
        material.model,
        _outcomes([observed[i] for i in chosen]),
        lambda model: [one.delivery for one in foretell(model, told, states=1, words=FITTING_WORDS)],
    )
    delivered = _delivered(observed)
    reach = sqrt(fmean(one.share for one in delivered.values())) if delivered else USUAL_REACH
    air = air_of(material.model, reach)
    if air is not None and interference is not None:
        interference = _less_collisions(interference, air.spoilt)
    return Calibration(offset, interference, sensitivity, air=air, delivered=delivered)


def _less_collisions(lost: Fitted, spoilt: float) -> Fitted:
    """Others' doing, out of all that strong links lose; probes count as such. The rest is collisions, which
    are known to a quarter."""
    return Fitted(spoilt, hypot(lost.error, UNKNOWN * (lost.value - spoilt)), lost.evidence)


def _delivered(observed: Sequence[ObservedFlow]) -> dict[tuple[int, int, bool], Delivered]:
    """What was counted of each flow, by the count that tells most of it."""
    found: dict[tuple[int, int, bool], Delivered] = {}
    for flow in observed:
        if flow.certainty >= LEAST_CERTAINTY:
            # The plain share: a prior would pull many flows of few messages down together.
            share = min(1.0, flow.successes / flow.trials)
            likely = (flow.successes + 0.5) / (flow.trials + 1.0)
            told = Delivered(share, sqrt(likely * (1.0 - likely) / flow.trials), flow.systematic)
            key = (flow.source, flow.destination, flow.both_ways)
            if key not in found or told.doubt < found[key].doubt:
                found[key] = told
    return found


def _outcomes(flows: Sequence[ObservedFlow]) -> list[Outcomes]:
    """What is systematic is so for all flows alike: together they tell no more than one of them."""
    shared = max(1, sum(1 for flow in flows if flow.systematic > 0))
    found = []
    for flow in flows:
        trials = flow.certainty / (shared if flow.systematic > 0 else 1)
        found.append(Outcomes(trials, trials * flow.successes / flow.trials))
    return found


def _with_times(
    model: SiteModel, observed: Sequence[ObservedFlow], flows: Sequence[SiteFlow], foretold: list[Foretold]
) -> list[Foretold]:
    """Predictions with hops and round trips where these were observed."""
    timed = [i for i, f in enumerate(observed) if f.hops is not None or f.round_trip_ms is not None]
    timed = sorted(timed, key=lambda i: -observed[i].trials)[:MOST_TIMED]
    if not timed:
        return foretold
    outcomes = foretell_times(model, [flows[i] for i in timed])
    for i, one in zip(timed, with_times([foretold[i] for i in timed], outcomes), strict=True):
        foretold[i] = one
    return foretold


def _later(said: Foretold, delay_ms: float) -> Foretold:
    if said.round_trip_ms is None:
        return said
    return replace(said, round_trip_ms=said.round_trip_ms + delay_ms)
