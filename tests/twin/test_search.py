"""The search, on sites where one can see what is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import Rejected
from common.mesh.configuration import Transmit
from common.radio import RadioParameters, simulate
from coordinator.twin.percolation import percolate
from coordinator.twin.reception import NOMINAL
from coordinator.twin.search import search
from coordinator.twin.search_goals import Freedom, Goals, Judge, Score
from coordinator.twin.search_plays import Budget, Candidate, Plays
from coordinator.twin.search_sets import RelaySets
from coordinator.twin.search_stage import Stage
from coordinator.twin.site_model import SiteFlow, SiteModel
from tests.twin.site_models import CHAIN, RING, site

SMALL = Budget(plays=120)
DELIVERY = Goals(latency=0.0, occupancy=0.0, energy=0.0, changes=0.0)


def broken_chain() -> SiteModel:
    """Good links, but the relay in the middle is off."""
    return site(CHAIN, 0.95, relays={2, 4, 5}, transmissions=3, repeats=2)


def test_the_missing_relay_is_found() -> None:
    found = search(broken_chain(), budget=SMALL)
    assert found.best.configuration.relays >= {2, 3, 4, 5}
    assert found.best.score.delivery > 0.95
    assert found.now.score.delivery < 0.5
    assert found.candidates[0].worth >= found.candidates[-1].worth


def test_the_seed_decides_everything() -> None:
    one, same = (search(broken_chain(), budget=SMALL, seed=4) for _ in range(2))
    assert one.candidates == same.candidates
    assert (one.played, one.percolated) == (same.played, same.percolated)


def test_lossy_links_get_more_retransmits() -> None:
    model = site(CHAIN, 0.6)
    chosen = search(model, DELIVERY, SMALL).best.configuration
    assert chosen.relay_retransmit.count > 1
    assert chosen.network_transmit.count > 1


def test_what_may_not_change_does_not() -> None:
    freedom = Freedom(network_counts=(), relay_counts=(), ttl=False, fixed=frozenset({3}))
    before = broken_chain().configuration
    for candidate in search(broken_chain(), budget=SMALL, freedom=freedom).candidates:
        chosen = candidate.configuration
        assert 3 not in chosen.relays
        assert (chosen.ttl, chosen.network_transmit) == (before.ttl, before.network_transmit)
        assert chosen.relay_retransmit == before.relay_retransmit


def test_nodes_that_cannot_relay_are_not_asked_to() -> None:
    model = replace(site(RING, 0.95, relays=()), capable=frozenset({2, 3, 4}))
    assert search(model, budget=SMALL).best.configuration.relays <= {2, 3, 4}


def test_a_battery_is_spared_where_another_node_does_as_well() -> None:
    """Of two ways around the ring one is over nodes that live on batteries."""
    flows = [SiteFlow(4, 1, 10.0)]
    model = replace(site(RING, 1.0, relays={2, 3}, flows=flows), battery=frozenset({2, 3}))
    assert search(model, Goals(energy=0.2), SMALL).best.configuration.relays == {5, 6}


def test_a_site_that_works_is_left_alone() -> None:
    model = site([(1, 2), (1, 3), (1, 4)], 1.0, relays=(), transmissions=2)
    found = search(model, budget=SMALL)
    assert found.best.score.changes == 0.0


def test_a_relay_that_nobody_needs_is_given_up_when_the_air_counts() -> None:
    flows = [SiteFlow(2, 1, 1.0), SiteFlow(3, 1, 1.0)]
    model = site([(1, 2), (1, 3), (2, 3)], 1.0, transmissions=3, repeats=3, flows=flows)
    goals = Goals(occupancy=500.0, changes=0.0)
    assert search(model, goals, SMALL).best.configuration.relays == frozenset()


def test_latency_beyond_a_flows_limit_costs() -> None:
    late, fine = (
        Plays(site(CHAIN, 1.0, flows=[SiteFlow(6, 1, 10.0, limit_ms=limit)]), Goals(), SMALL, 1)
        for limit in (5.0, 5000.0)
    )
    configuration = site(CHAIN).configuration
    for plays in (late, fine):
        plays.play(configuration, 30)
    assert late.scores[configuration].late == 1.0
    assert fine.scores[configuration].late == 0.0


def test_a_budget_is_kept_and_a_time_cap_stops() -> None:
    capped = search(broken_chain(), budget=Budget(plays=10_000, cpu_s=0.0))
    assert capped.played <= 30
    assert capped.best in capped.candidates
    assert search(broken_chain(), budget=SMALL).played <= SMALL.plays + 30


def test_progress_is_told() -> None:
    told: list[tuple[float, Candidate | None]] = []
    search(broken_chain(), budget=SMALL, progress=lambda share, best: told.append((share, best)))
    assert told
    assert all(0.0 <= share <= 1.0 for share, _ in told)
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_a_site_without_flows_has_nothing_to_search_for() -> None:
    with pytest.raises(Rejected):
        search(site(CHAIN, flows=[]))


def test_a_stage_plays_what_the_simulator_plays() -> None:
    model = site(RING, 0.8, flows=[SiteFlow(4, 1, 5.0), SiteFlow(1, 4, 3.0, acknowledged=True)])
    parameters = RadioParameters(burst_loss=0.1, extra_noise_db=0.5, capture_db=6.0)
    played = Stage(model, parameters).play(model.configuration, 9, 300.0)
    outcome = simulate(model.scenario(), parameters, seed=9, duration_s=300.0)
    assert played.sent.tolist() == [flow.sent for flow in outcome.flows]
    assert played.arrived.tolist() == [outcome.flows[0].delivered, outcome.flows[1].answered]
    assert played.transmissions == outcome.totals.transmissions


def test_scores_of_two_plays_join_by_their_messages() -> None:
    one = Score(1.0, 0.0, 0.1, 0.0, 0.2, 0.01, 100)
    other = Score(0.7, 0.3, 0.4, 0.0, 0.2, 0.02, 200)
    both = one.joined(other)
    assert both.messages == 300
    assert both.delivery == pytest.approx(0.8)
    assert both.late == pytest.approx(0.2)
    assert both.error < 0.02


def test_changes_count_the_nodes_that_are_written_to() -> None:
    model = broken_chain()
    judge = Judge(model)
    relays = replace(model.configuration, relays=frozenset({2, 3, 4, 5}))
    assert judge.changes(relays) == pytest.approx(1 / 6)
    assert judge.changes(replace(model.configuration, ttl=4)) == 1.0


def test_percolations_local_search_never_makes_a_set_worse() -> None:
    model = site(RING + [(1, 4), (2, 5)], 0.5, relays={2, 3})
    sets = RelaySets(model, DELIVERY, frozenset(), seed=1)
    better = sets.improved(model.relays)
    assert len(better) == len(model.relays)
    assert percolate(model, better).mean >= percolate(model).mean


def test_relays_are_not_asked_to_repeat_more_than_they_can_send() -> None:
    """Forty messages a second: one transmission each is possible, three are not."""
    flows = [SiteFlow(source, 1, 0.05) for source in (2, 4)]
    model = site(RING, 1.0, transmissions=1, repeats=3, flows=flows)
    judge = Judge(model)
    once = replace(model.configuration, relay_retransmit=Transmit(1, 20))
    assert judge.load(once, NOMINAL) < 1.0 < judge.load(model.configuration, NOMINAL)
    for candidate in search(model, DELIVERY, SMALL).candidates:
        chosen = candidate.configuration
        assert chosen == model.configuration or chosen.relay_retransmit.count == 1
