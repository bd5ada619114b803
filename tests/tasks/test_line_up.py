"""How long machines are taken: by this gateway's other jobs, and by tasks of others."""

from __future__ import annotations

import json
from dataclasses import replace

from common.kinds import catalogue
from common.taskgraph.checks import check
from common.taskgraph.executor import Load
from common.taskgraph.graph import parse
from edge_agent.tasks import line_up
from edge_agent.tasks.job import Job
from edge_agent.tasks.job_store import JobRow, JobState
from edge_agent.tasks.planning import Plan, Planned
from edge_agent.tasks.progress import Progress
from tests.tasks.running import measured


def job(name: str, **machines: str) -> Job:
    """Live, each of its tasks planned for a second on its machine."""
    graph = parse(json.dumps({"name": name, "tasks": [measured(task) for task in machines]}))
    row = JobRow(f"gw-1-{name}", name, JobState.LIVE, 0.0, None, 4, tasks=len(machines))
    made = Job(row, Progress(graph, check(graph, catalogue.find)), begun=0.0)
    tasks = {task: Planned(machine, 0.0, 1.0, 0) for task, machine in machines.items()}
    made.plan = Plan(tasks, 1.0, 1.0, 1.0, "test", 0.0)
    return made


def test_what_other_jobs_still_have_to_do_is_ahead() -> None:
    own, other = job("own", a="mec"), job("other", a="mec", b="mec", c="gw-1")
    other.progress.start("a", "mec", 10.0)
    ahead = line_up.ahead_of(own, [own, other], 10.5)
    assert ahead == {"mec": ([0.5], [1.0]), "gw-1": ([], [1.0])}


def test_waiting_tasks_of_a_less_urgent_job_are_not_ahead_but_its_runs_are() -> None:
    own, other = job("own", a="mec"), job("other", a="mec", b="mec")
    own.row, other.row = replace(own.row, deadline=5.0), replace(other.row, deadline=9.0)
    other.progress.start("a", "mec", 10.0)
    assert line_up.ahead_of(own, [own, other], 10.5) == {"mec": ([0.5], [])}
    assert line_up.ahead_of(other, [own, other], 10.5) == {"mec": ([], [1.0])}


def test_a_run_that_takes_longer_than_expected_still_takes_a_while() -> None:
    own, other = job("own", a="mec"), job("other", a="mec")
    other.progress.start("a", "mec", 10.0)
    assert line_up.ahead_of(own, [own, other], 99.0) == {"mec": ([line_up.LEAST_LEFT], [])}


def test_tasks_of_others_take_what_tasks_there_usually_take() -> None:
    load = Load(2, busy=2, queued=1)
    assert line_up.busy_s(load, ([], []), 0, 4.0) == [2.0, 6.0]
    assert line_up.busy_s(load, ([0.5], []), 1, 4.0) == [2.0, 4.5]


def test_own_tasks_are_not_counted_twice() -> None:
    assert line_up.busy_s(Load(1, busy=1), ([0.5], [1.0]), 1, 4.0) == [1.5]
    assert line_up.busy_s(Load(1, busy=0), ([], []), 0, 4.0) == [0.0]


def test_a_machine_without_slots_has_no_line() -> None:
    assert line_up.busy_s(Load(0, busy=3), ([1.0], [1.0]), 0, 4.0) == []


def test_an_idle_slot_is_free_once_its_worker_is_there() -> None:
    assert line_up.busy_s(Load(1, start_s=0.3), ([], [1.0]), 0, 4.0) == [1.3]
