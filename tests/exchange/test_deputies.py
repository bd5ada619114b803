"""The death of a job's owner loses neither the job nor delivers anything of it twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from common.exchange.messages import Forget, Keep, encode_letter
from common.taskgraph.wire import TaskResult
from common.topics import Channel
from edge_agent.tasks import deputy, replica_owner
from edge_agent.tasks.job_store import JobRow, JobState
from edge_agent.tasks.replica import Replica, unpack
from tests.exchange.kept import Gateway
from tests.exchange.wired import Wire

JOB = "gw-a-1f"
INPUT = b"what the job works on" * 5000


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (deputy, replica_owner):
        monkeypatch.setattr(module, "TURN_S", 0.02)
    monkeypatch.setattr(deputy, "GONE_S", 0.1)
    monkeypatch.setattr(deputy, "HAND_OVER_AGAIN_S", 0.05)
    monkeypatch.setattr(replica_owner, "KEPT_WITHIN_S", 2.0)
    monkeypatch.setattr(replica_owner, "ASK_AGAIN_S", 0.1)


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def job_of(gateway: Gateway, job: str = JOB) -> Replica:
    digest = gateway.store.put(INPUT)
    document = {
        "name": "test",
        "tasks": [{"id": "pack", "kind": "compress", "inputs": {"data": {"blob": digest}}}],
    }
    made = Replica(job, json.dumps(document).encode(), 1000.0, None, {}, {digest: len(INPUT)})
    gateway.jobs.jobs[job] = made
    return made


def result_of(gateway: Gateway, data: bytes = b"packed") -> TaskResult:
    return TaskResult(
        job=JOB,
        task="pack",
        attempt=1,
        machine=gateway.party.name,
        outputs={"packed": gateway.store.put(data)},
        output_bytes=len(data),
    )


async def test_a_submission_is_told_when_its_deputy_has_everything(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running() as b,
    ):
        made = job_of(a)
        await a.owner.accepted(JOB, made.document)
        assert a.owner.deputy_of(JOB) == "gw-b"
        assert all(b.store.has(digest) for digest in made.blobs)
        assert {b.store._pins[digest] for digest in made.blobs} == {1}, b.store._pins
        assert [kept["job"] for kept in b.deputy.kept()] == [JOB]


async def test_without_peers_a_submission_does_not_wait(tmp_path: Path) -> None:
    async with Gateway(tmp_path, Wire(), "gw-a", {"gw-a"}).running() as a:
        made = job_of(a)
        begun = time.monotonic()
        await a.owner.accepted(JOB, made.document)
        assert a.owner.deputy_of(JOB) == ""
        assert time.monotonic() - begun < replica_owner.KEPT_WITHIN_S


async def test_results_follow_and_a_job_that_is_over_is_forgotten(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running() as b,
    ):
        made = job_of(a)
        await a.owner.accepted(JOB, made.document)
        result = result_of(a)
        (output,) = result.outputs.values()
        a.jobs.jobs[JOB] = replace(made, results={"pack": result}, blobs={**made.blobs, output: 6})
        a.owner.result(result)
        await eventually(lambda: b.store.has(output))
        a.jobs.jobs[JOB] = replace(a.jobs.jobs[JOB], state="done")
        a.owner.ended(JobRow(JOB, "test", JobState.DONE, 0.0, None, 4))
        await eventually(lambda: not b.deputy.kept())


async def test_a_deputy_that_dies_is_replaced(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b", "gw-c"}
    async with AsyncExitStack() as stack:
        a, b, c = [
            await stack.enter_async_context(Gateway(tmp_path, wire, name, live).running())
            for name in ("gw-a", "gw-b", "gw-c")
        ]
        made = job_of(a)
        await a.owner.accepted(JOB, made.document)
        first = a.owner.deputy_of(JOB)
        a.live = live - {first}
        await eventually(lambda: a.owner.deputy_of(JOB) not in ("", first))
        assert {b.party.name, c.party.name} == {first, a.owner.deputy_of(JOB)}


async def test_the_deputy_runs_what_a_dead_owner_left_and_hands_it_over_once(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with Gateway(tmp_path, wire, "gw-b", live).running() as b:
        async with Gateway(tmp_path, wire, "gw-a", live).running() as a:
            await a.owner.accepted(JOB, job_of(a).document)
        b.live = {"gw-b"}
        await eventually(lambda: b.jobs.state(JOB) == "live")
        b.jobs.finish(JOB, result_of(b), 6)
        await eventually(lambda: b.deputy.kept()[0]["state"] == "handing")
        # Back, and with an empty disk.
        async with Gateway(tmp_path, wire, "gw-a", live, life="2").running() as again:
            b.live = live
            await eventually(lambda: again.jobs.state(JOB) == "done" and not b.deputy.kept())
            assert again.jobs.delivered == [(JOB, "pack")]
            assert again.store.get(again.jobs.jobs[JOB].results["pack"].outputs["packed"]) == b"packed"
            assert b.deputy.handed_over == again.owner.taken_over == 1


async def test_an_owner_that_returns_early_gets_what_there_is_and_goes_on_itself(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running() as b,
    ):
        await a.owner.accepted(JOB, job_of(a).document)
        wire.cut = True
        b.live = {"gw-b"}
        await eventually(lambda: b.jobs.state(JOB) == "live")
        wire.cut = False
        b.live = live
        await eventually(lambda: b.deputy.handed_over == 1)
        assert b.jobs.withdrawn == [JOB]
        assert a.jobs.state(JOB) == "live"
        assert a.jobs.delivered == []


async def test_a_gateway_that_hears_nobody_takes_nobody_for_dead(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running() as b,
    ):
        await a.owner.accepted(JOB, job_of(a).document)
        b.attached, b.live = None, {"gw-b"}
        await asyncio.sleep(0.3)
        assert b.deputy.adopted == 0


async def test_a_deputy_that_was_restarted_still_keeps_the_job(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running(),
    ):
        await a.owner.accepted(JOB, job_of(a).document)
    again = Gateway(tmp_path, wire, "gw-b", {"gw-b"})
    again.deputy.recover()
    async with again.running():
        await eventually(lambda: again.deputy.adopted == 1)


async def test_damaged_files_of_kept_jobs_are_dropped_and_nothing_else(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running(),
    ):
        await a.owner.accepted(JOB, job_of(a).document)
    (path,) = (tmp_path / "gw-b-kept").glob("*.job")
    whole = path.read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        again = Gateway(tmp_path, wire, "gw-b", {"gw-b"})
        again.deputy.recover()
        assert again.deputy.kept() == []
        path.with_name(path.name + ".corrupt").unlink(missing_ok=True)


async def test_a_job_of_somebody_else_is_neither_kept_nor_forgotten(tmp_path: Path) -> None:
    wire, live = Wire(), {"gw-a", "gw-b", "gw-c"}
    async with (
        Gateway(tmp_path, wire, "gw-a", live).running() as a,
        Gateway(tmp_path, wire, "gw-b", live).running() as b,
        Gateway(tmp_path, wire, "gw-c", live).running() as c,
    ):
        a.live = live - {"gw-c"}
        made = job_of(a)
        await a.owner.accepted(JOB, made.document)
        state = c.store.put(made.packed())
        forged = Keep(job=JOB, version=9, state=state, size=c.store.size(state) or 0)
        b.exchange.take(c.party, Channel.OFFER, encode_letter(forged))
        b.exchange.take(c.party, Channel.OFFER, encode_letter(Forget(job=JOB)))
        assert b.exchange.rejected == {"forged": 1}
        assert [kept["version"] for kept in b.deputy.kept()] == [1]


def test_a_replica_is_packed_and_unpacked_as_it_is(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, Wire(), "gw-a", {"gw-a"})
    made = replace(job_of(gateway), results={"pack": result_of(gateway)}, state="done", deadline=5.0)
    assert unpack(made.packed()) == made
