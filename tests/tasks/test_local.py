"""This machine as an executor: the contract, and tasks that misbehave in every way that came to mind."""

from __future__ import annotations

import array
import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.kinds import process_tree
from common.models.link_forecast import INPUTS, OUTPUTS
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.wire import FailureReason, TaskLimits, TaskRequest, TaskResult
from edge_agent.config import TasksSection
from edge_agent.tasks.local import Allowance, LocalExecutor
from tests.models.bundles import persistence
from tests.tasks.executor_contract import LIMITS, Bench, ExecutorContract, measurement

HOG_LIMITS = TaskLimits(memory_bytes=256 << 20, cpu_s=2.0, wall_s=30.0, output_bytes=1 << 20)
ENTRY_POINTS = "[meshtwin.tasks]\nhog = tests.tasks.hogs.kinds:HOG\nbroken = tests.no_such_module:KIND\n"


@pytest.fixture
def hogs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind `hog`, as an installed package brings it."""
    information = tmp_path / "packages" / "hogs-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: hogs\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    path = [str(tmp_path / "packages"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("AGENT_SECRET", "of the agent's")


@pytest.fixture
async def bench(tmp_path: Path, hogs: None) -> AsyncIterator[Bench]:
    store = BlobStore(tmp_path / "blobs", 64 << 20)
    allowance = Allowance(slots=2, limits=LIMITS)
    executor = LocalExecutor("gw-1", store, tmp_path / "work", allowance, SystemClock())
    yield Bench(executor, store)
    await executor.close()
    assert children() == []


def children() -> list[int]:
    """The workers of this process and what they have started, but not other tests' children."""
    below = process_tree.tree(os.getpid())[1:]
    workers = list(filter(is_worker, below))
    return list(dict.fromkeys(pid for worker in workers for pid in process_tree.tree(worker)))


def is_worker(pid: int) -> bool:
    try:
        return b"common.kinds.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def hog(how: str, limits: TaskLimits = HOG_LIMITS) -> TaskRequest:
    return TaskRequest(
        job="gw-hogs", task=how, attempt=1, kind="hog", parameters={"how": how}, inputs={}, limits=limits
    )


async def fate(bench: Bench, how: str, limits: TaskLimits = HOG_LIMITS) -> FailureReason | None:
    """Why the hog failed; and then, that the executor is as well as before."""
    result = await bench.executor.run(hog(how, limits))
    after = await bench.executor.run(measurement(bench, rounds=10, task="after"))
    assert after.failure is None
    return result.failure.why if result.failure else None


class TestLocalExecutor(ExecutorContract):
    """The contract."""


@pytest.mark.parametrize("how", ["allocate", "reserve", "share_memory", "allocate_in_children"])
async def test_a_task_that_wants_too_much_memory_is_ended(bench: Bench, how: str) -> None:
    assert await fate(bench, how) is FailureReason.MEMORY


async def test_a_fork_bomb_is_ended_with_all_its_processes(bench: Bench) -> None:
    limits = HOG_LIMITS.model_copy({"cpu_s": 60.0})
    assert await fate(bench, "fork_bomb", limits) is FailureReason.PROCESSES


@pytest.mark.parametrize("how", ["escape", "start_program"])
async def test_what_a_task_leaves_behind_is_ended(bench: Bench, how: str) -> None:
    assert await fate(bench, how) is None
    assert len(children()) == 1  # The warm worker.


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("spin", FailureReason.CPU_TIME),
        ("leave", FailureReason.EXITED),
        ("leave_politely", FailureReason.EXITED),
        ("crash", FailureReason.CRASHED),
        ("garble", FailureReason.GARBAGE),
        ("fill_disk", FailureReason.OUTPUT_SIZE),
        ("raise_error", FailureReason.BUG),
        ("print_much", None),
        ("look_around", None),
    ],
)
async def test_each_misbehaviour_has_its_name(bench: Bench, how: str, reason: FailureReason | None) -> None:
    limits = HOG_LIMITS.model_copy({"cpu_s": 10.0 if how == "print_much" else 0.5})
    result = await bench.executor.run(hog(how, limits))
    assert (result.failure and result.failure.why) == reason, result
    after = await bench.executor.run(measurement(bench, rounds=10, task="after"))
    assert after.failure is None


async def test_a_task_that_never_ends_is_ended_when_its_time_is_over(bench: Bench) -> None:
    limits = HOG_LIMITS.model_copy({"wall_s": 0.5})
    assert await fate(bench, "sleep", limits) is FailureReason.WALL_TIME


async def test_inference_fits_into_what_a_gateway_allows(bench: Bench) -> None:
    rows = array.array("f", [0.5] * (500 * INPUTS)).tobytes()
    inputs = {"model": bench.store.put(persistence().content), "data": bench.store.put(rows)}
    limits = HOG_LIMITS.model_copy({"memory_bytes": TasksSection().memory_mib << 20, "cpu_s": 20.0})
    request = hog("infer", limits).model_copy({"kind": "infer", "parameters": {}, "inputs": inputs})
    result = await bench.executor.run(request)
    assert result.failure is None
    assert len(bench.store.get(result.outputs["outputs"])) == 4 * 500 * OUTPUTS


async def test_a_worker_is_kept_for_the_next_task(bench: Bench) -> None:
    await bench.executor.run(measurement(bench, rounds=10))
    first = children()
    await bench.executor.run(measurement(bench, rounds=10, task="second"))
    assert children() == first


async def test_tasks_run_side_by_side_up_to_the_slots(bench: Bench) -> None:
    tasks = [
        asyncio.ensure_future(bench.executor.run(measurement(bench, rounds=50_000, task=f"t{n}")))
        for n in range(5)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    load = bench.executor.load()
    assert (load.busy, load.queued) == (2, 3)
    results: list[TaskResult] = await asyncio.gather(*tasks)
    assert all(result.failure is None for result in results)
    assert len(children()) == 2
