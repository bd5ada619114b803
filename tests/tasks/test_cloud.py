"""What the coordinator's operator sees and does of the tasks that gateways send there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.taskgraph.executor import Refusal, Refused
from common.taskgraph.wire import FailureReason
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol, revoke
from coordinator.installation import InitOptions, initialise
from tests.agent.gateway import SITE
from tests.tasks.cloud_site import cloud
from tests.tasks.executor_contract import LIMITS, Bench, measurement
from tests.tasks.remote_site import eventually, site

pytestmark = pytest.mark.broker


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "coordinator"
    initialise(folder, InitOptions(port=free_port()))
    enrol(folder, SITE, "gw-1")
    return folder


@pytest.fixture
def broker(state: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(state) as process:
        yield process


async def test_a_task_is_shown_and_ended_by_the_operator(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with (
        cloud(state, broker.port, tmp_path) as far,
        site(state, broker.port, tmp_path, "gw-1") as (own,),
    ):
        executor = await own.executor("cloud")
        bench = Bench(executor, own.store)
        running = asyncio.ensure_future(executor.run(measurement(bench, 3_000_000)))
        await eventually(lambda: any(e["state"] == "running" for e in far.account()["errands"]), "it runs")
        (errand,) = far.account()["errands"]
        assert (errand["site"], errand["gateway"], errand["kind"]) == (SITE, "gw-1", "measure")
        assert not far.cancel("no such errand")
        assert far.cancel(errand["id"])
        result = await running
        assert result.failure is not None
        assert result.failure.why is FailureReason.CANCELLED
        await eventually(lambda: far.account()["errands"] == [], "it is forgotten")


async def test_a_task_that_wants_too_much_is_refused_before_any_blob_travels(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with cloud(state, broker.port, tmp_path), site(state, broker.port, tmp_path, "gw-1") as (own,):
        executor = await own.executor("cloud")
        greedy = LIMITS.model_copy({"memory_bytes": 1 << 40})
        request = measurement(Bench(executor, own.store), 1).model_copy({"limits": greedy})
        with pytest.raises(Refused) as caught:
            await executor.run(request)
        assert caught.value.reason is Refusal.LIMITS


async def test_a_gateway_that_was_revoked_is_a_stranger(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with cloud(state, broker.port, tmp_path) as far:
        revoke(state, "gw-1")
        await eventually(lambda: far.letters._loop is not None, "letters are taken")
        far.letters.put(f"mt/1/{SITE}/cloud/offer/gw-1", b"x")
        far.letters.put("mt/1/elsewhere/cloud/offer/gw-1", b"x")
        far.letters.put("nonsense/cloud/", b"x")
        await eventually(lambda: far.account()["strangers"] == 3, "all three are counted")
