"""A solver that proves what is best agrees: nothing is better than its optimum, and the search reaches it."""

from __future__ import annotations

from typing import Any

import pytest

from common.placement import Budget, Instance, schedule
from tests.placement.graphs import random_graph

cp_model = pytest.importorskip("ortools.sat.python.cp_model")

SCALE = 10**7


@pytest.mark.parametrize("seed", range(6))
def test_a_solver_s_optimum_is_reached_and_not_beaten(seed: int) -> None:
    document = random_graph(seed, 5)
    best = _optimum(document)
    plan = schedule(Instance.parse(document), budget=Budget(evaluations=5_000))
    # The solver rounds each price to whole parts of SCALE.
    assert plan.cost >= best - 1e-4
    assert plan.cost <= best * 1.005 + 1e-4


def _optimum(document: dict[str, Any]) -> float:
    """J of the best schedule, by constraint programming."""
    model = cp_model.CpModel()
    tasks, nodes = document["tasks"], range(len(document["nodes"]))
    w, local = document["weight"], document["all_local"]
    joule = (1 - w) / local["energy_j"] * SCALE
    end = int(3 * local["time_ms"]) + 10_000
    on = [[model.new_bool_var("") for _ in nodes] for _ in tasks]
    begin = [model.new_int_var(0, end, "") for _ in tasks]
    done = [model.new_int_var(0, end, "") for _ in tasks]
    spans: list[list[Any]] = [[] for _ in nodes]
    price: list[Any] = []
    for i, task in enumerate(tasks):
        model.add_exactly_one(on[i])
        for j in nodes:
            if task["pinned"] not in (None, document["nodes"][j]["id"]):
                model.add(on[i][j] == 0)
            spans[j].append(
                model.new_optional_interval_var(begin[i], int(task["duration_ms"][j]), done[i], on[i][j], "")
            )
            price.append(on[i][j] * round(task["energy_j"][j] * joule))
    for j, node in enumerate(document["nodes"]):
        if node["slots"]:
            model.add_cumulative(spans[j], [1] * len(tasks), node["slots"])
    price += _send(model, document, on, begin, done, end, joule)
    sink = [task["id"] for task in tasks].index("sink")
    model.minimize(sum(price) + done[sink] * round(w / local["time_ms"] * SCALE))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_time_in_seconds = 60.0
    assert solver.solve(model) == cp_model.OPTIMAL
    return float(solver.objective_value) / SCALE


def _send(
    model: Any, document: dict[str, Any], on: Any, begin: Any, done: Any, end: int, joule: float
) -> list[Any]:
    """Every edge between two nodes has its channel alone for a while; what they cost."""
    price, busy, nodes = [], dict[str, list[Any]](), range(len(document["nodes"]))
    for edge in document["edges"]:
        u, v = edge["from"], edge["to"]
        sent = model.new_int_var(0, end, "")
        model.add(begin[v] >= done[u])
        model.add(sent >= done[u])
        for a in nodes:
            for b in nodes:
                if a == b:
                    continue
                both = model.new_bool_var("")
                model.add_bool_or([on[u][a].negated(), on[v][b].negated(), both])
                model.add_implication(both, on[u][a])
                model.add_implication(both, on[v][b])
                channel = document["channel"][a][b]
                length = int(edge["transfer_ms"][channel])
                late = length + int(document["latency_ms"][a][b])
                model.add(begin[v] >= sent + late).only_enforce_if(both)
                price.append(both * round(edge["bits"] * document["energy_j_per_bit"][a][b] * joule))
                if channel != "backbone" and length > 0:
                    span = model.new_optional_fixed_size_interval_var(sent, length, both, "")
                    busy.setdefault(channel, []).append(span)
    for channel_spans in busy.values():
        model.add_no_overlap(channel_spans)
    return price
