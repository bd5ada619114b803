"""Jobs from submission to end: order, priorities, deadlines, failures, machines that go, and restarts."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path
from typing import Any

import pytest

from common.errors import Rejected, RejectReason
from common.taskgraph.executor import MachineLost, Refusal, Refused, Tier
from common.taskgraph.wire import FailureReason, TaskRequest, TaskResult
from edge_agent.tasks import progress
from edge_agent.tasks.job_store import JobState
from tests.tasks.running import Site, Told, measured, started


async def test_a_graph_runs_with_its_inputs_before_and_its_outputs_kept(tmp_path: Path) -> None:
    async with started(Site(tmp_path)) as site:
        log = site.blobs.put(b"a line\n" * 1000)
        await site.submit(
            "packing",
            {"id": "first", "kind": "compress", "inputs": {"data": {"blob": log}}},
            {"id": "second", "kind": "compress", "inputs": {"data": {"task": "first", "output": "packed"}}},
            measured("apart"),
            measured("last", "second", "apart"),
        )
        row = await site.ended("packing")
        results = site.store.results(row.id)
        assert (row.state, row.reason, row.late) == (JobState.DONE, "", False)
        assert set(results) == {"first", "second", "apart", "last"}
        packed = site.blobs.get(results["second"].outputs["packed"])
        assert zlib.decompress(zlib.decompress(packed)) == b"a line\n" * 1000
        assert row.promised_s is not None
        assert [name for name, _ in site.events] == ["job-done"]
        assert {entry["kind"] for entry in site.costs.table()} == {"compress", "measure"}


async def test_nothing_starts_before_what_it_needs_and_the_urgent_go_first(tmp_path: Path) -> None:
    order: list[str] = []
    site = Site(tmp_path)

    async def note(request: TaskRequest) -> None:
        order.append(f"{request.job}.{request.task}")
        await asyncio.sleep(0.01)

    site.others = [Told("mec", Tier.MEC, site.blobs, note, slots=1)]
    async with started(site):
        tiers = ["mec"]
        await site.submit(
            "calm", measured("b", "a"), measured("a"), measured("c", "b"), tiers=tiers, priority=1
        )
        await site.submit("urgent", measured("b", "a"), measured("a"), tiers=tiers, priority=9)
        await site.ended("calm")
        await site.ended("urgent")
    assert [name for name in order if "calm" in name] == [f"gw-1-calm.{task}" for task in "abc"]
    assert order.index("gw-1-urgent.b") < order.index("gw-1-calm.b")


async def test_the_same_submission_twice_is_one_job(tmp_path: Path) -> None:
    async with started(Site(tmp_path)) as site:
        first = await site.submit("twice", measured("a"))
        second = await site.submit("twice", measured("a"))
        assert first.id == second.id
        await site.ended("twice")
        third = await site.submit("twice", measured("a"))
        assert third.state is JobState.DONE
        assert site.runner.tally.jobs_done == 1


async def test_a_machine_that_dies_with_a_task_costs_a_rerun_elsewhere(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.others = [Told("peer", Tier.PEER, site.blobs, lambda request: MachineLost("it went away"))]
    async with started(site):
        await site.submit("lost", measured("a", rounds=5000), measured("b", "a"))
        row = await site.ended("lost")
        results = site.store.results(row.id)
    assert row.state is JobState.DONE
    assert site.others[0].asked  # type: ignore[attr-defined]
    assert {result.machine for result in results.values()} == {"gw-1"}


async def test_a_machine_that_refuses_costs_no_attempt_of_the_jobs_patience(tmp_path: Path) -> None:
    site, refusals = Site(tmp_path), iter(range(5))

    def busy_at_first(request: TaskRequest) -> Exception | None:
        return Refused(Refusal.CPU, "busy") if next(refusals, None) is not None else None

    site.others = [Told("mec", Tier.MEC, site.blobs, busy_at_first)]
    async with started(site):
        await site.submit("refused", measured("a"), measured("b"), tiers=["mec", "local"])
        row = await site.ended("refused")
    assert row.state is JobState.DONE


async def test_a_task_that_fails_for_good_fails_its_job_by_name(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def fail(request: TaskRequest) -> TaskResult:
        return TaskResult.failed(request, "mec", FailureReason.INPUT, "no good")

    site.others = [Told("mec", Tier.MEC, site.blobs, fail)]
    async with started(site):
        await site.submit("bad", measured("a"), measured("b", "a"), tiers=["mec"])
        row = await site.ended("bad")
        assert site.store.results(row.id) == {}
    assert row.state is JobState.FAILED
    assert row.reason == "task a failed on mec: input: no good"


@pytest.mark.parametrize(
    ("reason", "tries"),
    [(FailureReason.MEMORY, 1), (FailureReason.BUG, 1), (FailureReason.CRASHED, 3)],
)
async def test_what_every_machine_would_repeat_is_not_tried_again(
    tmp_path: Path, reason: FailureReason, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FAILED_S", 0.01)
    site = Site(tmp_path)
    mec = Told("mec", Tier.MEC, site.blobs, lambda request: TaskResult.failed(request, "mec", reason, "no"))
    site.others = [mec]
    async with started(site):
        # This gateway is there, too, but not for this job.
        await site.submit("bad", measured("a"), tiers=["mec"])
        assert (await site.ended("bad")).state is JobState.FAILED
    assert len(mec.asked) == tries


async def test_a_machine_that_allows_more_memory_gets_what_another_could_not_do(tmp_path: Path) -> None:
    site = Site(tmp_path)

    def fail(request: TaskRequest) -> TaskResult:
        return TaskResult.failed(request, "small", FailureReason.MEMORY, "no")

    small, large = (
        Told("small", Tier.MEC, site.blobs, fail),
        Told("large", Tier.MEC, site.blobs, lambda _: None),
    )
    small.memory_bytes, large.slots = 64 << 20, 1
    site.others = [small, large]
    async with started(site):
        for number in range(4):
            await site.submit(f"job{number}", measured("a"), tiers=["mec"])
        for number in range(4):
            assert (await site.ended(f"job{number}")).state is JobState.DONE
    assert small.asked


async def test_a_job_without_a_machine_waits_and_says_so_until_one_comes(tmp_path: Path) -> None:
    async with started(Site(tmp_path)) as site:
        row = await site.submit("waiting", measured("a"), tiers=["cloud"])
        held = site.runner.jobs[row.id]
        async with asyncio.timeout(10):
            while not held.waits_for:
                await held.changed.wait()
        assert "no machine may run a" in held.waits_for
        site.others = [Told("cloud", Tier.CLOUD, site.blobs, lambda request: None)]
        assert (await site.ended("waiting")).state is JobState.DONE


async def test_a_late_job_is_told_and_goes_on_or_is_cancelled_as_it_says(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def dawdle(request: TaskRequest) -> None:
        await asyncio.sleep(0.6)

    site.others = [Told("mec", Tier.MEC, site.blobs, dawdle)]
    async with started(site):
        await site.submit("patient", measured("a"), tiers=["mec"], deadline_s=0.2)
        await site.submit("strict", measured("a"), tiers=["mec"], deadline_s=0.2, on_deadline="cancel")
        patient, strict = await site.ended("patient"), await site.ended("strict")
    assert (patient.state, patient.late) == (JobState.DONE, True)
    assert (strict.state, strict.late) == (JobState.FAILED, True)
    assert "deadline" in strict.reason
    assert [name for name, _ in site.events].count("job-late") == 2


async def test_a_cancelled_job_stops_its_tasks_and_frees_its_blobs(tmp_path: Path) -> None:
    async with started(Site(tmp_path)) as site:
        await site.submit("long", *(measured(f"t{n}", rounds=50_000_000) for n in range(4)))
        for _ in range(500):
            if site.local.load().busy:
                break
            await asyncio.sleep(0.01)
        assert site.runner.cancel("gw-1-long")
        assert not site.runner.cancel("gw-1-long")
        assert (await site.ended("long")).state is JobState.CANCELLED
        await site.submit("next", measured("a"))
        assert (await site.ended("next")).state is JobState.DONE
        assert site.blobs.free_bytes == site.blobs.cap_bytes


async def test_outputs_that_vanish_are_made_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    made: list[str] = []

    def lose_the_first(request: TaskRequest) -> None:
        made.append(request.task)
        if request.task == "apart" and made.count("data") == 1:
            for blob in list(site.blobs.folder.iterdir()):
                blob.unlink()
            site.blobs._sizes.clear()

    site.others = [Told("mec", Tier.MEC, site.blobs, lose_the_first, slots=1)]
    async with started(site):
        packing: dict[str, Any] = {"id": "pack", "kind": "compress", "inputs": {"data": {"task": "data"}}}
        await site.submit(
            "vanishing",
            measured("data"),
            measured("apart", "data"),
            packing | {"after": ["apart"]},
            tiers=["mec"],
        )
        row = await site.ended("vanishing")
    assert row.state is JobState.DONE
    assert made.count("data") == 2
    assert made.count("pack") == 1


async def test_a_job_is_taken_up_where_a_former_life_left_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    stuck = asyncio.Event()

    async def halt_at_b(request: TaskRequest) -> None:
        if request.task == "b":
            stuck.set()
            await asyncio.sleep(60)

    site.others = [Told("mec", Tier.MEC, site.blobs, halt_at_b)]
    async with started(site):
        await site.submit("resumed", measured("a"), measured("b", "a"), measured("c", "b"), tiers=["mec"])
        async with asyncio.timeout(10):
            await stuck.wait()
        assert set(site.store.results("gw-1-resumed")) == {"a"}
    again = Site(tmp_path)
    machine = Told("mec", Tier.MEC, again.blobs, lambda request: None)
    again.others = [machine]
    async with started(again):
        row = await again.ended("resumed")
    assert row.state is JobState.DONE
    assert [request.task for request in machine.asked] == ["b", "c"]
    assert all(request.attempt > 1000 for request in machine.asked)


async def test_results_from_elsewhere_are_taken_over_and_not_run_again(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def halt(request: TaskRequest) -> None:
        await asyncio.sleep(60)

    machine = Told("mec", Tier.MEC, site.blobs, halt)
    site.others = [machine]
    async with started(site):
        row = await site.submit("shared", measured("a"), measured("b", "a"), tiers=["mec"])
        for _ in range(500):
            if machine.asked:
                break
            await asyncio.sleep(0.01)
        results = {
            name: machine.done(machine.asked[0].model_copy({"task": name, "attempt": 7})) for name in "ab"
        }
        document = site.store.document(row.id)
        assert site.runner.take_over(row.id, document, row.submitted, None, results)
        assert (await site.ended("shared")).state is JobState.DONE
        assert not site.runner.take_over(row.id, document, row.submitted, None, results)
        assert site.store.results(row.id) == results
    assert len(machine.asked) == 1


@pytest.mark.parametrize(
    ("task", "more", "reason"),
    [
        ({"inputs": {"data": {"blob": "00" * 32}}, "kind": "compress"}, {}, RejectReason.MISSING_INPUT),
        ({"inputs": {"data": {"file": "x"}}, "kind": "compress"}, {}, RejectReason.INVALID),
        (
            {"kind": "measure", "parameters": {"rounds": 1_000_000_000}},
            {"deadline_s": 0.5},
            RejectReason.IMPOSSIBLE_DEADLINE,
        ),
        (
            {"kind": "measure", "local": True, "limits": {"memory_mib": 257}},
            {},
            RejectReason.OUT_OF_RANGE,
        ),
        (
            {"kind": "measure", "limits": {"memory_mib": 257}},
            {"tiers": ["local"]},
            RejectReason.OUT_OF_RANGE,
        ),
    ],
)
async def test_what_cannot_be_done_is_refused_at_once(
    tmp_path: Path, task: dict[str, Any], more: dict[str, Any], reason: RejectReason
) -> None:
    async with started(Site(tmp_path)) as site:
        with pytest.raises(Rejected) as caught:
            await site.submit("impossible", {"id": "a", **task}, **more)
        assert site.store.rows() == []
    assert caught.value.reason is reason


async def test_ten_thousand_tasks_are_taken_worked_on_and_cancelled(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.others = [Told("mec", Tier.MEC, site.blobs, lambda request: None, slots=64)]
    async with started(site):
        tasks = (measured(f"t{n}", *([f"t{n // 2}"] if n else [])) for n in range(10_000))
        row = await site.submit("many", *tasks, tiers=["mec"])
        held = site.runner.jobs[row.id]
        async with asyncio.timeout(60):
            while held.progress.done < 100:
                await held.changed.wait()
        site.runner.cancel(row.id)
        await site.submit("few", measured("a"), tiers=["mec"])
        assert (await site.ended("few")).state is JobState.DONE


async def test_plans_and_promises_outlive_the_agent_and_the_job(tmp_path: Path) -> None:
    forever = asyncio.Event()
    site = Site(tmp_path)
    site.others = [Told("mec", Tier.MEC, site.blobs, lambda request: forever.wait())]
    async with started(site):
        row = await site.submit("planned", measured("a"), tiers=["mec"])
        async with asyncio.timeout(10):
            while not site.runner.jobs[row.id].running:
                await site.runner.jobs[row.id].changed.wait()
        first = site.runner.book.of(row.id)
    again = Site(tmp_path)
    again.others = [Told("mec", Tier.MEC, again.blobs, lambda request: None)]
    async with started(again):
        assert (await again.ended("planned")).promised_s == pytest.approx(first.promised_s)
        kept = again.runner.book.of(row.id)
    assert first.first is not None
    assert kept.first is not None
    assert kept.first.tasks["a"].machine == "mec"
    assert kept.first_at_s == first.first_at_s
    assert kept.ran["a"][1] >= kept.ran["a"][0]
