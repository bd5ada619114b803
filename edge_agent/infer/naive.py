"""The naive forecast: a link goes on as in its recent past. Always there, and the one to beat.

The next window is expected to be what the faded counts say. Further ahead goes a straight line through the
shares heard in the last windows, with the error that such a line has. Signal strength is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Final

from common.mesh.graph import LinkKey, heard_once, link_pdr
from common.models.link_forecast import AHEAD, WINDOWS, LinkWindow
from common.policy.actions import Forecast
from edge_agent.infer.expectation import Expectation
from edge_agent.observe.links import LinkBook, LinkEstimate

# Standard errors of the line's end, of one direction; two of them are taken together before anything is done.
PLAUSIBLE_ERRORS: Final = 2.0
FALLING_ERRORS: Final = -0.25

LOWEST_SHARE: Final = 0.02
HIGHEST_SHARE: Final = 0.995

PRUNE_EVERY: Final = 10_000


class NaiveForecaster:
    """Draws the line anew for links with new windows only."""

    name = "naive"

    def __init__(self) -> None:
        self._expected: dict[LinkKey, Expectation] = {}
        self._seen = 0
        self._pruned = 0

    def forecast(self, links: LinkBook) -> Mapping[LinkKey, Expectation]:
        """What is expected of every link of the book."""
        for key in links.updated_since(self._seen):
            self._expected[key] = _expectation(links[key], links.history(key))
        self._seen = links.windows
        if self._seen - self._pruned > PRUNE_EVERY:
            self._expected = {key: expected for key, expected in self._expected.items() if key in links}
            self._pruned = self._seen
        return self._expected


def _expectation(link: LinkEstimate, windows: Sequence[LinkWindow]) -> Expectation:
    if len(windows) < WINDOWS:
        return Expectation(link.pdr, Forecast(link.pdr, link.best_pdr))
    share, error = line_ahead(windows)
    pdr, upper, lower = (
        link_pdr(min(HIGHEST_SHARE, max(LOWEST_SHARE, share + errors * error)), link.transmissions)
        for errors in (0.0, PLAUSIBLE_ERRORS, FALLING_ERRORS)
    )
    return Expectation(link.pdr, Forecast(pdr, upper, lower))


def line_ahead(windows: Sequence[LinkWindow]) -> tuple[float, float]:
    """(share heard, its standard error) `AHEAD` windows on, by least squares; windows count alike.

    The error is the binomial one at the lower of mean and end: there misses are no longer rare.
    """
    count = len(windows)
    middle = (count - 1) / 2
    shares = [_share(window, windows[-1].transmissions) for window in windows]
    mean = sum(shares) / count
    spread = sum((at - middle) ** 2 for at in range(count))
    slope = sum((at - middle) * share for at, share in enumerate(shares)) / spread
    lever = middle + AHEAD
    end = mean + slope * lever
    likely = max(LOWEST_SHARE, min(end, mean, HIGHEST_SHARE))
    probes = sum(w.expected for w in windows) / count
    return end, sqrt(likely * (1 - likely) / probes * (1 / count + lever * lever / spread))


def _share(window: LinkWindow, transmissions: int) -> float:
    """The share heard, as if every probe had been sent so many times."""
    share = min(window.heard, window.expected) / window.expected
    if window.transmissions == transmissions:
        return share
    return heard_once(link_pdr(share, window.transmissions), transmissions)
