"""One discovery an adapter for all who listen in this process: bluetoothd grants a client no second one.

It starts with the first listener and ends with the last. What the advertisements say is for the listeners.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from common.errors import MeshtwinError
from common.logs import get_logger
from firmware_bridge.bearers.gatt_errors import translated
from firmware_bridge.bearers.gatt_service import PROVISIONING, PROXY

Hear = Callable[[BLEDevice, AdvertisementData], None]

_SERVICES: Final = [PROXY.service, PROVISIONING.service]
_PATIENCE_S: Final = 2.0
_log = get_logger(__name__)


@asynccontextmanager
async def listening(hear: Hear, adapter: str | None) -> AsyncIterator[None]:
    """Call `hear` for every advertisement of a proxy or of an unprovisioned device while the block runs.

    `adapter` is such as "hci0"; None takes the first that is powered. Any number may listen at once. Raises
    Unavailable, TimedOut, Misconfigured.
    """
    discovery = _of(adapter)
    await discovery.join(hear)
    try:
        yield
    finally:
        await discovery.leave(hear)


class Discovery:
    """The discovery of one adapter, and who listens to it."""

    def __init__(self, adapter: str | None) -> None:
        self._adapter = adapter
        self._changing = asyncio.Lock()
        self._scanner: BleakScanner | None = None
        self._listeners: list[Hear] = []

    async def join(self, hear: Hear) -> None:
        """Listen; a discovery that is under way is shared, and what it heard is told at once: bluetoothd
        need not tell twice of what stays the same. Raises Unavailable, TimedOut, Misconfigured."""
        async with self._changing:
            scanner = self._scanner or await self._start()
            self._listeners.append(hear)
        for device, advertisement in scanner.discovered_devices_and_advertisement_data.values():
            hear(device, advertisement)

    async def leave(self, hear: Hear) -> None:
        """Listen no more; the last one ends the discovery, even when cancelled."""
        self._listeners.remove(hear)
        if not self._listeners:
            await _finished(self._stop_unheard)

    async def _start(self) -> BleakScanner:
        scanner = BleakScanner(
            self._heard,
            service_uuids=_SERVICES,
            bluez={} if self._adapter is None else {"adapter": self._adapter},
        )
        self._scanner = scanner
        try:
            with translated("scan"):
                await _finished(scanner.start)
        except BaseException:
            await _finished(self._stop)
            raise
        return scanner

    async def _stop_unheard(self) -> None:
        async with self._changing:
            # Somebody may have joined while the lock was waited for.
            if not self._listeners:
                await self._stop()

    async def _stop(self) -> None:
        scanner, self._scanner = self._scanner, None
        if scanner is None:
            return
        try:
            with translated("end of scan"):
                await scanner.stop()
        except MeshtwinError as error:
            # Must not take the place of what ended the scan; the next scan will tell.
            _log.debug("scan-not-ended", reason=error)

    def _heard(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        for hear in tuple(self._listeners):
            hear(device, advertisement)


# By event loop, as bleak keeps its one connection to bluetoothd.
_DISCOVERIES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str | None, Discovery]]] = (
    WeakKeyDictionary()
)


def _of(adapter: str | None) -> Discovery:
    discoveries = _DISCOVERIES.setdefault(asyncio.get_running_loop(), {})
    return discoveries.setdefault(adapter, Discovery(adapter))


async def _finished(call: Callable[[], Coroutine[None, None, None]]) -> None:
    """Await a call to bluetoothd to its end even when cancelled.

    A StartDiscovery whose answer nobody took leaves a discovery behind that bleak does not know of and cannot
    end: every later scan of this process would be refused as being in progress.
    """
    task = asyncio.ensure_future(call())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await asyncio.wait([task], timeout=_PATIENCE_S)
        finally:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
