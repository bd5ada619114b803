"""Jobs as they are told to the command line: plain values. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from common.taskgraph.graph import TaskGraph, parse
from common.taskgraph.wire import TaskResult
from edge_agent.tasks import planning
from edge_agent.tasks.job import Job
from edge_agent.tasks.job_store import JobRow, JobState
from edge_agent.tasks.plan_record import PlanRecord
from edge_agent.tasks.planning import Plan
from edge_agent.tasks.progress import Standing, TaskState

Fields = dict[str, Any]


def job(row: JobRow, held: Job | None, done: int = 0) -> Fields:
    """One line of the list. `counts` are tasks by state; `done` says how many were, of a job that is over."""
    told: Fields = {
        "job": row.id,
        "name": row.name,
        "state": row.state.value,
        "priority": row.priority,
        "submitted": row.submitted,
        "deadline": row.deadline,
        "late": row.late,
        "ended": row.ended,
        "reason": row.reason,
        "tasks": row.tasks,
        "promised_s": row.promised_s,
        "counts": {TaskState.DONE.value: row.tasks if row.state is JobState.DONE else done},
        "changes": 0,
    }
    if held is None:
        return told
    running = held.progress.running()
    return told | {
        "late": held.row.late,
        "promised_s": held.promised_s,
        "counts": held.progress.counts(),
        "changes": held.changes,
        "waits_for": held.waits_for,
        "running": dict(Counter(one.machine for one in running)),
        "troubles": [one.trouble for one in held.progress.standings.values() if one.trouble][:8],
    }


def whole(
    row: JobRow,
    held: Job | None,
    document: bytes,
    results: Mapping[str, TaskResult],
    has: Callable[[str], bool],
) -> Fields:
    """A job with its tasks, what they took, and their outputs. `results` names the tasks whose outputs
    nobody takes: the job's own."""
    graph = parse(document)
    standings = held.progress.standings if held is not None else {}
    rows = [
        _failed(row, graph_task.id) | _task(graph_task.id, graph_task.kind, standings, results, has)
        for graph_task in graph.tasks
    ]
    done = results.values()
    machines = Counter(result.machine for result in done)
    return job(row, held) | {
        "service": graph.service,
        "task_rows": rows,
        "results": _terminal(graph),
        "machines": dict(machines),
        "cpu_s": sum(result.cpu_s for result in done),
        "energy_j": sum(result.energy_j for result in done),
        "energy_is": "modelled from measured CPU seconds",
    }


def plan(row: JobRow, held: Job | None, plans: PlanRecord, results: Mapping[str, TaskResult]) -> Fields:
    """Why a job is where it is: its plan now, beside the first one and what has come true."""
    first = plans.first
    now = plans.last or first
    told: Fields = job(row, held) | {"planned": now is not None}
    if now is None:
        return told
    return told | {
        "method": now.method,
        "cost": now.cost,
        "energy_j": now.energy_j,
        "finish_s": now.finish_s,
        "first_finish_s": first.finish_s if first else None,
        "first_at_s": plans.first_at_s,
        "machines": dict(Counter(one.machine for one in now.tasks.values())),
        "task_rows": [
            {
                "task": name,
                "machine": one.machine,
                "start_s": one.start_s,
                "finish_s": one.finish_s,
                "ran_on": results[name].machine if name in results else None,
                "ran_s": plans.ran.get(name),
                "first": _first(first, name),
            }
            for name, one in sorted(now.tasks.items(), key=lambda item: item[1].rank)
        ],
    }


def why(row: JobRow, plans: PlanRecord, task: str, results: Mapping[str, TaskResult]) -> Fields:
    """What each machine for a task would cost, by the last plan that had it."""
    for one in (plans.last, plans.first):
        if one is not None and (rows := planning.alternatives(one, task)):
            ran = results[task].machine if task in results else None
            return {"job": row.id, "task": task, "alternatives": rows, "ran_on": ran}
    return {"job": row.id, "task": task, "alternatives": [], "ran_on": None}


def _first(first: Plan | None, task: str) -> list[Any] | None:
    """Where and when the first plan had a task, in seconds from that plan on."""
    if first is None or task not in first.tasks:
        return None
    one = first.tasks[task]
    return [one.machine, one.start_s, one.finish_s]


def _failed(row: JobRow, task: str) -> Fields:
    """What is kept of a task once its job is over: of the one that failed where it did, else nothing."""
    told = row.reason.partition(f"task {task} failed on ")
    if told[0] or not told[1]:
        return {"state": "not-run"}
    return {"state": TaskState.FAILED.value, "machine": told[2].partition(":")[0], "trouble": row.reason}


def _task(
    name: str,
    kind: str,
    standings: Mapping[str, Standing],
    results: Mapping[str, TaskResult],
    has: Callable[[str], bool],
) -> Fields:
    standing, result = standings.get(name), results.get(name)
    told: Fields = {"task": name, "kind": kind}
    if standing is not None:
        told |= {"state": standing.state.value, "machine": standing.machine, "attempt": standing.attempt}
        told |= {"trouble": standing.trouble} if standing.trouble else {}
    elif result is not None:
        told["state"] = TaskState.DONE.value
    if result is not None:
        told |= {
            "machine": result.machine,
            "attempt": result.attempt,
            "cpu_s": result.cpu_s,
            "wall_s": result.wall_s,
            "energy_j": result.energy_j,
            "outputs": {
                key: {"digest": digest, "here": has(digest)} for key, digest in result.outputs.items()
            },
        }
    return told


def _terminal(graph: TaskGraph) -> list[str]:
    taken = {source.task for task in graph.tasks for source in task.inputs.values()}
    return [task.id for task in graph.tasks if task.id not in taken]
