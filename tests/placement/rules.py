"""The rules of a task instance, checked on a schedule without any of the code that made it."""

from __future__ import annotations

from typing import Any

EPS = 1e-6


def judged(document: dict[str, Any], plan: dict[str, Any]) -> float:
    """J of a feasible schedule; a broken rule fails the test."""
    names = [node["id"] for node in document["nodes"]]
    rows = {row["id"]: row for row in plan["tasks"]}
    assert sorted(rows) == sorted(task["id"] for task in document["tasks"])
    assert len(rows) == len(plan["tasks"])
    at = [names.index(rows[task["id"]]["node"]) for task in document["tasks"]]
    spent = 0.0
    for i, task in enumerate(document["tasks"]):
        row = rows[task["id"]]
        assert task["pinned"] in (None, row["node"])
        assert row["start_ms"] >= -EPS
        assert abs(row["finish_ms"] - row["start_ms"] - task["duration_ms"][at[i]]) < EPS
        spent += task["energy_j"][at[i]]
    for j, node in enumerate(document["nodes"]):
        spans = [rows[task["id"]] for i, task in enumerate(document["tasks"]) if at[i] == j]
        _check_slots([(row["start_ms"], row["finish_ms"]) for row in spans], node["slots"])
    spent += _check_edges(document, rows, at, plan)
    local, w = document["all_local"], document["weight"]
    return float(w * rows["sink"]["finish_ms"] / local["time_ms"] + (1 - w) * spent / local["energy_j"])


def _check_slots(spans: list[tuple[float, float]], slots: int | None) -> None:
    running = 0
    steps = [step for a, b in spans if b - a > EPS for step in ((a + EPS, 1), (b, -1))]
    for _, step in sorted(steps):
        running += step
        assert slots is None or running <= slots


def _check_edges(
    document: dict[str, Any], rows: dict[str, Any], at: list[int], plan: dict[str, Any]
) -> float:
    sent = {(row["from"], row["to"]): row["start_ms"] for row in plan["transfers"]}
    spent, busy = 0.0, dict[str, list[tuple[float, float]]]()
    for edge in document["edges"]:
        a, b = at[edge["from"]], at[edge["to"]]
        source, target = document["tasks"][edge["from"]]["id"], document["tasks"][edge["to"]]["id"]
        there = rows[source]["finish_ms"]
        if a != b:
            channel, begin = document["channel"][a][b], sent[source, target]
            length = edge["transfer_ms"][channel]
            assert begin >= there - EPS
            there = begin + length + document["latency_ms"][a][b]
            if channel != "backbone" and length > 0:
                busy.setdefault(channel, []).append((begin, begin + length))
            spent += edge["bits"] * document["energy_j_per_bit"][a][b]
        assert there <= rows[target]["start_ms"] + EPS
    for spans in busy.values():
        spans.sort()
        assert all(x[1] <= y[0] + EPS for x, y in zip(spans, spans[1:], strict=False))
    return spent
