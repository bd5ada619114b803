"""Whether a model may be released: is it better than the naive forecast, wherever that was measured? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist
from typing import Final

from coordinator.release.registry import Bundle, Version
from coordinator.release.standing import Live
from coordinator.release.verdicts import Verdict, is_of_the_way
from coordinator.training.job import Evaluation, Precision, Score

# Fewer compared windows say little: which of two good forecasts comes out ahead is chance.
ENOUGH_WINDOWS: Final = 500

# Standard errors: a model that is worse by more is worse, on however few windows. Gateways judge alike.
CLEAR: Final = 2.0
_NORMAL: Final = NormalDist()

# int8 is released while its error is at most this much above float32's, relatively: it is half the size.
INT8_TOLERANCE: Final = 0.02

SYNTHETIC: Final = "synthetic links"


def objections(bundle: Bundle, sites: Iterable[str] = ()) -> list[str]:
    """Why `bundle` should not be released, each in one line with both errors; empty: nothing is against it.

    `sites` are those that shall get it (none: all).
    """
    if not bundle.evaluations:
        return [*contrary(bundle, sites), "it was never evaluated; run: coordinator models evaluate"]
    found = contrary(bundle, sites)
    if not any(_evidence(evaluation, frozenset()) for evaluation in bundle.evaluations):
        found.append(f"it was never compared with the naive forecast on {ENOUGH_WINDOWS} windows")
    return found


def contrary(bundle: Bundle, sites: Iterable[str] = ()) -> list[str]:
    """What was found against `bundle`, by evaluations and by gateways: one that refused it or measured it
    worse speaks against it everywhere."""
    wanted = frozenset(sites)
    measured = (text for evaluation in bundle.evaluations for text in _against(evaluation, wanted))
    said = (_said(site, verdict) for site, verdict in sorted(bundle.verdicts.items()))
    return list(dict.fromkeys([*measured, *said]))


def remarks(bundle: Bundle, sites: Iterable[str] = (), live: Sequence[Live] = ()) -> list[str]:
    """Where `bundle` was measured worse than the naive forecast without that being an objection, and why not.

    `live` is what gateways say of this very bundle.
    """
    wanted = frozenset(sites)
    measured = (text for evaluation in bundle.evaluations for text in _unconvincing(evaluation, wanted))
    return list(dict.fromkeys([*measured, *(text for one in live if (text := _so_far(one)))]))


def grounds(bundle: Bundle, sites: Iterable[str] = ()) -> list[str]:
    """On what a bundle was compared with the naive forecast, as far as it counts."""
    wanted = frozenset(sites)
    named = [name for evaluation in bundle.evaluations for name in _evidence(evaluation, wanted)]
    return list(dict.fromkeys(named))


def default_precision(version: Version) -> Precision:
    """int8 where its evaluation is within `INT8_TOLERANCE` of float32's, else float32 where there is one."""
    bundles = {bundle.precision: bundle for bundle in version.bundles}
    exact, small = bundles.get("float32"), bundles.get("int8")
    if exact is None or small is None:
        return version.bundles[0].precision
    if exact.held_out is None or small.held_out is None:
        return "float32"
    reference = _evidence(exact.held_out, frozenset())
    compared = _evidence(small.held_out, frozenset())
    good = bool(compared) and all(
        score.error <= reference[name].error * (1 + INT8_TOLERANCE)
        for name, score in compared.items()
        if name in reference
    )
    return "int8" if good else "float32"


def _against(evaluation: Evaluation, sites: frozenset[str]) -> Iterator[str]:
    for name, score in {**_evidence(evaluation, sites), **_clearly_worse(evaluation, sites)}.items():
        # Also where one of them is not a number: only a proof lets a model pass.
        if not score.error <= score.naive_error:
            few = "" if score.windows >= ENOUGH_WINDOWS else ": few, but more than chance"
            yield (
                f"{name}: its error {score.error:.4f} is worse than the naive forecast's "
                f"{score.naive_error:.4f} ({score.naive}) over {score.windows} windows{few}"
            )


