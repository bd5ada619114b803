"""The cloud at a real broker, in this process: the coordinator's network thread and its engine, no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from common.clock import SystemClock
from common.taskgraph.blob_store import BlobStore
from coordinator.engine.processes import Processes
from coordinator.identity.fleet import FleetView
from coordinator.ingest.handover import Heard
from coordinator.ingest.subscriber import Endpoint, Subscriber
from coordinator.tasks.cloud import Cloud
from coordinator.tasks.runner import CloudRunner
from tests.tasks.remote_site import MOST, eventually


@asynccontextmanager
async def cloud(state: Path, port: int, folder: Path) -> AsyncIterator[Cloud]:
    pki = state / "pki"
    endpoint = Endpoint("127.0.0.1", port, pki / "ca.crt", pki / "coordinator.crt", pki / "coordinator.key")
    fleet, store = FleetView(state / "fleet.json"), BlobStore(folder / "cloud", 256 << 20)

    def receive(heard: Heard) -> None:
        if "/cloud/" in heard.topic:
            made.letters.put(heard.topic, heard.payload)

    subscriber = Subscriber(endpoint, receive, lambda: None)
    with Processes(1) as engine, ThreadPoolExecutor(1) as threads:
        runner = CloudRunner(engine, store, 1, MOST, watts=10.0)
        made = Cloud(runner, store, subscriber, lambda: fleet.current().active(), SystemClock(), "life", 0.3)
        network = asyncio.get_running_loop().run_in_executor(threads, subscriber.run)
        try:
            await eventually(lambda: subscriber.connected, "the coordinator is connected")
            async with asyncio.TaskGroup() as group:
                task = group.create_task(made.run())
                try:
                    yield made
                finally:
                    task.cancel()
        finally:
            subscriber.stop()
            await network
            subscriber.close()
