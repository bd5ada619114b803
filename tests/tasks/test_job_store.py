"""The jobs on disk: nothing twice, nothing lost, and a damaged file set aside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import Corrupt
from common.taskgraph.wire import TaskResult
from edge_agent.tasks import job_store, telling
from edge_agent.tasks.job_store import JobRow, JobState, JobStore, open_store

ROW = JobRow("gw-1-a", "test", JobState.LIVE, 100.0, 200.0, 4, tasks=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    found = JobStore(tmp_path / "jobs.db")
    yield found
    found.close()


def result(attempt: int = 1, machine: str = "gw-1") -> TaskResult:
    return TaskResult(job="gw-1-a", task="t", attempt=attempt, machine=machine, outputs={"o": "0" * 64})


def test_a_job_is_kept_once(store: JobStore) -> None:
    assert store.add(ROW, b"{}")
    assert not store.add(replace(ROW, name="other"), b"[]")
    assert store.row("gw-1-a") == ROW
    assert store.document("gw-1-a") == b"{}"


def test_the_first_result_of_a_task_stays(store: JobStore) -> None:
    store.add(ROW, b"{}")
    assert store.record(result())
    assert not store.record(result(2, "peer"))
    assert store.results("gw-1-a") == {"t": result()}


def test_a_job_ends_once(store: JobStore) -> None:
    store.add(ROW, b"{}")
    assert store.end("gw-1-a", JobState.DONE, 150.0, promised=1.5)
    assert not store.end("gw-1-a", JobState.FAILED, 160.0, "too late")
    row = store.row("gw-1-a")
    assert row is not None
    assert (row.state, row.ended, row.promised_s, row.reason) == (JobState.DONE, 150.0, 1.5, "")
    assert store.rows(live=True) == []


def test_what_was_done_of_a_job_is_counted_also_when_it_was_cancelled(store: JobStore) -> None:
    store.add(ROW, b"{}")
    assert store.done(ROW) == 0
    store.record(result())
    store.end("gw-1-a", JobState.CANCELLED, 150.0)
    row = store.row("gw-1-a")
    assert row is not None
    assert [store.done(row) for _ in range(2)] == [1, 1]
    assert telling.job(row, None, store.done(row))["counts"] == {"done": 1}


def test_the_task_that_failed_is_told_as_failed_also_when_its_job_is_over() -> None:
    document = b"""{"name": "two", "tasks": [
        {"id": "a", "kind": "measure"},
        {"id": "b", "kind": "measure", "inputs": {"data": {"task": "a", "output": "data"}}}]}"""
    row = replace(ROW, state=JobState.FAILED, reason="task a failed on mec: memory: it wanted more")
    first, second = telling.whole(row, None, document, {}, lambda _: False)["task_rows"]
    assert (first["task"], first["state"], first["machine"]) == ("a", "failed", "mec")
    assert (second["task"], second["state"]) == ("b", "not-run")
    assert "machine" not in second


def test_no_two_lives_use_the_same_attempt_numbers(store: JobStore) -> None:
    store.add(ROW, b"{}")
    firsts = [ROW.first_attempt, *(store.take_up("gw-1-a").first_attempt for _ in range(3))]
    assert len(set(firsts)) == 4


def test_what_was_stored_is_there_after_reopening(store: JobStore) -> None:
    store.add(ROW, b"{}")
    store.record(result())
    store.close()
    again = JobStore(store.path)
    assert again.rows() == [ROW]
    assert again.results("gw-1-a") == {"t": result()}
    again.close()
    assert store.path.stat().st_mode & 0o777 == 0o600


def test_old_jobs_make_room(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_store, "ENDED_KEPT", 3)
    for number in range(6):
        store.add(replace(ROW, id=f"gw-1-{number}"), b"{}")
        store.end(f"gw-1-{number}", JobState.DONE, float(number))
    assert [row.id for row in store.rows()] == ["gw-1-3", "gw-1-4", "gw-1-5"]


def test_a_file_cut_anywhere_is_read_or_set_aside(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.db")
    for number in range(40):
        store.add(replace(ROW, id=f"gw-1-{number}"), b"x" * 500)
    store.close()
    whole = store.path.read_bytes()
    for cut in range(0, len(whole), 1777):
        store.path.write_bytes(whole[:cut])
        os.chmod(store.path, 0o600)
        again, damaged = open_store(store.path)
        rows = again.rows()
        assert damaged or cut == 0 or len(rows) == 40
        again.close()
        store.path.unlink()


def test_what_is_no_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(Corrupt):
        JobStore(path)
    assert path.with_name("jobs.db.corrupt").exists()
    again, damaged = open_store(path)
    assert not damaged
    assert again.rows() == []
    again.close()
