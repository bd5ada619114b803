"""When a machine takes no more tasks, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.taskgraph.executor import Refusal, Refused
from edge_agent.tasks.admission import Ceilings, Machine, check_job, check_task

IDLE = Machine(cpu_percent=10.0, memory_percent=40.0)
MIB = 1 << 20


def test_an_idle_machine_takes_both() -> None:
    check_job(0, IDLE, Ceilings())
    check_task(100 * MIB, 160 * MIB, IDLE, Ceilings())


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        (replace(IDLE, cpu_percent=99.0), Refusal.CPU),
        (replace(IDLE, memory_percent=95.0), Refusal.MEMORY),
        (replace(IDLE, queued=64), Refusal.QUEUE),
        (replace(IDLE, slots=0), Refusal.OFF),
        (replace(IDLE, stopping=True), Refusal.STOPPING),
    ],
)
def test_an_overloaded_machine_refuses_others_tasks_with_its_reason(
    machine: Machine, reason: Refusal
) -> None:
    with pytest.raises(Refused) as caught:
        check_task(100 * MIB, 160 * MIB, machine, Ceilings())
    assert caught.value.reason is reason
    assert reason.value in str(caught.value)


def test_a_task_that_may_take_more_than_is_ever_allowed_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        check_task(161 * MIB, 160 * MIB, IDLE, Ceilings())
    assert caught.value.reason is Refusal.LIMITS


def test_what_is_not_measured_keeps_nobody_out() -> None:
    check_task(MIB, MIB, Machine(), Ceilings())


@pytest.mark.parametrize(
    ("machine", "size", "reason"),
    [
        (replace(IDLE, live_jobs=64), 0, Refusal.QUEUE),
        (replace(IDLE, store_free_bytes=10), 11, Refusal.DISK),
        (replace(IDLE, stopping=True), 0, Refusal.STOPPING),
    ],
)
def test_a_job_is_refused_only_where_waiting_does_not_help(
    machine: Machine, size: int, reason: Refusal
) -> None:
    check_job(0, replace(IDLE, cpu_percent=100.0), Ceilings())
    with pytest.raises(Refused) as caught:
        check_job(size, machine, Ceilings())
    assert caught.value.reason is reason
