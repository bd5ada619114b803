"""Whether a model may be released: is it better than the naive forecast, wherever that was measured? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from coordinator.release.registry import Bundle, Version
from coordinator.release.standing import Live
from coordinator.training.job import Evaluation, Precision, Score

# Fewer compared windows say little: which of two good forecasts comes out ahead is chance.
ENOUGH_WINDOWS: Final = 500

# int8 is released while its error is at most this much above float32's, relatively: it is half the size.
INT8_TOLERANCE: Final = 0.02


def objections(bundle: Bundle, sites: Iterable[str] = (), live: Sequence[Live] = ()) -> list[str]:
    """Why `bundle` should not be released, each in one line with both errors; empty: nothing is against it.

    `sites` are those that shall get it (none: all). `live` is what gateways tell of this very bundle.
    """
    if not bundle.evaluations:
        return ["it was never evaluated; run: coordinator models evaluate"]
    wanted = frozenset(sites)
    found = [text for evaluation in bundle.evaluations for text in _against(evaluation, wanted)]
    if not any(_evidence(evaluation, frozenset()) for evaluation in bundle.evaluations):
        found.append(f"it was never compared with the naive forecast on {ENOUGH_WINDOWS} windows")
    return list(dict.fromkeys([*found, *(text for one in live if (text := _reported(one)))]))


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


def _against(evaluation: Evaluation, sites: frozenset[str]) -> list[str]:
    return [
        f"{name}: its error {score.error:.4f} is worse than the naive forecast's {score.naive_error:.4f} "
        f"({score.naive}) over {score.windows} windows"
        for name, score in _evidence(evaluation, sites).items()
        # Also where one of them is not a number: only a proof lets a model pass.
        if not score.error <= score.naive_error
    ]


def _evidence(evaluation: Evaluation, sites: frozenset[str]) -> dict[str, Score]:
    """The comparisons that count: sites and all of them together; measured traces where no site had enough,
    and synthetic links where there is no measurement at all."""
    by_site = {
        f"site {site}": score
        for site, score in sorted(evaluation.sites.items())
        if not sites or site in sites
    }
    observed = _enough({"overall": evaluation.overall, **by_site})
    traces = _enough({f"trace {name}": score for name, score in sorted(evaluation.traces.items())})
    return observed or traces or _enough({"synthetic links": evaluation.synthetic})


def _enough(scores: dict[str, Score] | dict[str, Score | None]) -> dict[str, Score]:
    return {name: s for name, s in scores.items() if s is not None and s.windows >= ENOUGH_WINDOWS}


def _reported(live: Live) -> str:
    if live.state == "refused":
        return f"{live.gateway} of site {live.site} refused it: {live.reason or 'no reason told'}"
    if live.state == "worse-than-naive":
        return (
            f"{live.gateway} of site {live.site} finds it worse than the naive forecast: error "
            f"{_shown(live.error)}, naive {_shown(live.naive_error)} over {live.windows} windows"
        )
    return ""


def _shown(error: float | None) -> str:
    return "unknown" if error is None else f"{error:.4f}"
