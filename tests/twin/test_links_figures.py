"""What the benchmark of links makes of numbers, and the hall that it draws."""

from __future__ import annotations

import pytest

from tools.benchmarks.twin_links import compared, judged
from tools.stage.scattered import relays_of, scattered

TRUTH = {(1, 2): 0.9, (2, 1): 0.7, (1, 3): 0.5, (3, 1): 0.2, (2, 3): 0.04}


def test_links_in_between_do_not_count_as_good_or_poor() -> None:
    figures = compared(TRUTH, {**TRUTH, (1, 3): 0.1})
    assert (figures["precision"], figures["recall"]) == (1.0, 1.0)
    assert figures["pdr_error"] == pytest.approx(0.4 / 4)


def test_an_unknown_good_link_costs_recall_and_an_imagined_one_precision() -> None:
    figures = compared(TRUTH, {(1, 2): 0.9, (3, 1): 0.6, (4, 5): 0.8})
    assert figures["recall"] == 0.5
    assert figures["precision"] == pytest.approx(1 / 3, abs=1e-3)
    assert figures["links_unknown"] == 2


def test_nothing_known_gives_no_precision_and_no_recall() -> None:
    assert compared(TRUTH, {})["recall"] == 0.0
    assert compared({}, {})["pdr_error"] is None


def test_a_plan_is_held_to_the_round_trips_of_the_gateway() -> None:
    plan = {
        "flows": [
            {"source": 1, "destination": 2, "after": 0.9},
            {"source": 1, "destination": 3, "after": 0.6},
            {"source": 3, "destination": 1, "after": 0.1},
        ]
    }
    figures = judged(plan, {2: 0.95, 3: 0.5, 4: 1.0}, 1)
    assert figures["flows"] == 2
    assert figures["flow_error"] == pytest.approx(0.075)
    assert figures["flow_error_worst"] == pytest.approx(0.1)


@pytest.mark.parametrize("nodes", [24, 100])
def test_the_hall_has_links_of_every_quality_and_relays_that_reach_everybody(nodes: int) -> None:
    topology = scattered(nodes, 1)
    assert topology == scattered(nodes, 1)
    pdrs = [1.0 - loss for loss in topology.links.values()]
    assert sum(pdr > 0.6 for pdr in pdrs) > 4 * nodes
    assert sum(pdr < 0.4 for pdr in pdrs) > 3 * nodes
    assert relays_of(topology)
