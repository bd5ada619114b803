"""A site whose gateway is our own stack and whose lamps are real daemons: no daemon serves the gateway.

Daemons are nodes 0 to n-1 of the lab; lamp i runs on daemon i. The lab's last node, n, has no daemon: there
our stack meets the air, itself or through a virtual proxy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, Self

from common.clock import SystemClock
from common.errors import TimedOut
from common.logs import get_logger
from common.mesh.configuration import ConfigurationChange, Transmit
from firmware_bridge.access import generic_onoff
from firmware_bridge.access.link_monitor import MONITOR_PROBES, SERVER, MonitorSet
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.bearers.air import AirBearer, AirPlace
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.bluez.own_node import Surroundings
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.foundation.commissioner import NodePlan
from firmware_bridge.node_app import Lamp
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tools.meshlab import sitefile
from tools.meshlab.lab import Lab
from tools.meshlab.sitefile import FIRST_ADDRESS, SitePlan
from tools.meshlab.topology import Topology

GATEWAY: Final = FIRST_ADDRESS
GROUP: Final = 0xC000
PACE: Final = Transmit(2, 10)
TTL: Final = 8
_AT_ONCE: Final = 8
_ATTEMPTS: Final = 10
_REMEMBERED: Final = 1000
_HUSHES: Final = 3


def lamp_address(index: int) -> int:
    """The unicast address of the lamp on daemon `index`."""
    return GATEWAY + 1 + index


class ListeningLamp(Lamp):
    """A lamp that keeps the payloads it was sent."""

    def __init__(self, surroundings: Surroundings, address: int, lab: Lab) -> None:
        super().__init__(surroundings, address, self._restart_daemon)
        self._lab = lab
        self.heard: deque[bytes] = deque(maxlen=_REMEMBERED)

    async def _restart_daemon(self, address: int) -> None:
        await self._lab.restart(address - lamp_address(0))

    def message(self, source: int, destination: int, payload: bytes, parsed: AccessMessage | Opaque) -> None:
        self.heard.append(payload)
        super().message(source, destination, payload, parsed)


class StackSite:
    """`async with StackSite(folder, topology) as site`: lamps attach; `link` is on the air, and not open.

    The topology's last node is ours. `state` is where the gateway's node keeps its numbers.
    """

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.folder = folder
        self.state = folder / "gateway"
        self.site_file = folder / "site.json"
        self.ours = topology.nodes - 1
        self.lab = Lab(folder / "lab", self.ours, topology)
        self.lamps: list[ListeningLamp] = []
        self._running: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.lab)
            self.site = sitefile.write(self.site_file, SitePlan(self.ours + 1, gateways=1))
            self.sockets = Path(str(self.lab.state()["sockets"]))
            self.lamps = [self._lamp(index) for index in range(self.ours)]
            self._running = asyncio.create_task(self._run_lamps())
            stack.push_async_callback(self._stop_lamps)
            self.link = await self._make_link(stack)
            stack.push_async_callback(self.link.close)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def place(self) -> AirPlace:
        """The lab's node without a daemon."""
        return AirPlace(self.sockets, self.ours)

    def settings(self) -> StackSettings:
        """The gateway's node."""
        return StackSettings(self.site, GATEWAY, self.state, (GROUP,))

    async def commission(self, relays: Iterable[int] = (), pace: Transmit = PACE) -> None:
        """Make all lamps ready, from the open link; every lamp has to hear our node of the lab now.

        Relays come last: they would repeat everything said here, and still be at it when the rest begins.
        """
        plan = NodePlan(
            self.site.app_keys[0],
            subscriptions=((SERVER, MONITOR_PROBES), (generic_onoff.SERVER, GROUP)),
            default_ttl=TTL,
            network_transmit=pace,
            relay=False,
            relay_retransmit=pace,
        )
        gate = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for index in range(self.ours):
                work = partial(self.link.commission, lamp_address(index), plan)
                tasks.create_task(_insist(gate, work))
        async with asyncio.TaskGroup() as tasks:
            for index in relays:
                on = ConfigurationChange(relay=True, relay_retransmit=pace)
                tasks.create_task(_insist(gate, partial(self.link.configure, lamp_address(index), on)))

    async def hush(self) -> None:
        """Turn all link monitors off, from the open link. Twenty nodes that probe and report leave little of
        the air of daemons, each of which sends fifty packets a second at most, and remembers too few to tell
        one that comes round again."""
        silent = build(MonitorSet(period_units=0))
        for _ in range(_HUSHES):
            await self.link.send(MONITOR_PROBES, silent)
            await asyncio.sleep(0.2)

    async def _make_link(self, stack: AsyncExitStack) -> StackMeshLink:
        return StackMeshLink(self.settings(), AirBearer(self.place, PACE), SystemClock(), Random(3), 8.0)

    def _lamp(self, index: int) -> ListeningLamp:
        place = DaemonPlace(self.lab.bus_address, self.lab.daemon_pid(index))
        tokens = TokenStore(self.folder / "lamps" / "tokens")
        log = get_logger(__name__)
        surroundings = Surroundings(self.site, place, tokens, SystemClock(), Random(f"lamp/{index}"), log)
        return ListeningLamp(surroundings, lamp_address(index), self.lab)

    async def _run_lamps(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for lamp in self.lamps:
                tasks.create_task(lamp.run())

    async def _stop_lamps(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


async def _insist(gate: asyncio.Semaphore, work: Callable[[], Awaitable[object]]) -> None:
    """Repeat what found no answer: a lamp may not be attached yet."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with gate:
                await work()
            return
        except TimedOut:
            if attempt == _ATTEMPTS:
                raise
