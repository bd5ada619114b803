"""A small site of real nodes for tests: daemons over the lab's air, a site file, lamps in this process.

Node 0 of the lab is the gateway 0x0001; node *i* is the lamp 0x0100 + *i*, unless a test makes it a second
gateway.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self

from common.clock import SystemClock
from common.errors import TimedOut
from common.mesh import cdb
from common.mesh.configuration import Transmit
from firmware_bridge import node_app
from firmware_bridge.access import generic_onoff
from firmware_bridge.access.link_monitor import MONITOR_PROBES, SERVER, MonitorSet, MonitorStatus
from firmware_bridge.access.message import build
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.bluez_mesh import BluezMeshLink, BluezSettings
from firmware_bridge.foundation.commissioner import NodePlan
from tools.meshlab.lab import Lab
from tools.meshlab.topology import Topology

GATEWAY = 0x0001
GROUP = 0xC000
QUICK = Transmit(2, 10)


def address_of(index: int) -> int:
    """The unicast address of a node of the lab."""
    return GATEWAY if index == 0 else 0x0100 + index


def index_of(address: int) -> int:
    """The node of the lab with this address."""
    return 0 if address == GATEWAY else address - 0x0100


def site_document(count: int, seed: int = 1) -> dict[str, Any]:
    """A Mesh Configuration Database with keys of its own."""
    random = Random(seed)
    return {
        "meshUUID": random.randbytes(16).hex(),
        "netKeys": [{"index": 0, "key": random.randbytes(16).hex(), "phase": 0}],
        "appKeys": [{"index": 0, "key": random.randbytes(16).hex(), "boundNetKey": 0}],
        "nodes": [
            {
                "UUID": random.randbytes(6).hex() + "4000" + "8000" + random.randbytes(6).hex(),
                "unicastAddress": f"{address_of(index):04X}",
                "deviceKey": random.randbytes(16).hex(),
            }
            for index in range(count)
        ],
    }


class RealSite:
    """`async with RealSite(folder, topology)`: attached, but neither commissioned nor is `link` open."""

    def __init__(self, folder: Path, topology: Topology, lamps: Iterable[int] | None = None) -> None:
        self.folder = folder
        self._topology = topology
        self._lamp_nodes = tuple(range(1, topology.nodes) if lamps is None else lamps)
        self._lamps: asyncio.Task[None] | None = None
        self.lab = Lab(folder / "lab", topology.nodes, topology)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.lab)
            path = self.folder / "site.json"
            path.write_text(json.dumps(site_document(self._topology.nodes)))
            path.chmod(0o600)
            self.site = cdb.read(path)
            self.link = self.new_link()
            stack.push_async_callback(self.link.close)
            if self._lamp_nodes:
                self._lamps = asyncio.create_task(self._run_lamps(path))
                stack.push_async_callback(self._stop_lamps)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def place(self, index: int) -> DaemonPlace:
        """Where a node's daemon is now."""
        return DaemonPlace(self.lab.bus_address, self.lab.daemon_pid(index))

    def new_link(self, index: int = 0) -> BluezMeshLink:
        """A link of the gateway on a node of the lab; one a node may be open at a time."""
        state = self.folder / f"gateway-{index}"
        settings = BluezSettings(self.site, address_of(index), state, self.place(index))
        return BluezMeshLink(settings, SystemClock(), Random(3 + index))

    async def commission(self, relays: tuple[int, ...] = ()) -> None:
        """Make all lamps ready over the air, from the open link. Every node has to hear the gateway now,
        or a relay that is ready before."""
        async with asyncio.TaskGroup() as tasks:
            for index in self._lamp_nodes:
                address = address_of(index)
                plan = NodePlan(
                    self.site.app_keys[0],
                    subscriptions=((SERVER, MONITOR_PROBES), (generic_onoff.SERVER, GROUP)),
                    default_ttl=7,
                    network_transmit=QUICK,
                    relay=index in relays,
                    relay_retransmit=QUICK,
                )
                tasks.create_task(self.link.commission(address, plan))

    async def hasten(self, settings: MonitorSet) -> None:
        """Set how everybody monitors, the gateway's own node too."""
        for address in map(address_of, (0, *self._lamp_nodes)):
            await insist(partial(self._set_monitor, address, settings), TimedOut)

    async def _set_monitor(self, address: int, settings: MonitorSet) -> None:
        await self.link.request(address, build(settings), MonitorStatus.OPCODE, 0.5)

    async def _run_lamps(self, path: Path) -> None:
        daemons = {address_of(i): self.place(i) for i in self._lamp_nodes}
        settings = node_app.Settings(path, self.folder / "lamps", daemons)
        await node_app.run(settings, seed=5, restart_hook=self._restart_daemon)

    async def _restart_daemon(self, address: int) -> None:
        await self.lab.restart(index_of(address))

    async def _stop_lamps(self) -> None:
        if self._lamps is not None:
            self._lamps.cancel()
            await asyncio.gather(self._lamps, return_exceptions=True)


async def eventually(done: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as `done()` holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.01)


async def insist(
    call: Callable[[], Awaitable[object]], error: type[Exception], seconds: float = 20.0
) -> None:
    """Repeat a call until it does not raise `error` any more. Raises TimeoutError."""
    async with asyncio.timeout(20.0):
        while True:
            try:
                await call()
                return
            except error:
                await asyncio.sleep(0.05)
