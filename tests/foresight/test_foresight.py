"""What forecasts amount to when acting ahead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.models.link_forecast import WINDOWS, LinkWindow
from common.policy.actions import Forecast, Observation
from common.policy.foresight import SEEN_FALL_DB, reckon
from common.policy.rerouting import reroute
from common.policy.service import problem_of
from edge_agent.infer.naive import line_ahead
from tests.policy.sites import graph, state

THERE, BACK = (2, 3), (3, 2)
FALLING = Forecast(0.8, 0.9, 0.6)
SEEN = {THERE: SEEN_FALL_DB, BACK: SEEN_FALL_DB}

shares = st.floats(0.01, 0.99)


def test_both_directions_are_taken_together() -> None:
    found = reckon({THERE: Forecast(0.9, 0.95), BACK: Forecast(0.5, 0.6)}, {})
    assert found[THERE] == found[BACK]
    assert 0.5 < found[THERE].pdr < 0.9


def test_the_worse_case_counts_only_when_the_fall_is_seen() -> None:
    both = {THERE: FALLING, BACK: FALLING}
    assert reckon(both, {})[THERE].upper == pytest.approx(0.9)
    assert reckon(both, SEEN)[THERE].upper == pytest.approx(0.6)


def test_a_fall_that_one_end_alone_reads_has_to_be_twice_as_deep() -> None:
    both = {THERE: FALLING, BACK: FALLING}
    assert reckon(both, {THERE: SEEN_FALL_DB})[THERE].upper == pytest.approx(0.9)
    assert reckon(both, {THERE: 2 * SEEN_FALL_DB})[THERE].upper == pytest.approx(0.6)


def test_a_link_that_is_forecast_one_way_only_is_left_as_it_is() -> None:
    assert reckon({THERE: FALLING}, SEEN) == {THERE: FALLING}


@given(st.dictionaries(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.builds(Forecast, shares, shares)))
def test_whatever_is_forecast_stays_a_chance(forecasts: dict[tuple[int, int], Forecast]) -> None:
    found = reckon(forecasts, dict.fromkeys(forecasts, 9.0))
    assert found.keys() == forecasts.keys()
    assert all(0 < f.pdr < 1 and 0 < f.upper < 1 for f in found.values())


def test_a_hopeful_forecast_takes_back_nothing_that_was_counted() -> None:
    site = state(graph([(1, 2), (2, 3)], 0.5), relays=[2])
    site = replace(site, best_case=graph([(1, 2), (2, 3)], 0.6))
    hopeful = Observation(forecast={THERE: Forecast(0.4, 0.99)})
    assert problem_of(site, hopeful, 0.0).best_case.links[THERE] == 0.6


def test_a_seen_fall_is_bypassed_and_the_same_forecast_unseen_is_not() -> None:
    site = state(graph([(1, 2), (2, 3), (3, 4), (1, 5), (5, 3)], 0.97), relays=[2, 3])
    falling = {THERE: Forecast(0.75, 0.85, 0.5), BACK: Forecast(0.75, 0.85, 0.5)}
    assert reroute(site, Observation(forecast=reckon(falling, {})), 0.0) == []
    (action,) = reroute(site, Observation(forecast=reckon(falling, SEEN)), 0.0)
    assert action.touches == {5}


def windows(*heard: int, transmissions: int = 2) -> list[LinkWindow]:
    return [LinkWindow(10.0 * i, h, 10, transmissions) for i, h in enumerate(heard)]


def test_a_steady_link_is_expected_to_stay_as_it_is() -> None:
    share, error = line_ahead(windows(*[9] * WINDOWS))
    assert share == pytest.approx(0.9)
    assert 0.05 < error < 0.15


def test_a_falling_line_is_drawn_on() -> None:
    share, _ = line_ahead(windows(10, 10, 10, 9, 9, 8, 8, 7))
    assert share < 0.65


def test_a_change_of_repeats_is_no_change_of_the_link() -> None:
    # The same PDR of 0.6 heard with one transmission, then with three.
    mixed = [*windows(*[6] * 4, transmissions=1), *windows(*[9] * 4, transmissions=3)]
    share, _ = line_ahead(mixed)
    assert share == pytest.approx(0.936, abs=0.1)