def _unconvincing(evaluation: Evaluation, sites: frozenset[str]) -> Iterator[str]:
    counted = {**_evidence(evaluation, sites), **_clearly_worse(evaluation, sites)}
    for name, score in _comparisons(evaluation, frozenset()).items():
        if name in counted or score.error <= score.naive_error:
            continue
        errors = f"error {score.error:.4f}, naive {score.naive_error:.4f} over {score.windows} windows"
        if name not in _comparisons(evaluation, sites):
            yield f"{name}: worse than naive, but not to get it: {errors}"
        elif score.windows < ENOUGH_WINDOWS:
            yield f"{name}: not enough windows to tell: {errors}"
        else:
            yield f"{name}: worse than naive, but sites were measured, and count instead: {errors}"


def _evidence(evaluation: Evaluation, sites: frozenset[str]) -> dict[str, Score]:
    """The comparisons that count: sites and all of them together; measured traces where no site had enough,
    and synthetic links where there is no measurement at all."""
    observed = _enough(_observed(evaluation, sites))
    synthetic = {} if evaluation.synthetic is None else {SYNTHETIC: evaluation.synthetic}
    return observed or _enough(_traces(evaluation)) or _enough(synthetic)


def _clearly_worse(evaluation: Evaluation, sites: frozenset[str]) -> dict[str, Score]:
    """Comparisons with sites where the model is worse on however few windows."""
    compared = _observed(evaluation, sites)
    limit = _clear_among(len(compared))
    return {
        name: score
        for name, score in compared.items()
        if score.uncertainty is not None and score.error - score.naive_error > limit * score.uncertainty
    }


def _clear_among(comparisons: int) -> float:
    """`CLEAR` for one of so many: of a hundred sites, two or three are that far off by chance."""
    return _NORMAL.inv_cdf(1 - _NORMAL.cdf(-CLEAR) / max(1, comparisons))


def _comparisons(evaluation: Evaluation, sites: frozenset[str]) -> dict[str, Score]:
    synthetic = {} if evaluation.synthetic is None else {SYNTHETIC: evaluation.synthetic}
    return {**_observed(evaluation, sites), **_traces(evaluation), **synthetic}


def _observed(evaluation: Evaluation, sites: frozenset[str]) -> dict[str, Score]:
    overall = {} if evaluation.overall is None else {"overall": evaluation.overall}
    return overall | {
        f"site {site}": score
        for site, score in sorted(evaluation.sites.items())
        if not sites or site in sites
    }


def _traces(evaluation: Evaluation) -> dict[str, Score]:
    return {f"trace {name}": score for name, score in sorted(evaluation.traces.items())}


def _enough(scores: dict[str, Score]) -> dict[str, Score]:
    return {name: score for name, score in scores.items() if score.windows >= ENOUGH_WINDOWS}


def _said(site: str, verdict: Verdict) -> str:
    if verdict.state == "refused":
        return f"{verdict.gateway} of site {site} refused it: {verdict.reason or 'no reason told'}"
    return (
        f"{verdict.gateway} of site {site} found it worse than the naive forecast by more than chance: error "
        f"{_shown(verdict.error)}, naive {_shown(verdict.naive_error)} over {verdict.windows} windows"
    )


def _so_far(live: Live) -> str:
    """What a gateway says against a bundle without having found it worse or unfit."""
    who = f"{live.gateway} of site {live.site}"
    if live.state == "refused" and is_of_the_way(live.reason):
        return f"{who} got a damaged file, and tries it again: {live.reason}"
    if live.error is None or live.naive_error is None or live.state not in ("trial", "in-use"):
        return ""
    if live.error <= live.naive_error:
        return ""
    return (
        f"{who}: worse than naive so far, not by more than chance: error {live.error:.4f}, naive "
        f"{live.naive_error:.4f} over {live.windows} windows"
    )


def _shown(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.4f}"
