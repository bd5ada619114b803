"""The online play: what it owes to every strategy, and that prices and urgency are worth having."""

from __future__ import annotations

import pytest

from tools.benchmarks.online.fleet import FREE, MACHINES, WAN_UP, Fading, Fate, Outage, fate
from tools.benchmarks.online.graphs import arrivals
from tools.benchmarks.online.job import Job
from tools.benchmarks.online.play import Play
from tools.benchmarks.online.strategies import Strategy, ours, rivals
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


def test_a_graph_of_a_gateway_that_dies_waits_for_it() -> None:
    graph = next(graph for graph in arrivals(3, 1.5, SECONDS) if graph.gateway == 1)
    begin = graph.arrival_ms + 1.0
    befalls = Fate(outages=(Outage(1, begin, begin + graph.deadline_ms),))
    job = next(job for job in played(ours(), befalls) if job.graph.number == graph.number)
    assert job.finished_ms is not None
    assert job.finished_ms >= begin + graph.deadline_ms


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
