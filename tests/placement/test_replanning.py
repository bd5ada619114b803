"""A running graph after a failure, and why a task is where it is."""

from __future__ import annotations

import pytest

from common.placement import (
    BadInstance,
    Instance,
    Loads,
    Progress,
    Running,
    Unplaceable,
    explain,
    remaining,
    replan,
    schedule,
)
from tests.placement.graphs import random_graph


def test_finished_work_is_not_done_again_and_lost_work_is() -> None:
    instance = Instance.parse(random_graph(6, 10))
    done = {f"t{i}": "mec" if i % 2 else "peer" for i in range(1, 6)} | {"source": "gateway"}
    rest = remaining(instance, Progress(outputs=done))
    again = {task.id for task in rest.tasks if any(task.duration_ms) and task.id in done}
    assert not again
    lost = remaining(instance, Progress(outputs=done), frozenset({"mec"}))
    again = {task.id for task in lost.tasks if any(task.duration_ms) and task.id in done}
    assert again <= {"t1", "t3", "t5"}
    assert again


def test_a_replan_leaves_running_tasks_alone() -> None:
    instance = Instance.parse(random_graph(6, 10))
    progress = Progress(
        outputs={"source": "gateway"}, running={"t1": Running("mec", 30.0), "t2": Running("cloud", 9.0)}
    )
    loads = Loads(dead=frozenset({"cloud"}))
    plan = replan(instance, progress, loads=loads)
    rows = {row.task: row for row in plan.assignments}
    assert rows["t1"] == ("t1", "mec", 0.0, 30.0)
    assert rows["t2"].node != "cloud"
    assert "cloud" not in {row.node for row in plan.assignments}


def test_a_graph_that_is_done_but_for_its_sink_needs_the_sink_alone() -> None:
    instance = Instance.parse(random_graph(6, 10))
    done = {task.id: "gateway" for task in instance.tasks if task.id != "sink"}
    rest = remaining(instance, Progress(outputs=done))
    assert [task.id for task in rest.tasks if task.pinned is None] == []
    assert schedule(rest).finish_ms == 0.0


def test_what_cannot_go_on_is_refused_by_name() -> None:
    instance = Instance.parse(random_graph(6, 10))
    with pytest.raises(Unplaceable, match="gateway"):
        remaining(instance, Progress(), frozenset({"gateway"}))
    with pytest.raises(BadInstance):
        remaining(instance, Progress(outputs={"nobody": "mec"}))


def test_an_explanation_has_every_node_and_the_plan_s_own_cost() -> None:
    instance = Instance.parse(random_graph(9, 12))
    loads = Loads(utilisation={"mec": 0.8}, dead=frozenset({"peer"}))
    plan = schedule(instance, loads=loads)
    ways = explain(instance, plan, "t3", loads)
    assert {way.node for way in ways} == {"gateway", "peer", "mec", "cloud"}
    mine = next(way for way in ways if way.chosen)
    assert mine.node == plan.node_of("t3")
    assert mine.searched == pytest.approx(plan.searched, abs=1e-12)
    assert not next(way for way in ways if way.node == "peer").possible
    assert ways == tuple(sorted(ways, key=lambda way: way.searched))
    with pytest.raises(BadInstance):
        explain(instance, plan, "t99", loads)
