"""What is learned of costs: robust, persistent, and modest where little is known."""

from __future__ import annotations

import json
import random

import pytest

from common.kinds.kind import Cost
from edge_agent.tasks.costs import OVERHEAD_S, UNKNOWN_SPREAD, Costs

HINT = Cost(1.0)


def learned(*seconds: float, kind: str = "measure", machine: str = "gw-1") -> Costs:
    costs = Costs()
    for value in seconds:
        costs.learn(kind, machine, HINT, value)
    return costs


def test_what_nobody_has_run_takes_its_hint_give_or_take() -> None:
    found = Costs().predict("measure", "gw-1", HINT)
    assert found.seconds == pytest.approx(1.0)
    assert found.spread == UNKNOWN_SPREAD


def test_runs_are_believed_the_more_there_are() -> None:
    one, many = learned(4.0), learned(*[4.0] * 20)
    assert 1 < one.predict("measure", "gw-1", HINT).seconds <= 4.01
    assert many.predict("measure", "gw-1", HINT).seconds == pytest.approx(4.0, rel=0.02)
    assert many.predict("measure", "gw-1", HINT).spread < one.predict("measure", "gw-1", HINT).spread


def test_a_few_runs_beside_a_busy_neighbour_change_nothing() -> None:
    dice = random.Random(1)
    values = [2.0 * dice.lognormvariate(0, 0.1) for _ in range(20)]
    calm, busy = learned(*values), learned(*values[:15], 60, 70, 80, 90, 55)
    assert busy.predict("measure", "gw-1", HINT).seconds == pytest.approx(
        calm.predict("measure", "gw-1", HINT).seconds, rel=0.2
    )


def test_a_kind_that_was_never_run_there_takes_after_the_others() -> None:
    costs = learned(*[3.0] * 10)
    assert costs.predict("spectrum", "gw-1", HINT).seconds == pytest.approx(3.0, rel=0.05)
    assert costs.predict("spectrum", "gw-2", HINT).seconds == pytest.approx(1.0)


def test_a_machine_is_believed_what_it_says_of_itself_until_it_was_tried() -> None:
    told = {"measure": 0.25, "": 0.5}
    assert Costs().predict("measure", "mec", HINT, told).seconds == pytest.approx(0.25, rel=0.05)
    assert Costs().predict("spectrum", "mec", HINT, told).seconds == pytest.approx(0.5, rel=0.05)
    tried = learned(*[2.0] * 30, machine="mec")
    assert tried.predict("measure", "mec", HINT, told).seconds == pytest.approx(2.0, rel=0.15)


def test_tiny_tasks_say_little_about_large_ones() -> None:
    costs = Costs()
    for _ in range(10):
        costs.learn("measure", "gw-1", Cost(1e-6), OVERHEAD_S)
    assert costs.predict("measure", "gw-1", HINT).seconds < 2.5


def test_what_was_learned_survives_a_restart() -> None:
    costs = learned(1.0, 2.0, 3.0)
    costs.learn_extra("gw-1", 0.2)
    again = Costs.of(json.loads(json.dumps(costs.document())))
    before, after = (one.predict("measure", "gw-1", HINT) for one in (costs, again))
    assert after.seconds == pytest.approx(before.seconds, rel=1e-3)
    assert again.extra_s("gw-1") == 0.2
    assert again.speeds("gw-1").keys() == {"measure", ""}


@pytest.mark.parametrize(
    "document", [{}, {"ratios": 3}, {"ratios": [[1], ["a", "b", ["x"]], ["a", "b", [1e99]]]}, {"extra": {}}]
)
def test_a_foreign_document_is_nothing_learned(document: dict[str, object]) -> None:
    assert Costs.of(document).table() == []


def test_a_machine_that_is_not_known_takes_beside_the_run_what_others_take() -> None:
    costs = Costs()
    assert costs.extra_s("mec") == 0.0
    for machine, seconds in (("gw-1", 0.1), ("gw-2", 0.2), ("gw-3", 0.9)):
        costs.learn_extra(machine, seconds)
    assert costs.extra_s("mec") == 0.2
    assert costs.extra_s("gw-3") == 0.9
