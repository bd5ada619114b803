"""The GATT services that carry proxy PDUs: a characteristic to write to, and one that notifies (7.1, 7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_bridge.stack.service_data import MESH_PROVISIONING_SERVICE, MESH_PROXY_SERVICE


def uuid(assigned: int) -> str:
    """The long form of a 16-bit UUID, as bleak wants it."""
    return f"{assigned:08x}-0000-1000-8000-00805f9b34fb"


@dataclass(frozen=True, slots=True)
class GattService:
    """`data_in` is written without response, `data_out` notifies."""

    service: str
    data_in: str
    data_out: str


PROXY: Final = GattService(uuid(MESH_PROXY_SERVICE), uuid(0x2ADD), uuid(0x2ADE))
"""Mesh Proxy Service (7.2): to a node of the network."""

PROVISIONING: Final = GattService(uuid(MESH_PROVISIONING_SERVICE), uuid(0x2ADB), uuid(0x2ADC))
"""Mesh Provisioning Service (7.1): to a device that has no network yet."""

SUBSCRIPTION: Final = uuid(0x2902)
"""The descriptor that says whether a characteristic notifies us."""
