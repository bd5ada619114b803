"""Long work in a process of its own: one job at a time, with its progress, and an end when asked for.

Does not know what a job does. Nothing of a job survives the coordinator: its folder is emptied at the start.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, field, replace
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any, Final, Literal

from common.clock import Clock
from common.errors import MeshtwinError, Rejected, RejectReason
from common.files import make_folder
from common.logs import get_logger
from coordinator.engine import fresh_process
from coordinator.release.worker import Failure, guarded

# Ended jobs that can still be asked for.
REMEMBERED: Final = 20
_MAX_PROGRESS_BYTES: Final = 64 * 1024

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are Unix seconds; `progress` is what the job told last."""

    id: str
    kind: str
    about: str
    started: float
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    ended: float | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a job writes its progress, and whose existence asks it to end."""

    progress: Path
    cancel: Path


@dataclass(frozen=True, slots=True)
class Work:
    """What a job does: `function(request(files))` in the pool, then `finish(its result)` in a thread here."""

    kind: str
    about: str
    function: Callable[[Any], Any]
    request: Callable[[Files], Any]
    finish: Callable[[Any], dict[str, Any]]


class Jobs:
    """Runs jobs until cancelled. All methods belong to the event loop."""

    def __init__(self, folder: Path, clock: Clock, pool: Callable[[], Executor] = fresh_process) -> None:
        """`pool` makes an executor for one job: any whose workers see `folder`."""
        self._folder = folder
        self._clock = clock
        self._pool = pool
        self._jobs: dict[str, Job] = {}
        self._waiting: asyncio.Queue[tuple[Job, Work]] = asyncio.Queue(maxsize=1)
        self._count = 0

    def start(self, work: Work) -> Job:
        """Begin. Raises Rejected(INVALID) while another job runs, naming it."""
        running = next((job for job in self._jobs.values() if job.state == "running"), None)
        if running is not None:
            raise Rejected(
                RejectReason.INVALID,
                f"{running.kind} of {running.about} runs already, one at a time: wait for it, or end it: "
                f"coordinator models cancel {running.id}",
            )
        self._count += 1
        job = Job(f"{work.kind}-{self._count}", work.kind, work.about, self._clock.wall())
        self._jobs[job.id] = job
        for old in list(self._jobs)[:-REMEMBERED]:
            del self._jobs[old]
        self._waiting.put_nowait((job, work))
        return job

    def get(self, number: str) -> Job:
        """A job with its latest progress. Raises Rejected(INVALID) for one unknown or forgotten."""
        job = self._jobs.get(number)
        if job is None:
            raise Rejected(RejectReason.INVALID, f"job {number[:40]!r} is not known; it may be long over")
        if job.state == "running":
            return replace(job, progress=_read_progress(self._files(job).progress))
        return job

    def all(self) -> list[Job]:
        """What is remembered, the newest first."""
        return [self.get(number) for number in reversed(self._jobs)]

    def cancel(self, number: str) -> Job:
        """Ask a job to end; it does within seconds. Harmless for one that has ended."""
        job = self.get(number)
        if job.state == "running":
            make_folder(self._files(job).cancel.parent)
            self._files(job).cancel.touch()
            log.info("job-cancelled", job=job.id)
        return job

    async def run(self) -> None:
        """Perform what is started, one after the other, until cancelled; then the running one ends, too."""
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        while True:
            job, work = await self._waiting.get()
            log.info("job-started", job=job.id, about=job.about)
            ended = replace(await self._perform(job, work), ended=self._clock.wall())
            self._jobs[job.id] = ended
            level = log.warning if ended.state == "failed" else log.info
            level("job-ended", job=job.id, state=ended.state, reason=ended.error)
            await asyncio.to_thread(shutil.rmtree, self._files(job).progress.parent, ignore_errors=True)

    async def _perform(self, job: Job, work: Work) -> Job:
        """The job as it ended: whatever goes wrong in it is its own failure."""
        files = self._files(job)
        try:
            make_folder(files.progress.parent)
            result = await self._compute(work, work.request(files), files)
            if files.cancel.exists():
                return replace(job, state="cancelled")
            if isinstance(result, Failure):
                return replace(job, state="failed", error=result.text)
            done = await asyncio.to_thread(work.finish, result)
            return replace(job, state="done", progress=_read_progress(files.progress), result=done)
        except BrokenExecutor:
            if files.cancel.exists():
                return replace(job, state="cancelled")
            return replace(job, state="failed", error="its process was killed, maybe for want of memory")
        except MeshtwinError as error:
            return replace(job, state="failed", error=str(error))
        except Exception as error:
            # A bug in a job must not end the ingest.
            log.exception("job-broken", job=job.id)
            return replace(job, state="failed", error=f"{type(error).__name__}: {error}")

    async def _compute(self, work: Work, request: Any, files: Files) -> Any:
        executor = self._pool()
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, guarded, work.function, request, files.cancel)
        except asyncio.CancelledError:
            files.cancel.touch()
            raise
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _files(self, job: Job) -> Files:
        folder = self._folder / job.id
        return Files(folder / "progress.json", folder / "cancel")


def _read_progress(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            told = loads(file.read(_MAX_PROGRESS_BYTES))
    except (OSError, JSONDecodeError, UnicodeDecodeError):
        return {}
    return told if isinstance(told, dict) else {}
