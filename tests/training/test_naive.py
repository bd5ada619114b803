"""The naive forecasts, against the plain way to compute them and against what gateways do."""

from __future__ import annotations

import numpy as np

from coordinator.training import naive, physics
from coordinator.training.windows import Windows, arrange
from edge_agent.observe.links import LinkEstimate

WINDOWS = physics.generate(links=7, windows=15, seed=3)


def by_link(windows: Windows) -> list[range]:
    starts = [0, *(np.flatnonzero(np.diff(windows.link)) + 1).tolist(), len(windows)]
    return [range(a, b) for a, b in zip(starts, starts[1:], strict=False)]


def test_faded_counts_are_those_of_a_gateway() -> None:
    wanted = []
    for link in by_link(WINDOWS):
        estimate = LinkEstimate()
        for at in link:
            estimate.count(int(WINDOWS.heard[at]), int(WINDOWS.expected[at]))
            wanted.append(estimate.share)
    assert np.allclose(naive.faded_counts(WINDOWS), wanted)


def test_the_exponential_mean_starts_at_a_links_first_window() -> None:
    wanted = []
    for link in by_link(WINDOWS):
        mean = WINDOWS.share[link[0]]
        for at in link:
            mean += 0.2 * (WINDOWS.share[at] - mean) if at != link[0] else 0.0
            wanted.append(mean)
    assert np.allclose(naive.ewma(WINDOWS), wanted)


def test_persistence_says_the_last_share_again() -> None:
    assert (naive.forecasts(WINDOWS)["persistence"] == WINDOWS.share).all()


def test_no_windows_make_no_forecasts() -> None:
    empty = arrange(*(np.empty(0),) * 6)
    assert all(len(values) == 0 for values in naive.forecasts(empty).values())
