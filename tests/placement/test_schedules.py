"""What schedulers make is feasible, as good as it should be, and the same with and without a compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.placement import (
    CASES,
    Budget,
    Instance,
    Loads,
    Unplaceable,
    best_static,
    cpop,
    heft,
    heft_j,
    peft,
    schedule,
    static_case,
)
from common.placement.kernel import is_compiled
from tests.placement.graphs import heft_paper, random_graph
from tests.placement.rules import judged

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = Path(os.environ.get("MESHTWIN_DATA", ROOT.parent / "shared/data")) / "placement"


def test_the_graph_of_the_heft_paper_takes_80_by_heft_and_86_by_cpop() -> None:
    instance = Instance.parse(heft_paper())
    assert heft(instance).finish_ms == 80.0
    assert cpop(instance).finish_ms == 86.0
    assert schedule(instance).finish_ms <= 76.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tasks=st.integers(1, 16))
def test_every_scheduler_keeps_every_rule(seed: int, tasks: int) -> None:
    document = random_graph(seed, tasks)
    instance = Instance.parse(document)
    plans = [make(instance) for make in (heft, heft_j, peft, cpop, best_static)]
    plans += [static_case(instance, case) for case in CASES]
    plans.append(schedule(instance, budget=Budget(evaluations=200), seed=seed))
    for plan in plans:
        assert judged(document, plan.as_json()) == pytest.approx(plan.cost, abs=1e-9)
        assert plan.searched == pytest.approx(plan.cost, abs=1e-9)


def test_the_search_is_never_dearer_than_staying_at_home() -> None:
    for seed in range(20):
        instance = Instance.parse(random_graph(seed))
        assert (
            schedule(instance, budget=Budget(evaluations=1)).cost <= static_case(instance, "local").cost * 3
        )
        assert schedule(instance).cost <= 1.0 + 1e-9


def test_no_schedule_beats_a_proven_reference() -> None:
    if not DATA.is_dir():
        pytest.skip(f"no instances in {DATA}: name the folder by MESHTWIN_DATA")
    for path in sorted(DATA.glob("*/*.json"))[::4]:
        document = json.loads(path.read_bytes())
        plan = schedule(Instance.parse(document))
        assert judged(document, plan.as_json()) == pytest.approx(plan.cost, abs=1e-9)
        reference = document["reference"]
        if reference["proven_optimal"]:
            # References are rounded to six digits.
            assert plan.cost >= reference["J"] * (1 - 2e-6)


_ANSWER: Final = """
import json, sys
from common.placement import Budget, Instance, Loads, schedule
from common.placement.kernel import is_compiled
from tests.placement.graphs import random_graph
plans = [["compiled", is_compiled()]]
loads = Loads(busy_until_ms={"mec": (40.0,)}, utilisation={"lan": 0.7, "mec": 0.9}, deadline_ms=500.0)
for seed, tasks, evaluations in json.loads(sys.argv[1]):
    instance = Instance.parse(random_graph(seed, tasks))
    for load in (None, loads):
        plan = schedule(instance, budget=Budget(evaluations=evaluations), seed=seed, loads=load)
        plans.append([plan.as_json(), plan.cost, plan.searched, plan.evaluations])
