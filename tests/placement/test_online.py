"""The online play: what it owes to every strategy, and that prices and urgency are worth having."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.benchmarks.online.fleet import FREE, MACHINES, WAN_UP, Fading, Fate, Outage, fate
from tools.benchmarks.online.graphs import arrivals
from tools.benchmarks.online.job import Job
from tools.benchmarks.online.play import Play
from tools.benchmarks.online.strategies import Strategy, ours, rivals
from tools.benchmarks.online.view import View
from tools.benchmarks.placement_online import tally

SECONDS = 40.0


def played(strategy: Strategy, befalls: Fate, seed: int = 3) -> list[Job]:
    return Play(arrivals(seed, 1.5, SECONDS), befalls, strategy, seed).run()


def test_every_graph_ends_once_whatever_fails() -> None:
    graphs = arrivals(3, 1.5, SECONDS)
    for strategy in (ours(), rivals()["heft"], rivals()["local"]):
        jobs = played(strategy, fate(3, SECONDS))
        assert sorted(job.graph.number for job in jobs) == [graph.number for graph in graphs]
        assert all(job.lost != (job.finished_ms is not None) for job in jobs)
        assert all(not job.runs and not job.moving for job in jobs)


def test_equal_seeds_give_equal_plays() -> None:
    first, second = (played(ours(), fate(3, SECONDS)) for _ in range(2))
    assert [(job.finished_ms, job.energy_j) for job in first] == [
        (job.finished_ms, job.energy_j) for job in second
    ]


def test_nothing_is_lost_where_nothing_fails() -> None:
    assert tally(played(ours(), Fate())).lost == 0.0


def test_a_machine_that_is_down_finishes_nothing() -> None:
    down = Fate(outages=tuple(Outage(machine, 0.0, 1e9) for machine in range(3, len(MACHINES))))
    jobs = played(ours(), down)
    spent = max(MACHINES[machine].power_w for machine in range(3))
    for job in jobs:
        assert all(node < 3 for node in job.node)
        assert job.finished_ms is None or job.energy_j <= spent * (job.finished_ms - job.graph.arrival_ms)


def asked_of_a_gateway_that_dies(
    after_ms: float, strategy: Strategy, deadlines: float = 1.0
) -> tuple[Job, float]:
    """What became of the first graph of the second gateway, which is down from a time after it was asked on
    for some of the graph's deadlines; and when it is back."""
    graph = next(graph for graph in arrivals(3, 1.5, SECONDS) if graph.gateway == 1)
    begin = graph.arrival_ms + after_ms
    end = begin + deadlines * graph.deadline_ms
    jobs = played(strategy, Fate(outages=(Outage(1, begin, end),)))
    return next(job for job in jobs if job.graph.number == graph.number), end


def test_a_graph_without_a_deputy_waits_for_its_gateway() -> None:
    job, end = asked_of_a_gateway_that_dies(100.0, replace(ours(), deputies=False))
    assert job.finished_ms is not None
    assert job.finished_ms >= end
    assert job.graph is job.asked


def test_a_graph_goes_on_at_its_deputy_when_its_gateway_dies() -> None:
    job, end = asked_of_a_gateway_that_dies(100.0, ours(), deadlines=2.5)
    assert job.finished_ms is not None
    assert job.finished_ms < end
    assert job.graph.gateway != job.asked.gateway == 1


def test_a_gateway_that_dies_before_its_deputy_has_all_inputs_is_waited_for() -> None:
    job, end = asked_of_a_gateway_that_dies(1.0, ours())
    assert job.finished_ms is not None
    assert job.finished_ms >= end


def test_what_is_less_urgent_keeps_nobody_waiting_but_what_runs_does() -> None:
    view, (first, second) = View(), (Job(graph) for graph in arrivals(3, 1.5, SECONDS)[:2])
    for job, rank in ((first, 1.0), (second, 2.0)):
        job.rank = rank
        job.measure(1.0)
        view.decided(job, 0.0)
    second.graph = second.graph.asked_at(first.graph.gateway)
    own = first.graph.gateway
    assert view.free_at(first, 0.0)[own] == [0.0]
    assert view.free_at(second, 0.0)[own] == [
        pytest.approx(sum(first.graph.duration_ms(task, own) for task in range(first.graph.sink)))
    ]


def test_other_gateways_hear_of_a_decision_with_the_next_heartbeat() -> None:
    play = Play((), Fate(), ours(), 3)
    first, second = (Job(graph, rank=0.0) for graph in arrivals(3, 1.5, SECONDS)[:2])
    first.graph, second.graph = first.graph.asked_at(0), second.graph.asked_at(1)
    first.measure(1.0)
    play.open[first] = None
    play.view.decided(first, 0.0)
    at = first.node[1]
    assert play.view.free_at(second, 0.0)[at] == [0.0]
    play.view.refresh(play, 1.0)
    assert play.view.free_at(second, 0.0)[at][0] > 0.0


@pytest.mark.parametrize(
    ("begin", "bits", "end"), [(0.0, 16e6, 1900.0), (2000.0, 16e6, 3000.0), (500.0, 0.0, 500.0)]
)
def test_a_fading_wan_carries_less_while_it_fades(begin: float, bits: float, end: float) -> None:
    befalls = Fate(fadings=(Fading(100.0, 1100.0, 0.1),))
    assert befalls.sent_by(WAN_UP, begin, bits) == pytest.approx(end)
    assert befalls.sent_by(FREE, begin, 1e6) == pytest.approx(begin + 1.0)


def test_prices_and_urgency_cost_less_than_the_rivals() -> None:
    costs = {name: tally(played(strategy, fate(3, SECONDS))).cost for name, strategy in rivals().items()}
    assert tally(played(ours(), fate(3, SECONDS))).cost < min(costs.values())
