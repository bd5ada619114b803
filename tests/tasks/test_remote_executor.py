"""Peers and MEC servers keep what an executor owes, over a real broker and with real worker processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from common.taskgraph.graph import Tier
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.agent.gateway import SITE
from tests.tasks.cloud_site import cloud
from tests.tasks.executor_contract import Bench, ExecutorContract
from tests.tasks.remote_site import site

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coordinator")
    initialise(folder, InitOptions(port=free_port()))
    for gateway in ("gw-1", "gw-2", "mec-1"):
        enrol(folder, SITE, gateway)
    return folder


@pytest.fixture(scope="module")
def broker(state: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(state) as process:
        yield process


class TestPeer(ExecutorContract):
    @pytest.fixture
    async def bench(self, state: Path, broker: BrokerProcess, tmp_path: Path) -> AsyncIterator[Bench]:
        async with site(state, broker.port, tmp_path, "gw-1", "gw-2") as (own, _):
            executor = await own.executor("gw-2")
            assert executor.tier is Tier.PEER
            yield Bench(executor, own.store)


class TestMec(ExecutorContract):
    @pytest.fixture
    async def bench(self, state: Path, broker: BrokerProcess, tmp_path: Path) -> AsyncIterator[Bench]:
        async with site(state, broker.port, tmp_path, "gw-1", "mec-1") as (own, _):
            executor = await own.executor("mec-1")
            assert executor.tier is Tier.MEC
            yield Bench(executor, own.store)


class TestCloud(ExecutorContract):
    @pytest.fixture
    async def bench(self, state: Path, broker: BrokerProcess, tmp_path: Path) -> AsyncIterator[Bench]:
        async with (
            cloud(state, broker.port, tmp_path),
            site(state, broker.port, tmp_path, "gw-1") as (own,),
        ):
            executor = await own.executor("cloud")
            assert executor.tier is Tier.CLOUD
            yield Bench(executor, own.store)
