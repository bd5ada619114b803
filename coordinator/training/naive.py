"""Naive forecasts of the share of probes heard, for every window of every link at once.

What a model must beat: the last window again, an exponential mean, and the faded counts that gateways keep
of a link. Each looks at a link's whole past and says the same for every window ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from common.models.link_forecast import PRIOR_HEARD, PRIOR_MISSED
from coordinator.training.windows import Array, Floats, Windows

EWMA_WEIGHT: Final = 0.2
FADE_PER_PROBE: Final = 0.96
"""As gateways fade a link's counts: about 25 probes count."""


def forecasts(windows: Windows) -> dict[str, Floats]:
    """By name: [N], the share expected after each window."""
    return {"persistence": windows.share, "ewma": ewma(windows), "faded-counts": faded_counts(windows)}


def ewma(windows: Windows, weight: float = EWMA_WEIGHT) -> Floats:
    """Exponential mean of the shares, from a link's first window on."""
    share = windows.share

    def follow(before: Floats, at: Array) -> Floats:
        mean: Floats = before + weight * (share[at] - before)
        return mean

    return _along(windows, share.copy(), follow)


def faded_counts(windows: Windows) -> Floats:
    """Mean of the beta posterior whose counts fade with every probe."""
    fade = FADE_PER_PROBE**windows.expected
    heard = _faded(windows, windows.heard, fade)
    missed = _faded(windows, windows.expected - windows.heard, fade)
    return (heard + PRIOR_HEARD) / (heard + missed + PRIOR_HEARD + PRIOR_MISSED)


def _faded(windows: Windows, counts: Floats, fade: Floats) -> Floats:
    def follow(before: Floats, at: Array) -> Floats:
        count: Floats = before * fade[at] + counts[at]
        return count

    return _along(windows, counts.copy(), follow)


def _along(windows: Windows, values: Floats, follow: Callable[[Floats, Array], Floats]) -> Floats:
    """Run a recurrence along every link's windows; `values` holds the first of each at the start.

    Goes by rank within the link, so that a step serves all links that are still as long.
    """
    starts = (
        np.flatnonzero(np.r_[True, windows.link[1:] != windows.link[:-1]])
        if len(windows)
        else np.empty(0, int)
    )
    lengths = np.diff(np.r_[starts, len(windows)])
    by_length = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[by_length], lengths[by_length]
    for rank in range(1, int(lengths.max(initial=0))):
        at = starts[: np.searchsorted(-lengths, -rank, side="left")] + rank
        values[at] = follow(values[at - 1], at)
    return values
