"""Lines through runs: believed where small runs cost more than their share, and not where they do not."""

from __future__ import annotations

import random

import pytest

from common.kinds.kind import Cost
from edge_agent.tasks.cost_line import drawn
from edge_agent.tasks.costs import Costs

OVERHEAD_S = 0.005
HINTS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.4]


def test_what_every_run_costs_is_told_from_what_grows() -> None:
    line = drawn([(hint, 0.5 + 4.0 * hint) for hint in HINTS], OVERHEAD_S)
    assert line is not None
    assert line.any_s == pytest.approx(0.5)
    assert line.each == pytest.approx(4.0)


def test_a_run_beside_a_busy_neighbour_bends_nothing() -> None:
    runs = [(hint, 0.5 + 4.0 * hint) for hint in [*HINTS, *HINTS]]
    line = drawn([*runs, (0.2, 60.0)], OVERHEAD_S)
    assert line is not None
    assert line.at(0.2) == pytest.approx(1.3, rel=0.05)


def test_runs_in_proportion_need_no_line() -> None:
    chance = random.Random(3)
    runs = [(hint, 4.0 * (hint + OVERHEAD_S) * chance.lognormvariate(0, 0.2)) for hint in HINTS * 2]
    line = drawn(runs, OVERHEAD_S)
    # Where one is drawn all the same, it says much the same.
    assert line is None or line.at(0.1) == pytest.approx(0.42, rel=0.25)


@pytest.mark.parametrize("runs", [[], [(0.1, 0.2)] * 4, [(0.1, 0.2)] * 12])
def test_too_little_to_tell_gives_no_line(runs: list[tuple[float, float]]) -> None:
    assert drawn(runs, OVERHEAD_S) is None


def test_costs_foretell_along_the_line_also_after_a_restart() -> None:
    costs = Costs()
    for hint in HINTS:
        costs.learn("measure", "mec", Cost(hint), 0.5 + 4.0 * hint)
    for known in (costs, Costs.of(costs.document())):
        assert known.predict("measure", "mec", Cost(0.015)).seconds == pytest.approx(0.56, rel=0.05)


def test_what_a_file_says_wrongly_is_left_out() -> None:
    wrong = {"runs": [["mec", "measure", [[0.1], [0.1, -1.0], "x", [True, 1.0], [0.1, 0.5]]], 7], "extra": 3}
    assert Costs.of(wrong).document()["runs"] == [["mec", "measure", [[0.1, 0.5]]]]
