"""What every access message can do, and the message that nobody here understands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

from common.errors import Rejected, RejectReason
from firmware_bridge.access.opcodes import MAX_ACCESS_PAYLOAD, opcode_bytes


class AccessMessage(Protocol):
    """A message by its meaning. Values that cannot go on air are refused when it is made."""

    OPCODE: ClassVar[int]

    def parameters(self) -> bytes:
        """What follows the opcode."""

    @classmethod
    def parse(cls, parameters: bytes) -> Self:
        """The message with these parameters. Raises Rejected and nothing else, whatever the bytes."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A message whose opcode is foreign or reserved: carried, never interpreted."""

    opcode: int
    data: bytes = field(repr=False)


def build(message: AccessMessage | Opaque) -> bytes:
    """Opcode and parameters. Raises Rejected(OVERSIZED, OUT_OF_RANGE)."""
    if isinstance(message, Opaque):
        payload = opcode_bytes(message.opcode) + message.data
    else:
        payload = opcode_bytes(message.OPCODE) + message.parameters()
    if len(payload) > MAX_ACCESS_PAYLOAD:
        raise Rejected(RejectReason.OVERSIZED, f"{len(payload)} bytes, at most {MAX_ACCESS_PAYLOAD}")
    return payload
