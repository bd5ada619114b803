"""How often to probe: pure choices, with the numbers that a site would give."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest

from common.policy.monitoring import (
    AIR_S,
    FIRST_REPORTS_DISTURB,
    LONGEST_REPORT,
    LONGEST_S,
    RELAY_SHARE,
    Pace,
    Surroundings,
    Variability,
    Wish,
    best,
    channel_share,
    cost,
    messages_per_s,
    reports_per_s,
    settled,
    twin_error,
)
from common.radio import timing

SITE = Surroundings(nodes=60, neighbours=9.0, copies=8.0, relay_rate=25.0)
LINKS = Variability()
FREE = Wish(shortest_s=0.5, longest_s=LONGEST_S, report_every=10, transmissions=2, budget_per_s=1000.0)
FIXED = replace(FREE, shortest_s=1.0, longest_s=1.0, budget_per_s=100.0)


def test_by_default_the_period_is_the_one_wanted_and_so_is_the_report() -> None:
    small = Surroundings(nodes=14, neighbours=5.0, relay_rate=50.0)
    assert best(small, LINKS, FIXED) == Pace(1.0, 10)


def test_a_tight_budget_takes_reports_first_and_then_the_period() -> None:
    site = replace(SITE, relay_rate=inf, copies=1.0)
    assert best(site, LINKS, replace(FIXED, budget_per_s=80.0)) == Pace(1.0, 15)
    tight = replace(FIXED, budget_per_s=20.0)
    pace = best(site, LINKS, tight)
    assert pace == Pace(3.5, LONGEST_REPORT)
    assert messages_per_s(pace, site) <= tight.budget_per_s


def test_reports_that_would_spoil_the_channel_become_rarer_though_relays_could_bear_them() -> None:
    site = replace(SITE, relay_rate=inf, nodes=40)
    pace = best(site, LINKS, FIXED)
    assert pace.period_s == 1.0
    assert 20 < pace.report_every < LONGEST_REPORT
    assert settled(Pace(1.0, 10), site, LINKS, FIXED) == pace
    dense = replace(site, nodes=100)
    assert best(dense, LINKS, replace(FIXED, budget_per_s=1000.0)) == Pace(1.0, LONGEST_REPORT)


def test_a_site_is_learnt_faster_than_it_is_watched() -> None:
    site = replace(SITE, relay_rate=inf, nodes=40)
    learning = replace(FIXED, disturb=FIRST_REPORTS_DISTURB)
    first = best(site, LINKS, learning)
    assert first.report_every < 0.5 * best(site, LINKS, FIXED).report_every
    assert settled(first, site, LINKS, FIXED) == best(site, LINKS, FIXED)


def test_one_report_tells_of_two_neighbours() -> None:
    assert reports_per_s(Pace(1.0, 10), replace(SITE, neighbours=10.0)) == 30.0


def test_relays_that_would_fall_behind_get_fewer_reports_but_faults_are_seen_as_fast() -> None:
    pace = best(SITE, LINKS, replace(FIXED, budget_per_s=1000.0))
    assert pace.period_s == 1.0
    assert reports_per_s(pace, SITE) <= RELAY_SHARE * SITE.relay_rate
    swamped = replace(SITE, nodes=500)
    assert best(swamped, LINKS, replace(FIXED, budget_per_s=1000.0)) == Pace(1.0, LONGEST_REPORT)
    # Where the period is ours to choose, it gives way.
    chosen = best(swamped, LINKS, FREE)
    assert reports_per_s(chosen, swamped) <= RELAY_SHARE * swamped.relay_rate


def test_the_error_grows_with_the_period_and_the_share_falls() -> None:
    paces = [Pace(period, 10) for period in (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)]
    errors = [twin_error(pace, LINKS) for pace in paces]
    shares = [channel_share(pace, SITE, 2) for pace in paces]
    assert errors == sorted(errors)
    assert shares == sorted(shares, reverse=True)


def test_the_chosen_pace_costs_least() -> None:
    found = best(SITE, LINKS, FREE)
    assert FREE.shortest_s < found.period_s < FREE.longest_s
    least = cost(found, SITE, LINKS, 2)
    for period in (0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 25.5):
        pace = Pace(period, found.report_every)
        if reports_per_s(pace, SITE) <= RELAY_SHARE * SITE.relay_rate:
            assert cost(pace, SITE, LINKS, 2) >= least * 0.99


def test_links_that_drift_fast_are_probed_more_often_and_crowded_sites_less() -> None:
    calm, wild = Variability(0.1, 1e-6), Variability(0.1, 1e-3)
    assert best(SITE, wild, FREE).period_s < best(SITE, calm, FREE).period_s
    sparse = Surroundings(nodes=14, neighbours=4.0, copies=2.0, relay_rate=50.0)
    assert best(sparse, LINKS, FREE).period_s < best(SITE, LINKS, FREE).period_s


def test_links_that_do_not_drift_at_all_still_have_a_knee() -> None:
    pace = best(SITE, Variability(0.1, 0.0), FREE)
    assert FREE.shortest_s <= pace.period_s <= LONGEST_S


def test_a_pace_is_kept_while_measurements_scatter() -> None:
    random = Random(7)
    now, changes = best(SITE, LINKS, FREE), 0
    for _ in range(500):
        site = replace(SITE, neighbours=9.0 * random.uniform(0.9, 1.1), copies=8.0 * random.uniform(0.9, 1.1))
        links = Variability(0.1 * random.uniform(0.8, 1.2), 1e-4 * random.uniform(0.7, 1.4))
        after = settled(now, site, links, FREE)
        changes += after != now
        now = after
    assert changes <= 2


def test_a_pace_that_costs_too_much_is_given_up_at_once() -> None:
    now = best(SITE, LINKS, FREE)
    less = replace(FREE, budget_per_s=messages_per_s(now, SITE) * 0.9)
    after = settled(now, SITE, LINKS, less)
    assert messages_per_s(after, SITE) <= less.budget_per_s


def test_a_pace_of_the_past_is_left_when_the_operator_wants_another() -> None:
    assert settled(Pace(0.5, 10), SITE, LINKS, FIXED).period_s == 1.0
    assert settled(Pace(20.0, 30), replace(SITE, relay_rate=inf), LINKS, FIXED).period_s == 1.0


@pytest.mark.parametrize("nodes", [1, 10, 1000, 32_000])
@pytest.mark.parametrize("budget", [0.001, 1.0, 10_000.0])
def test_every_pace_can_be_said_to_nodes(nodes: int, budget: float) -> None:
    for wish in (replace(FREE, budget_per_s=budget), replace(FIXED, budget_per_s=budget)):
        pace = best(Surroundings(nodes, 40.0, relay_rate=6.0), LINKS, wish)
        assert 0.1 <= pace.period_s <= LONGEST_S
        assert 1 <= pace.report_every <= LONGEST_REPORT
        assert round(pace.period_s * 10) == pytest.approx(pace.period_s * 10)


def test_the_air_time_is_that_of_a_packet_of_a_report() -> None:
    assert pytest.approx(timing.last_packet_bytes(8) * timing.BYTE_MS / 1000.0) == AIR_S


def test_a_site_that_was_just_met_is_learnt_faster_and_slower_the_better_it_is_known() -> None:
    still = Variability(0.1, 1e-6)
    paces = [best(SITE, replace(still, watched_s=seconds), FREE) for seconds in (30.0, 120.0, 600.0, inf)]
    windows = [pace.window_s for pace in paces]
    assert windows == sorted(windows)
    assert windows[0] <= 60.0
    assert windows[-1] > 90.0
