"""What the clients and the monitor of our own node need of whatever sends for them."""

from __future__ import annotations

from typing import Protocol

from common.errors import Unavailable
from firmware_bridge.access.fields import ModelId


class Silent(Unavailable):
    """What carries us is there but does not answer: it hangs, and has to be attached to anew."""


class Sender(Protocol):
    """Our own node while it is attached. Every call raises Unavailable once it is not."""

    async def send(self, destination: int, payload: bytes, key_index: int) -> None:
        """Send under an application key with the node's default TTL. Raises Rejected, Unavailable."""

    async def send_with_device_key(self, destination: int, payload: bytes) -> None:
        """Send to a node (ourselves too) under that node's device key. Raises Rejected, Unavailable."""

    async def publish(self, model: ModelId, payload: bytes) -> None:
        """Publish as the model's publication state says. Raises Rejected where it has none."""
