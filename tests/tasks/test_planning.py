"""Plans: what tasks cost where, and where they go because of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from common.kinds import catalogue
from common.placement import Unplaceable
from common.taskgraph.checks import check
from common.taskgraph.executor import Load, Tier
from common.taskgraph.graph import parse
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.planning import alternatives, best_times, plan, unplanned
from edge_agent.tasks.problem import Machine, Work, work_of
from tests.tasks.running import measured

HOME = Machine("gw-1", Tier.LOCAL, Load(1))
PEER = Machine("gw-2", Tier.PEER, Load(1, up_bps=5e7, down_bps=5e7, latency_s=0.003))
MEC = Machine("mec", Tier.MEC, Load(2, speed={"": 0.2}, up_bps=5e7, down_bps=5e7, latency_s=0.004))
ROUNDS = 3_000_000
"""About a second."""


def work(*tasks: dict[str, Any], barred: dict[str, frozenset[str]] | None = None, **more: Any) -> Work:
    graph = parse(json.dumps({"name": "test", "tasks": list(tasks), **more}))
    order = check(graph, catalogue.find)
    return work_of(graph, order, catalogue.find, lambda digest: 1 << 20, {}, barred or {}, graph.deadline_s)


def test_work_goes_to_whoever_is_faster() -> None:
    found = plan(work(*(measured(f"t{n}", rounds=ROUNDS) for n in range(6))), [HOME, PEER, MEC], Costs())
    places = [one.machine for one in found.tasks.values()]
    assert places.count("mec") >= 4
    assert found.cost < 0.6


def test_data_stay_where_the_way_costs_more_than_the_work() -> None:
    slow = replace(MEC, load=replace(MEC.load, up_bps=1e5, down_bps=1e5))
    packing = {"id": "a", "kind": "compress", "inputs": {"data": {"blob": "ab" * 32}}}
    assert plan(work(packing), [HOME, slow], Costs()).tasks["a"].machine == "gw-1"
    near = replace(MEC, load=replace(MEC.load, up_bps=1e9, down_bps=1e9))
    assert plan(work(packing), [HOME, near], Costs()).tasks["a"].machine == "mec"


def test_tasks_run_where_they_may_only() -> None:
    local, anywhere = measured("a", rounds=ROUNDS, local=True), measured("b", "a", rounds=ROUNDS)
    found = plan(work(local, anywhere), [HOME, MEC], Costs())
    assert (found.tasks["a"].machine, found.tasks["b"].machine) == ("gw-1", "mec")
    there = plan(work(anywhere | {"after": []}, tiers=["peer"]), [HOME, PEER, MEC], Costs())
    assert there.tasks["b"].machine == "gw-2"
    elsewhere = work(anywhere | {"after": []}, barred={"b": frozenset({"mec", "gw-1"})})
    assert plan(elsewhere, [HOME, PEER, MEC], Costs()).tasks["b"].machine == "gw-2"
    with pytest.raises(Unplaceable):
        plan(work(anywhere | {"after": []}, tiers=["cloud"]), [HOME, MEC], Costs())


def test_a_task_that_needs_more_memory_than_a_machine_gives_goes_elsewhere() -> None:
    small = replace(MEC, load=replace(MEC.load, memory_bytes=128 << 20))
    wide = measured("a", rounds=ROUNDS, limits={"memory_mib": 512})
    assert plan(work(wide), [HOME, small], Costs()).tasks["a"].machine == "gw-1"


def test_what_was_learned_changes_where_tasks_go() -> None:
    costs = Costs()
    for _ in range(30):
        costs.learn("measure", "mec", catalogue.find("measure").cost({"rounds": ROUNDS}, {}), 60.0)
        costs.learn("measure", "gw-1", catalogue.find("measure").cost({"rounds": ROUNDS}, {}), 0.9)
    found = plan(work(measured("a", rounds=ROUNDS)), [HOME, MEC], costs)
    assert found.tasks["a"].machine == "gw-1"


def test_every_task_is_planned_after_what_it_waits_for_whatever_its_name() -> None:
    names = ["sink", "source", "b", "c"]
    tasks = [measured(name, *names[:at][-1:], rounds=ROUNDS) for at, name in enumerate(names)]
    found = plan(work(*tasks), [HOME, PEER, MEC], Costs())
    ends = [found.tasks[name] for name in names]
    assert all(one.finish_s <= other.start_s + 1e-9 for one, other in zip(ends, ends[1:], strict=False))


def test_the_chosen_place_is_explained_beside_the_others() -> None:
    found = plan(work(measured("a", rounds=ROUNDS), tiers=["local", "mec"]), [HOME, PEER, MEC], Costs())
    rows = {row["machine"]: row for row in alternatives(found, "a")}
    assert [name for name, row in rows.items() if row.get("chosen")] == ["mec"]
    assert not rows["gw-2"]["possible"]
    assert rows["mec"]["cost"] < rows["gw-1"]["cost"]
    assert rows["mec"]["finish_s"] == pytest.approx(found.finish_s, rel=0.01)
    assert alternatives(found, "no such task") == []


def test_the_best_times_are_those_of_the_best_machine_with_good_luck() -> None:
    found = work(measured("a", rounds=ROUNDS), measured("b", rounds=ROUNDS, local=True))
    times = best_times(found, [HOME, MEC], Costs())
    assert times["a"] < times["b"] < 0.9


def test_a_graph_that_cannot_be_planned_runs_here_in_its_order() -> None:
    found = unplanned(work(measured("a"), measured("b")), [HOME, MEC], "why")
    assert [(one.machine, one.rank) for one in found.tasks.values()] == [("gw-1", 0), ("gw-1", 1)]


def test_a_kind_that_needs_more_memory_than_a_machine_gives_goes_elsewhere_where_it_can() -> None:
    small = replace(MEC, load=replace(MEC.load, memory_bytes=128 << 20))
    wide = measured("a", rounds=ROUNDS) | {"parameters": {"rounds": ROUNDS, "memory_mib": 512}}
    assert plan(work(wide), [HOME, small], Costs()).tasks["a"].machine == "gw-1"
    # Where all allow less, the hint may be wrong.
    assert plan(work(wide, tiers=["mec"]), [HOME, small], Costs()).tasks["a"].machine == "mec"


def test_what_waits_in_line_is_in_the_foretold_end() -> None:
    idle = plan(work(measured("a", rounds=ROUNDS), tiers=["mec"]), [HOME, MEC], Costs())
    taken = replace(MEC, busy_s=[7.0, 5.0])
    queued = plan(work(measured("a", rounds=ROUNDS), tiers=["mec"]), [HOME, taken], Costs())
    assert queued.finish_s == pytest.approx(idle.finish_s + 5.0, abs=0.05)


def test_without_a_search_tasks_go_one_after_the_other_to_where_they_end_first() -> None:
    tasks = [measured(f"t{n}", rounds=ROUNDS) for n in range(6)]
    listed = plan(work(*tasks), [HOME, PEER, MEC], Costs(), search=False)
    searched = plan(work(*tasks), [HOME, PEER, MEC], Costs())
    assert listed.method.startswith("static")
    assert searched.cost <= listed.cost
