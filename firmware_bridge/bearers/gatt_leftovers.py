"""Connections that bluetoothd still holds for a process of ours that was killed.

It ends none when its client vanishes. A proxy with room for one connection does not advertise meanwhile, so
that no scan would ever find it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dbus_fast import unpack_variants

from common.errors import MeshtwinError
from common.logs import get_logger
from firmware_bridge.bearers.gatt_liveness import BLUETOOTHD
from firmware_bridge.bearers.gatt_scan import Recognise
from firmware_bridge.bearers.gatt_service import PROXY
from firmware_bridge.bluez.bus import Bus

_DEVICE: Final = "org.bluez.Device1"
_OBJECTS: Final = "org.freedesktop.DBus.ObjectManager"
_log = get_logger(__name__)


def leftovers(managed: Mapping[str, Mapping[str, Mapping[str, Any]]], recognise: Recognise) -> list[str]:
    """The paths of connected devices that are proxies of our network, by the service data they last sent.

    `managed` is what GetManagedObjects of bluetoothd answers, without variants.
    """
    found = []
    for path, interfaces in managed.items():
        device = interfaces.get(_DEVICE, {})
        data = device.get("ServiceData", {}).get(PROXY.service)
        if device.get("Connected") and data is not None and recognise(bytes(data)) is not None:
            found.append(path)
    return found


async def free_leftovers(recognise: Recognise) -> None:
    """Disconnect them all. To be called while we have no connection. What fails is logged: a scan follows,
    and tells more."""
    try:
        async with Bus(None) as bus:
            (managed,) = await bus.call(BLUETOOTHD, "/", _OBJECTS, "GetManagedObjects")
            for path in leftovers(unpack_variants(managed), recognise):
                _log.warning("connection-left-over", device=path)
                await bus.call(BLUETOOTHD, path, _DEVICE, "Disconnect")
    except MeshtwinError as error:
        _log.debug("leftovers-not-freed", reason=error)
