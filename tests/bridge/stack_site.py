"""A small site whose gateway is our own stack on the lab's air; the lamps are real daemons.

Daemons are nodes 0 to n-1 of the lab and lamps of the site; the lab's last node, without a daemon, is the
gateway.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from common.clock import SystemClock
from common.errors import TimedOut
from common.mesh import cdb
from common.mesh.configuration import Transmit
from firmware_bridge import node_app
from firmware_bridge.access import generic_onoff
from firmware_bridge.access.link_monitor import MONITOR_PROBES, SERVER, MonitorSet, MonitorStatus
from firmware_bridge.access.message import build
from firmware_bridge.bearers.air import AirBearer, AirPlace
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.foundation.commissioner import NodePlan
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tests.bridge.real_site import GATEWAY, GROUP, QUICK, insist, site_document
from tools.meshlab.lab import Lab
from tools.meshlab.topology import Topology

LAMP = 0x0101


def lamp(index: int) -> int:
    """The unicast address of the lamp on daemon `index`."""
    return LAMP + index


class StackSite:
    """`async with StackSite(folder, topology)`: lamps attach, `link` is not open. The topology's last node is
    the gateway."""

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.folder = folder
        self.lamps = range(topology.nodes - 1)
        self.gateway = topology.nodes - 1
        self.lab = Lab(folder / "lab", len(self.lamps), topology)
        self._running: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.lab)
            path = self.folder / "site.json"
            # The document's first node is the gateway, node i after it the lamp on daemon i - 1.
            path.write_text(json.dumps(site_document(len(self.lamps) + 1)))
            path.chmod(0o600)
            self.site = cdb.read(path)
            self.sockets = Path(str(self.lab.state()["sockets"]))
            self.link = self.new_link()
            stack.push_async_callback(self.link.close)
            self._running = asyncio.create_task(self._run_lamps(path))
            stack.push_async_callback(self._stop_lamps)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def new_link(self) -> StackMeshLink:
        """A link of the gateway; one may be open at a time."""
        bearer = AirBearer(AirPlace(self.sockets, self.gateway), QUICK)
        settings = StackSettings(self.site, GATEWAY, self.folder / "gateway", (GROUP,))
        return StackMeshLink(settings, bearer, SystemClock(), Random(3), open_timeout_s=8.0)

    def cut(self) -> None:
        """Take the gateway's way to the air."""
        (self.sockets / f"air.{self.gateway}").rename(self.sockets / "away")

    def mend(self) -> None:
        """Give it back."""
        (self.sockets / "away").rename(self.sockets / f"air.{self.gateway}")

    async def commission(self, relays: Iterable[int] = (), pace: Transmit = QUICK) -> None:
        """Make all lamps ready over the air, from the open link. Every node has to hear the gateway now."""
        async with asyncio.TaskGroup() as tasks:
            for index in self.lamps:
                plan = NodePlan(
                    self.site.app_keys[0],
                    subscriptions=((SERVER, MONITOR_PROBES), (generic_onoff.SERVER, GROUP)),
                    default_ttl=7,
                    network_transmit=pace,
                    relay=index in relays,
                    relay_retransmit=pace,
                )
                tasks.create_task(insist(partial(self.link.commission, lamp(index), plan), TimedOut))

    async def hasten(self, settings: MonitorSet) -> None:
        """Set how everybody monitors, the gateway's own node too."""
        for address in (GATEWAY, *map(lamp, self.lamps)):
            await insist(partial(self._set_monitor, address, settings), TimedOut)

    async def _set_monitor(self, address: int, settings: MonitorSet) -> None:
        await self.link.request(address, build(settings), MonitorStatus.OPCODE, 0.5)

    async def _run_lamps(self, path: Path) -> None:
        bus = self.lab.bus_address
        daemons = {lamp(i): DaemonPlace(bus, self.lab.daemon_pid(i)) for i in self.lamps}
        settings = node_app.Settings(path, self.folder / "lamps", daemons)
        await node_app.run(settings, seed=5, restart_hook=self._restart_daemon)

    async def _restart_daemon(self, address: int) -> None:
        await self.lab.restart(address - LAMP)

    async def _stop_lamps(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
