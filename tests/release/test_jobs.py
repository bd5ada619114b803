"""Jobs in real processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.clock import SystemClock
from common.errors import Rejected, RejectReason
from common.files import write_file
from coordinator.release.jobs import Files, Job, Jobs, Work
from tests.coordinator.sender import wait_for

DEADLINE_S = 60.0


def double(number: int) -> int:
    return 2 * number


def refuse(_: int) -> int:
    # Errors with more than one argument do not survive pickling by themselves.
    raise Rejected(RejectReason.INVALID, "nothing to train on")


def break_down(_: int) -> int:
    raise ZeroDivisionError("a bug")


def vanish(_: int) -> int:
    os._exit(3)


def tell_and_hang(progress: Path) -> None:
    write_file(progress, json.dumps({"phase": "fitting", "step": 3, "steps": 9, "pid": os.getpid()}))
    time.sleep(DEADLINE_S)


def work(function: Callable[[Any], Any], request: Callable[[Files], Any] = lambda _: 21) -> Work:
    return Work("train", "model 1", function, request, lambda result: {"result": result})


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Jobs]:
    jobs = Jobs(folder, SystemClock())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(jobs.run())
        yield jobs
        task.cancel()


async def until(jobs: Jobs, job: Job, condition: Callable[[Job], bool]) -> Job:
    async with asyncio.timeout(DEADLINE_S):
        while not condition(found := jobs.get(job.id)):
            await SystemClock().sleep(0.02)
        return found


async def ended(jobs: Jobs, job: Job) -> Job:
    return await until(jobs, job, lambda found: found.state != "running")


async def test_a_job_runs_in_its_own_process_and_gives_its_result(tmp_path: Path) -> None:
    async with running(tmp_path / "jobs") as jobs:
        done = await ended(jobs, jobs.start(work(double)))
    assert (done.state, done.result, done.error) == ("done", {"result": 42}, "")
    assert done.ended is not None


@pytest.mark.parametrize(
    ("function", "told"),
    [(refuse, "invalid: nothing to train on"), (break_down, "ZeroDivisionError"), (vanish, "was killed")],
)
async def test_a_job_that_fails_says_why_and_the_next_one_runs(
    tmp_path: Path, function: Callable[[int], int], told: str
) -> None:
    async with running(tmp_path / "jobs") as jobs:
        failed = await ended(jobs, jobs.start(work(function)))
        assert failed.state == "failed"
        assert told in failed.error
        assert (await ended(jobs, jobs.start(work(double)))).state == "done"


async def test_one_job_at_a_time_shows_progress_and_ends_when_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path / "jobs") as jobs:
        job = jobs.start(work(tell_and_hang, lambda files: files.progress))
        shown = await until(jobs, job, lambda found: bool(found.progress))
        assert (shown.progress["phase"], shown.progress["step"]) == ("fitting", 3)
        with pytest.raises(Rejected, match="train of model 1 runs already.*models cancel train-1"):
            jobs.start(work(double))
        jobs.cancel(job.id)
        assert (await ended(jobs, job)).state == "cancelled"
        assert _is_gone(shown.progress["pid"])
        assert jobs.cancel(job.id).state == "cancelled"


async def test_a_coordinator_that_stops_ends_its_job(tmp_path: Path) -> None:
    async with running(tmp_path / "jobs") as jobs:
        job = jobs.start(work(tell_and_hang, lambda files: files.progress))
        shown = await until(jobs, job, lambda found: bool(found.progress))
    await asyncio.to_thread(wait_for, lambda: _is_gone(shown.progress["pid"]), "the end of its process")


async def test_an_unknown_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="'train-9' is not known"):
        Jobs(tmp_path, SystemClock()).get("train-9")


def test_a_job_does_not_outlive_a_killed_coordinator(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from tests.release.test_jobs import *\n"
        "async def main():\n"
        "    async with running(Path(sys.argv[1])) as jobs:\n"
        "        jobs.start(work(tell_and_hang, lambda files: files.progress))\n"
        "        await asyncio.sleep(60)\n"
        "if __name__ == '__main__': asyncio.run(main())\n"
    )
    root = Path(__file__).parents[2]
    script = tmp_path / "holder.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(root)}
    holder = subprocess.Popen([sys.executable, str(script), str(tmp_path / "jobs")], env=environment)
    progress = tmp_path / "jobs" / "train-1" / "progress.json"
    try:
        wait_for(progress.exists, "the job's progress", DEADLINE_S)
        pid = json.loads(progress.read_text())["pid"]
    finally:
        holder.kill()
        holder.wait()
    wait_for(lambda: _is_gone(pid), "the end of the job's process", DEADLINE_S)


def _is_gone(pid: int) -> bool:
    """Whether a process has ended; without a parent that waits for it, it may stay as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
