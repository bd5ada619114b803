"""A real Dask scheduler and two workers, each a process of its own on this machine's loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from common.errors import Misconfigured, Rejected, Unavailable
from coordinator.broker.process import free_port
from coordinator.config import EngineSettings
from coordinator.engine import Engine, JobTooLong, WorkerDied, open_engine
from coordinator.engine.cluster import Cluster
from tests.engine import jobs

pytest.importorskip("distributed")

DEADLINE_S = 60.0
ROOT = Path(__file__).parents[2]


class Dask:
    """A scheduler, and workers as many as wanted."""

    def __init__(self, folder: Path) -> None:
        self.url = f"tcp://127.0.0.1:{free_port()}"
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def scheduler(self) -> None:
        port = self.url.rpartition(":")[2]
        self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")

    def worker(self) -> None:
        words = ("--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
        self._start("worker", self.url, *words, "--no-nanny", "--death-timeout", "30")

    def _start(self, *words: str) -> None:
        log = (self._folder / f"dask-{len(self._processes)}.log").open("wb")
        with log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", *words],
                    cwd=self._folder,
                    env={
                        **os.environ,
                        "PYTHONPATH": str(ROOT),
                        "DASK_DISTRIBUTED__ADMIN__TICK__LIMIT": "60s",
                    },
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )

    def kill(self, which: int) -> None:
        """End one that was started, counted from 0."""
        self._processes[which].kill()
        self._processes[which].wait()

    def end(self) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()


@contextmanager
def dask(folder: Path, workers: int = 2) -> Iterator[Dask]:
    with ExitStack() as stack:
        made = Dask(folder)
        stack.callback(made.end)
        made.scheduler()
        for _ in range(workers):
            made.worker()
        yield made


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def answers(engine: Engine) -> bool:
    try:
        return bool(engine.call(jobs.double, 21) == 42)
    except Unavailable:
        return False


def test_a_cluster_does_what_processes_here_do(tmp_path: Path) -> None:
    with dask(tmp_path) as cluster, open_engine(EngineSettings(url=cluster.url)) as engine:
        assert engine.describe().kind == "dask"
        until(lambda: answers(engine) and engine.describe().alive == 2, "two workers")
        going = [engine.submit(jobs.wait_for_file, tmp_path / "go") for _ in range(4)]
        until(lambda: engine.describe().running == 4, "all sent")
        (tmp_path / "go").touch()
        pids = {one.result(DEADLINE_S) for one in going}
        assert len(pids) == 2
        assert os.getpid() not in pids
        with pytest.raises(Rejected, match="nothing to do"):
            engine.call(jobs.refuse)
        with pytest.raises(ZeroDivisionError):
            engine.call(jobs.break_down)
        with pytest.raises(Exception, match="lambda"):
            engine.call(jobs.give_what_cannot_be_sent)
        content = os.urandom(2_000_000)
        assert engine.call(jobs.echo, content) == content
        # A scheduler that dies while it has work: a named error with the fix, and a new one is found.
        lost = engine.submit(jobs.hang, tmp_path / "told", 20.0)
        until((tmp_path / "told").exists, "the work")
        cluster.kill(0)
        with pytest.raises(Unavailable, match=r"cannot be reached|lost it"):
            lost.result(DEADLINE_S)
        until(lambda: not answers(engine), "refusal")
        with pytest.raises(Unavailable, match=r"cannot be reached[\s\S]*fix: start it"):
            engine.call(jobs.double, 1)
        cluster.scheduler()
        cluster.worker()
        until(lambda: answers(engine), "a new scheduler")
        assert engine.describe().problem == ""


def test_a_scheduler_without_workers_is_told_from_one_that_works(tmp_path: Path) -> None:
    with dask(tmp_path, workers=0) as cluster, open_engine(EngineSettings(url=cluster.url)) as engine:

        def told() -> str:
            with pytest.raises(Unavailable) as refused:
                engine.call(jobs.double, 1)
            return str(refused.value)

        until(lambda: "has no workers" in told(), "the scheduler")


def test_work_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with dask(tmp_path, workers=1) as cluster:
        settings = EngineSettings(url=cluster.url)
        with Cluster(settings) as engine:
            until(lambda: answers(engine), "a worker")
        with Cluster(settings, limit_s=1.0) as engine, pytest.raises(JobTooLong):
            engine.call(jobs.hang, tmp_path / "told", 20.0)


def test_an_ending_engine_leaves_at_once(tmp_path: Path) -> None:
    engine = open_engine(EngineSettings(url=f"tcp://127.0.0.1:{free_port()}"))
    waiting = engine.submit(jobs.double, 1)
    engine.close()
    assert isinstance(waiting.exception(DEADLINE_S), (WorkerDied, Unavailable))
    with pytest.raises(Unavailable, match="closed"):
        engine.submit(jobs.double, 1)


def test_files_for_tls_that_are_not_there_are_named(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.touch()
    settings = EngineSettings(
        url="tls://example.org:8786", ca=there, certificate=there, key=tmp_path / "k.pem"
    )
    with pytest.raises(Misconfigured, match=r"k\.pem is not there"):
        open_engine(settings)
