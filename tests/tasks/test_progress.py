"""What follows from what comes in: pure decisions about one job."""

from __future__ import annotations

import json
from typing import Any

from common.kinds import catalogue
from common.taskgraph.checks import check
from common.taskgraph.graph import parse
from common.taskgraph.wire import Failure, FailureReason, TaskResult
from edge_agent.tasks.progress import MAX_FAILURES, MAX_LOSSES, NO_ROOM_S, Progress, TaskState, barred

DIGEST = "ab" * 32


def progress(*tasks: dict[str, Any], first: int = 1) -> Progress:
    graph = parse(json.dumps({"name": "test", "tasks": list(tasks)}))
    return Progress(graph, check(graph, catalogue.find), first)


def chain(first: int = 1) -> Progress:
    """a → b → c by their outputs, and d after a."""
    return progress(
        {"id": "a", "kind": "measure"},
        {"id": "b", "kind": "compress", "inputs": {"data": {"task": "a"}}},
        {"id": "c", "kind": "compress", "inputs": {"data": {"task": "b", "output": "packed"}}},
        {"id": "d", "kind": "measure", "after": ["a"]},
        first=first,
    )


def outcome(task: str, attempt: int, reason: FailureReason | None = None) -> TaskResult:
    outputs = {"report": DIGEST} if task in "ad" else {"packed": DIGEST, "summary": DIGEST}
    failure = None if reason is None else Failure(reason=reason.value, text="so it was")
    return TaskResult(
        job="gw-1-a",
        task=task,
        attempt=attempt,
        machine="m",
        outputs={} if failure else outputs,
        failure=failure,
    )


def test_tasks_become_ready_when_what_they_need_is_there() -> None:
    job = chain()
    assert job.ready() == ["a"]
    attempt = job.start("a", "m", 0.0)
    assert job.ready() == []
    assert job.take(outcome("a", attempt), 1.0)
    assert job.ready() == ["b", "d"]
    assert job.inputs("b", catalogue.find) == {"data": DIGEST}
    assert set(job.terminal()) == {"c", "d"}


def test_a_job_is_finished_when_every_task_is_done() -> None:
    job = chain()
    for name in "abcd":
        assert not job.finished
        job.take(outcome(name, job.start(name, "m", 0.0)), 1.0)
    assert job.finished


def test_a_result_of_an_attempt_that_was_given_up_is_not_taken() -> None:
    job = chain()
    first = job.start("a", "m", 0.0)
    job.lost("a", first, "gone", until=9.0)
    second = job.start("a", "other", 1.0)
    assert not job.take(outcome("a", first), 2.0)
    assert job.take(outcome("a", second), 3.0)
    assert not job.take(outcome("a", second), 3.0)


def test_a_lost_machine_costs_a_rerun_elsewhere_and_is_avoided_for_a_time() -> None:
    job = chain()
    job.lost("a", job.start("a", "m", 0.0), "gone", until=9.0)
    assert job.ready() == ["a"]
    assert barred(job.standings["a"], "m", 8.0)
    assert not barred(job.standings["a"], "m", 10.0)
    assert not job.failure


def test_even_losses_have_an_end() -> None:
    job = chain()
    for _ in range(MAX_LOSSES):
        job.lost("a", job.start("a", "m", 0.0), "gone", until=0.0)
    assert "lost" in job.failure


def test_a_failure_that_another_try_may_not_meet_is_tried_again_so_often() -> None:
    job = chain()
    for _ in range(MAX_FAILURES):
        assert not job.failure
        job.take(outcome("a", job.start("a", "m", 0.0), FailureReason.CRASHED), 1.0)
    assert "task a failed on m: crashed: so it was" in job.failure
    assert job.standings["a"].state is TaskState.FAILED


def test_a_refused_input_fails_the_job_at_once() -> None:
    job = chain()
    job.take(outcome("a", job.start("a", "m", 0.0), FailureReason.INPUT), 1.0)
    assert "input" in job.failure
    assert job.ready() == []


def test_outputs_that_are_lost_are_made_again_before_they_are_used() -> None:
    job = chain()
    job.take(outcome("a", job.start("a", "m", 0.0)), 1.0)
    attempt = job.start("b", "m", 1.0)
    job.outputs_gone(["a"])
    job.refused("b", attempt, "its input is gone", 0.0)
    assert job.ready() == ["a"]
    assert job.standings["b"].state is TaskState.WAITING
    job.take(outcome("a", job.start("a", "m", 2.0)), 3.0)
    assert set(job.ready()) == {"b", "d"}


def test_lost_outputs_of_a_task_whose_followers_are_done_do_not_repeat_those() -> None:
    job = chain()
    for name in "abcd":
        job.take(outcome(name, job.start(name, "m", 0.0)), 1.0)
    job.outputs_gone(["b"])
    assert job.ready() == ["b"]
    job.take(outcome("b", job.start("b", "m", 2.0)), 3.0)
    assert job.finished
    assert job.ready() == []


def test_a_new_life_takes_over_results_and_counts_attempts_from_its_own_number() -> None:
    job = chain(first=1001)
    job.restore(outcome("a", 1))
    job.restore(outcome("a", 1))
    assert set(job.ready()) == {"b", "d"}
    assert job.start("b", "m", 0.0) == 1001
    assert job.counts() == {"waiting": 1, "ready": 1, "running": 1, "done": 1, "failed": 0}


def test_no_room_for_long_is_the_end_of_a_job_by_name() -> None:
    job = chain()
    for now in (0.0, NO_ROOM_S / 2, NO_ROOM_S - 1.0):
        job.no_room("a", job.start("a", "m", now), "the store is full", now, now)
        assert not job.failure
    assert job.ready() == ["a"]
    job.no_room("a", job.start("a", "m", NO_ROOM_S), "the store is full", NO_ROOM_S, NO_ROOM_S)
    assert "task a failed on m: disk: the store is full" in job.failure


def test_a_run_in_between_ends_the_want_of_room() -> None:
    job = chain()
    job.no_room("a", job.start("a", "m", 0.0), "the store is full", 0.0, 0.0)
    job.take(outcome("a", job.start("a", "m", 1.0), FailureReason.CRASHED), 1.0)
    job.no_room("a", job.start("a", "m", 900.0), "the store is full", 900.0, 900.0)
    assert not job.failure
