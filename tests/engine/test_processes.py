"""Worker processes of this machine, real ones: what they do, and what their deaths cost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, wait
from pathlib import Path
from threading import Thread

import pytest

from common.errors import Misconfigured, Rejected, RejectReason, Unavailable
from coordinator.config import EngineSettings
from coordinator.engine import JobTooLong, WorkerDied, fresh_process, open_engine, processes
from coordinator.engine.processes import Processes
from tests.engine import jobs

DEADLINE_S = 60.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def engine() -> Iterator[Processes]:
    with Processes(1) as opened:
        yield opened


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_work_is_done_elsewhere_politely_and_without_what_is_heavy(
    engine: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/somewhere")
    assert engine.pids() == []
    assert engine.call(jobs.double, 21) == 42
    assert engine.pids() == [engine.call(jobs.pid)]
    assert engine.call(jobs.niceness) >= 10
    assert not {"numpy", "numba", "pydantic", "sqlalchemy"} & engine.call(jobs.modules)
    assert engine.call(jobs.environment, "NOTIFY_SOCKET") is None
    assert (engine.describe().done, engine.describe().alive) == (5, 1)


def test_a_worker_inherits_no_socket_and_no_open_file(tmp_path: Path) -> None:
    secret = tmp_path / "ca.key"
    with socket.create_server(("127.0.0.1", 0)), secret.open("w"), Processes(1) as engine:
        held = engine.call(jobs.open_files)
    # One socket: the pipe to its parent.
    assert sum(1 for name in held if name.startswith("socket:")) == 1
    assert str(secret) not in held


def test_errors_come_back_as_they_were_raised(engine: Processes) -> None:
    with pytest.raises(Rejected) as refused:
        engine.call(jobs.refuse)
    assert (refused.value.reason, refused.value.detail) == (RejectReason.INVALID, "nothing to do")
    with pytest.raises(Misconfigured) as wrong:
        engine.call(jobs.ask_the_operator)
    assert (wrong.value.problem, wrong.value.fix) == ("it is wrong", "mend it")
    with pytest.raises(ZeroDivisionError) as bug:
        engine.call(jobs.break_down)
    assert "in break_down" in "".join(bug.value.__notes__)
    with pytest.raises(RuntimeError, match="Unspeakable: 1 and 2"):
        engine.call(jobs.say_the_unspeakable)
    with pytest.raises(Exception, match="lambda"):
        engine.call(jobs.give_what_cannot_be_sent)
    assert (engine.describe().failed, engine.describe().died) == (5, 0)


def test_what_cannot_be_sent_is_refused_at_once(engine: Processes) -> None:
    with pytest.raises(Exception, match="pickle"):
        engine.submit(lambda: 1)
    assert engine.pids() == []


def test_big_arguments_and_results_come_through(engine: Processes) -> None:
    content = os.urandom(3_000_000)
    assert engine.call(jobs.echo, content) == content


@pytest.mark.parametrize(
    ("death", "words"), [(jobs.vanish, "ended with code 3"), (jobs.shoot_oneself, "was killed")]
)
def test_a_death_costs_the_one_job_that_ran(death: Callable[[], None], words: str) -> None:
    with Processes(2) as engine:
        dying = engine.submit(death)
        others = [engine.submit(jobs.double, i) for i in range(20)]
        with pytest.raises(WorkerDied, match=words) as died:
            dying.result(DEADLINE_S)
        assert isinstance(died.value, BrokenExecutor)
        assert [other.result(DEADLINE_S) for other in others] == [2 * i for i in range(20)]
        assert engine.call(jobs.double, 4) == 8
        status = engine.describe()
    assert (status.died, status.failed, status.problem) == (1, 1, "")


def test_a_worker_that_is_killed_while_it_starts_is_replaced(engine: Processes) -> None:
    begun = engine.submit(jobs.echo, os.urandom(3_000_000))
    until(lambda: bool(engine.pids()), "a process")
    os.kill(engine.pids()[0], signal.SIGKILL)
    with pytest.raises(WorkerDied):
        begun.result(DEADLINE_S)
    assert engine.call(jobs.double, 21) == 42


def test_no_more_work_at_once_than_there_are_workers(tmp_path: Path) -> None:
    with Processes(2) as engine:
        going = [engine.submit(jobs.wait_for_file, tmp_path / "go") for _ in range(6)]
        until(lambda: engine.describe().alive == 2, "two processes")
        status = engine.describe()
        assert (status.running, status.waiting, len(engine.pids())) == (2, 4, 2)
        (tmp_path / "go").touch()
        assert len({one.result(DEADLINE_S) for one in going}) == 2


def test_a_full_queue_refuses_and_says_so(tmp_path: Path) -> None:
    with Processes(1, most_waiting=2) as engine:
        going = [engine.submit(jobs.wait_for_file, tmp_path / "go") for _ in range(3)]
        with pytest.raises(Unavailable, match="2 jobs wait already"):
            engine.submit(jobs.double, 1)
        assert engine.describe().refused == 1
        (tmp_path / "go").touch()
        assert not wait(going, DEADLINE_S).not_done


def test_a_job_that_waits_can_be_cancelled(tmp_path: Path) -> None:
    with Processes(1) as engine:
        first = engine.submit(jobs.wait_for_file, tmp_path / "go")
        second, third = engine.submit(jobs.double, 2), engine.submit(jobs.double, 3)
        assert second.cancel()
        (tmp_path / "go").touch()
        assert (third.result(DEADLINE_S), first.done(), second.cancelled()) == (6, True, True)


def test_a_job_that_never_ends_is_ended(tmp_path: Path) -> None:
    with Processes(1, limit_s=0.5) as engine:
        endless = engine.submit(jobs.hang, tmp_path / "told")
        with pytest.raises(JobTooLong):
            endless.result(DEADLINE_S)
        assert engine.describe().died == 1


def test_processes_without_work_end_and_come_again() -> None:
    with Processes(2, idle_s=0.05) as engine:
        first = engine.call(jobs.pid)
        until(lambda: engine.describe().alive == 0 and not lives(first), "the end of an idle process")
        assert engine.call(jobs.pid) != first
    assert engine.describe().alive == 0


def test_an_ending_engine_cuts_off_what_runs_and_cancels_what_waits(tmp_path: Path) -> None:
    engine = Processes(1)
    running = engine.submit(jobs.hang, tmp_path / "told")
    waiting = engine.submit(jobs.double, 1)
    until((tmp_path / "told").exists, "the job")
    (pid,) = engine.pids()
    begun = time.monotonic()
    engine.close()
    engine.close()
    assert time.monotonic() - begun < 10.0
    assert isinstance(running.exception(DEADLINE_S), Unavailable)
    with pytest.raises(CancelledError):
        waiting.result(DEADLINE_S)
    assert not lives(pid)
    with pytest.raises(Unavailable, match="closed"):
        engine.submit(jobs.double, 1)


def test_a_shutdown_as_of_any_executor_finishes_what_was_begun(tmp_path: Path) -> None:
    engine = Processes(1)
    begun = [engine.submit(jobs.double, i) for i in range(3)]
    engine.shutdown()
    assert [one.result(0) for one in begun] == [0, 2, 4]
    assert engine.describe().alive == 0


def test_many_threads_may_use_it_at_once() -> None:
    with Processes(2, idle_s=0.005) as engine:
        found: list[int] = []

        def ask(start: int) -> None:
            for i in range(start, start + 20):
                found.append(engine.call(jobs.double, i))
                time.sleep(0.004)

        threads = [Thread(target=ask, args=(1000 * i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == sorted(2 * (1000 * i + j) for i in range(4) for j in range(20))


PARENT = """
import sys, time
from pathlib import Path
from coordinator.engine.processes import Processes
from tests.engine import jobs
if __name__ == "__main__":
    engine = Processes(2)
    engine.submit(jobs.hang, Path(sys.argv[1]))
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        engine.close()
        print("closed")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent_however_it_ends(tmp_path: Path, how: signal.Signals) -> None:
    script, told = tmp_path / "parent.py", tmp_path / "told"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(script), str(told)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as parent:
        until(lambda: told.exists() and bool(told.read_text()), "the worker")
        pid = int(told.read_text())
        if how is signal.SIGINT:
            os.killpg(parent.pid, how)  # As a terminal does.
        else:
            parent.send_signal(how)
        out, err = parent.communicate(timeout=DEADLINE_S)
    until(lambda: not lives(pid), "the end of the worker")
    if how is signal.SIGINT:
        assert (out, err) == ("closed\n", "")


def test_the_configuration_says_how_many() -> None:
    with open_engine(EngineSettings(workers=3)) as engine:
        assert (engine.describe().kind, engine.describe().workers) == ("processes", 3)
    with open_engine(EngineSettings()) as engine:
        assert engine.describe().workers == len(os.sched_getaffinity(0))


def test_one_long_job_gets_a_process_of_its_own() -> None:
    with fresh_process() as engine:
        assert engine.call(jobs.environment, "OMP_NUM_THREADS") == os.environ.get("OMP_NUM_THREADS")
        assert engine.describe().workers == 1


def test_a_process_that_did_very_much_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MOST_JOBS", 3)
    with Processes(1) as engine:
        pids = [engine.call(jobs.pid) for _ in range(6)]
        assert [len(set(pids[:3])), len(set(pids[3:])), len(set(pids))] == [1, 1, 2]
        assert engine.describe().died == 0
