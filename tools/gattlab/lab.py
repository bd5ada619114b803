"""The lab: a private bus that stands for the system's, a bluetoothd on it, and virtual nodes around.

    async with GattLab() as lab:
        node = await lab.node(service_data)
        ...  # bleak, and what uses it, finds the node

bleak knows the system's bus by the environment alone: while the lab runs, DBUS_SYSTEM_BUS_ADDRESS of this
process names the lab's. One lab a process, therefore.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bleak.backends.bluezdbus import manager
from bumble.link import LocalLink

from common.errors import Misconfigured
from firmware_bridge.bearers.gatt_service import PROXY, GattService
from tools.gattlab.bluez_service import BluezService
from tools.gattlab.proxy_node import USUAL_MTU, ProxyNode
from tools.gattlab.radio import Radio
from tools.meshlab import bus
from tools.meshlab.poll import listens, until

ADAPTER_ADDRESS: Final = "F0:00:00:00:00:99"
_VARIABLE: Final = "DBUS_SYSTEM_BUS_ADDRESS"
_START_S: Final = 10.0


class GattLab:
    """`async with GattLab()`; raises Misconfigured where dbus-daemon is not installed.

    `bluez` is the running bluetoothd, `radio` its adapter, `link` what the nodes' radios share with it.
    """

    def __init__(self, *, powered: bool = True) -> None:
        self.link = LocalLink()  # type: ignore[no-untyped-call]
        self.radio = Radio(self.link, ADAPTER_ADDRESS)
        self._powered = powered
        self._nodes: list[ProxyNode] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gattlab-")))
            self._bus_address = bus.address(folder)
            process = bus.start(_dbus_daemon(), folder, dict(os.environ), folder / "bus.log")
            stack.push_async_callback(process.stop)
            async with asyncio.timeout(_START_S):
                await until(lambda: listens(folder / "bus"))
            stack.enter_context(_as_system_bus(self._bus_address))
            stack.push_async_callback(_end_bleak)
            await self.radio.start()
            stack.push_async_callback(self.radio.stop)
            await self.start_bluetoothd()
            stack.push_async_callback(self._stop_bluetoothd)
            stack.push_async_callback(self._stop_nodes)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def node(
        self,
        service_data: bytes,
        *,
        rssi: int = -60,
        mtu: int = USUAL_MTU,
        service: GattService = PROXY,
    ) -> ProxyNode:
        """A new node that advertises and can be connected to."""
        address = f"F1:00:00:00:00:{len(self._nodes) + 1:02X}"
        node = ProxyNode(self.link, address, service_data, mtu=mtu, service=service)
        self.radio.strengths[address] = rssi
        self._nodes.append(node)
        await node.start()
        return node

    async def start_bluetoothd(self) -> None:
        """Start it, again after a `bluez.kill()`: it knows nothing of before."""
        self.bluez = BluezService(self.radio, self._bus_address, powered=self._powered)
        await self.bluez.start()

    async def _stop_bluetoothd(self) -> None:
        await self.bluez.stop()

    async def _stop_nodes(self) -> None:
        for node in self._nodes:
            await node.stop()


def _dbus_daemon() -> str:
    path = shutil.which("dbus-daemon")
    if path is None:
        raise Misconfigured("dbus-daemon is not installed", "apt-get install dbus")
    return path


@contextmanager
def _as_system_bus(address: str) -> Iterator[None]:
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = address
    try:
        yield
    finally:
        os.environ.pop(_VARIABLE)
        if before is not None:
            os.environ[_VARIABLE] = before


async def _end_bleak() -> None:
    """Close the connection to the bus that bleak keeps for the rest of an event loop's life: in a program
    that has one loop that is no leak, in a test it is."""
    kept = manager._global_instances.pop(asyncio.get_running_loop(), None)
    if kept is not None and kept._bus is not None:
        kept._bus.disconnect()
        if kept._bus_watcher_task is not None:
            await asyncio.wait([kept._bus_watcher_task])
