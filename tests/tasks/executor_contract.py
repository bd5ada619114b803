"""What every executor of tasks owes, run against each: subclass `ExecutorContract` and give it a `bench`.

Uses built-in kinds only, as the machine at the other end may be another process.
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass

import pytest

from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Executor, Refusal, Refused
from common.taskgraph.wire import FailureReason, TaskLimits, TaskRequest

LIMITS = TaskLimits(memory_bytes=512 << 20, cpu_s=20.0, wall_s=60.0, output_bytes=8 << 20)
LONG_ROUNDS = 2_000_000
"""Of kind `measure`: tens of seconds, on any machine."""


@dataclass(frozen=True)
class Bench:
    """An executor that is ready, and the store of whoever asks it."""

    executor: Executor
    store: BlobStore


class ExecutorContract:
    """Subclasses define the fixture `bench`."""

    async def test_outputs_are_in_the_store_when_a_run_returns(self, bench: Bench) -> None:
        text = b"12:00 lamp 7 on\n" * 500
        result = await bench.executor.run(compression(bench, text))
        assert result.failure is None
        assert (result.job, result.task, result.attempt) == ("gw-contract", "pack", 1)
        assert zlib.decompress(bench.store.get(result.outputs["packed"])) == text
        assert result.output_bytes == sum(len(bench.store.get(d)) for d in result.outputs.values())
        assert result.machine == bench.executor.name

    async def test_cpu_and_wall_time_are_measured_and_energy_follows_from_them(self, bench: Bench) -> None:
        result = await bench.executor.run(measurement(bench, rounds=20_000))
        assert result.failure is None
        assert 0 < result.cpu_s < 30
        assert result.wall_s > 0
        assert result.energy_j > 0

    async def test_what_a_kind_refuses_is_a_result(self, bench: Bench) -> None:
        request = measurement(bench, rounds=-1)
        result = await bench.executor.run(request)
        assert result.failure is not None
        assert result.failure.why is FailureReason.INPUT
        assert result.outputs == {}

    async def test_an_unknown_kind_is_refused_or_a_failure(self, bench: Bench) -> None:
        request = measurement(bench, rounds=1).model_copy({"kind": "no-such-kind"})
        told: Refusal | FailureReason | None
        try:
            result = await bench.executor.run(request)
            told = result.failure.why if result.failure else None
        except Refused as error:
            told = error.reason
        assert told in (Refusal.KIND, FailureReason.KIND)

    async def test_an_input_that_is_nowhere_is_a_failure(self, bench: Bench) -> None:
        request = compression(bench, b"x").model_copy({"inputs": {"data": "0" * 64}})
        result = await bench.executor.run(request)
        assert result.failure is not None
        assert result.failure.why is FailureReason.MISSING_INPUT

    async def test_a_task_beyond_its_cpu_time_is_ended_and_the_next_one_runs(self, bench: Bench) -> None:
        limits = LIMITS.model_copy({"cpu_s": 0.3})
        hog = measurement(bench, rounds=LONG_ROUNDS, task="hog").model_copy({"limits": limits})
        result = await bench.executor.run(hog)
        assert result.failure is not None
        assert result.failure.why is FailureReason.CPU_TIME
        after = await bench.executor.run(measurement(bench, rounds=100, task="after"))
        assert after.failure is None

    async def test_a_cancelled_task_frees_its_slot(self, bench: Bench) -> None:
        running = asyncio.ensure_future(bench.executor.run(measurement(bench, LONG_ROUNDS, task="long")))
        for _ in range(2000):
            if bench.executor.load().busy:
                break
            await asyncio.sleep(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        result = await bench.executor.run(measurement(bench, rounds=100, task="next"))
        assert result.failure is None

    def test_its_load_is_plausible(self, bench: Bench) -> None:
        load = bench.executor.load()
        assert load.slots >= 1
        assert 0 <= load.busy <= load.slots
        assert load.watts > 0
        assert load.up_bps > 0
        assert load.down_bps > 0
        assert all(speed > 0 for speed in load.speed.values())


def compression(bench: Bench, text: bytes) -> TaskRequest:
    """Pack a text with zlib."""
    return _request("pack", "compress", {"method": "zlib"}, {"data": bench.store.put(text)})


def measurement(bench: Bench, rounds: int, task: str = "measure") -> TaskRequest:
    """Work for the processor, in proportion to `rounds`: ten thousand take a few milliseconds or more."""
    return _request(task, "measure", {"rounds": rounds}, {})


def _request(task: str, kind: str, parameters: dict[str, object], inputs: dict[str, str]) -> TaskRequest:
    return TaskRequest(
        job="gw-contract",
        task=task,
        attempt=1,
        kind=kind,
        parameters=parameters,
        inputs=inputs,
        limits=LIMITS,
    )