print(json.dumps(plans))
"""


def _answer(cases: list[tuple[int, int, int]], interpreted: bool) -> list[object]:
    environment = {**os.environ, "MESHTWIN_INTERPRETED": "1" if interpreted else "0"}
    command = [sys.executable, "-c", _ANSWER, json.dumps(cases)]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    plans: list[object] = json.loads(done.stdout)
    return plans


def test_compiled_and_interpreted_runs_are_equal_to_the_last_bit() -> None:
    if not is_compiled():
        pytest.skip("the kernel is not compiled here: python setup.py build_ext --inplace")
    cases = [(seed, 1 + seed % 17, 20 + 37 * (seed % 9)) for seed in range(30)]
    fast, slow = _answer(cases, interpreted=False), _answer(cases, interpreted=True)
    assert fast[0] == ["compiled", True]
    assert slow[0] == ["compiled", False]
    assert fast[1:] == slow[1:]


def test_a_compiled_kernel_that_does_not_fit_gives_way_to_the_interpreted_one(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    for path in (ROOT / "common").iterdir():
        if path.name != "placement":
            (tmp_path / "common" / path.name).symlink_to(path)
    placement = tmp_path / "common/placement"
    shutil.copytree(
        ROOT / "common/placement", placement, ignore=shutil.ignore_patterns("build", "__pycache__")
    )
    # The first module may be compiled and fit, a later one does not.
    (placement / f"kernel/greedy{EXTENSION_SUFFIXES[0]}").write_bytes(b"from another machine")
    asked = "import common.placement; from common.placement.kernel import is_compiled; print(is_compiled())"
    environment = {**os.environ, "MESHTWIN_INTERPRETED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n"
    assert done.stderr.count("placement-interpreted") == 1


def test_a_budget_of_evaluations_is_kept_and_a_larger_one_is_never_worse_for_long() -> None:
    instance = Instance.parse(random_graph(4, 16))
    small, large = (schedule(instance, budget=Budget(evaluations=n)) for n in (60, 3000))
    assert small.evaluations <= 61
    assert large.evaluations <= 3001
    assert large.cost <= small.cost


def test_a_clock_only_stops_early() -> None:
    instance = Instance.parse(random_graph(4, 16))
    times = iter(range(1000))
    plan = schedule(instance, budget=Budget(100_000, seconds=20.0), clock=lambda: float(next(times)))
    assert plan.evaluations < 3_000


def test_nothing_runs_on_a_dead_node() -> None:
    instance = Instance.parse(random_graph(3, 14))
    plan = schedule(instance, loads=Loads(dead=frozenset({"mec", "cloud"})))
    assert {row.node for row in plan.assignments} <= {"gateway", "peer"}
    with pytest.raises(Unplaceable, match="source"):
        schedule(instance, loads=Loads(dead=frozenset({"gateway"})))


def test_work_goes_round_a_machine_that_is_busy_and_one_that_is_dear() -> None:
    document = random_graph(7, 10, weight=1.0)
    instance = Instance.parse(document)
    late = Loads(busy_until_ms={"mec": (1e6, 1e6), "cloud": (), "peer": (1e6,)})
    assert "mec" not in {row.node for row in schedule(instance, loads=late).assignments}
    dear = Loads(utilisation={"mec": 1.0, "cloud": 1.0})
    free, shy = schedule(instance), schedule(instance, loads=dear)
    away = [sum(row.node in ("mec", "cloud") for row in plan.assignments) for plan in (free, shy)]
    assert away[1] < away[0]
    assert shy.searched >= shy.cost


def test_nothing_starts_before_its_release_and_lateness_costs() -> None:
    instance = Instance.parse(random_graph(5, 8))
    plan = schedule(instance, loads=Loads(release_ms=100.0))
    assert min(row.start_ms for row in plan.assignments) >= 100.0
    late = schedule(instance, loads=Loads(deadline_ms=1.0, late_cost=2.0))
    assert late.searched > late.cost + 2.0


def test_ten_thousand_tasks_are_list_scheduled() -> None:
    document = random_graph(1, 9_998)
    plan = schedule(Instance.parse(document))
    assert plan.method != "search"
    assert plan.searched <= min(1.0, heft_j(Instance.parse(document)).searched if is_compiled() else 1.0)
    assert judged(document, plan.as_json()) == pytest.approx(plan.cost, abs=1e-9)


def test_reports_that_are_no_numbers_are_no_load() -> None:
    instance = Instance.parse(random_graph(5, 8))
    nothing = float("nan")
    odd = Loads(
        busy_until_ms={"mec": (nothing, -5.0)},
        channel_until_ms={"lan": nothing},
        utilisation={"lan": nothing},
    )
    assert schedule(instance, loads=odd).cost == schedule(instance).cost
    never = Loads(busy_until_ms={name: (float("inf"),) for name in ("gateway", "peer", "mec")})
    assert schedule(instance, loads=never).node_of("source") == "gateway"
