"""From the bytes of an access message to its meaning: the table of everything understood here.

A model's messages are loaded when the first of them comes: a gateway that reads lamps never holds the classes
for sensors; together they take a megabyte. A node's expulsion is not in the table, and so stays opaque: see
`expulsion`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Final

from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.access.opcodes import split

# The opcodes of each module's MESSAGES; a test holds the two together.
_OPCODES: Final[dict[str, Iterable[int]]] = {
    "composition": (0x02, 0x8008),
    "config_heartbeat": (0x06, *range(0x8038, 0x803D)),
    "config_keys": (
        0x00, 0x01, *range(0x8000, 0x8004), *range(0x8015, 0x8018), *range(0x8040, 0x8048), 0x8048,
    ),
    "config_models": (
        *range(0x801B, 0x8023), *range(0x8029, 0x802D), *range(0x803D, 0x8040), *range(0x804B, 0x804F),
    ),
    "config_publication": (0x03, *range(0x8018, 0x801B)),
    "config_state": (
        *range(0x8009, 0x8015), *range(0x8023, 0x8029), 0x802D, 0x802E, 0x804A,
    ),
    "generic_battery": (0x8223, 0x8224),
    "generic_level": range(0x8205, 0x820D),
    "generic_onoff": range(0x8201, 0x8205),
    "health": (0x04, 0x05, *range(0x8004, 0x8008), *range(0x802F, 0x8038)),
    "large_composition": range(0x8074, 0x8078),
    "light_lightness": range(0x824B, 0x825D),
    "link_monitor": range(0xC1F105, 0xCDF105, 0x10000),
    "private_beacon": range(0x8060, 0x8069),
    "private_proxy": range(0x8069, 0x806C),
    "sar_configuration": range(0x806C, 0x8072),
    "sensor": (0x51, 0x52, *range(0x55, 0x5C), 0x8230, 0x8231, *range(0x8234, 0x8237)),
    "transition": range(0x820D, 0x8211),
}  # fmt: skip


class Catalogue(Mapping[int, type[AccessMessage]]):
    """The messages by opcode. Which opcodes there are is known without loading anything."""

    def __init__(self, opcodes: Mapping[str, Iterable[int]]) -> None:
        self._modules = {opcode: module for module, theirs in opcodes.items() for opcode in theirs}
        self._loaded: dict[int, type[AccessMessage]] = {}

    def __getitem__(self, opcode: int) -> type[AccessMessage]:
        if opcode not in self._loaded:
            module = import_module(f"firmware_bridge.access.{self._modules[opcode]}")
            self._loaded |= {kind.OPCODE: kind for kind in module.MESSAGES}
        return self._loaded[opcode]

    def __iter__(self) -> Iterator[int]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


MESSAGES: Final = Catalogue(_OPCODES)


def parse(payload: bytes) -> AccessMessage | Opaque:
    """The message in an access payload; `Opaque` for an opcode that is not in the table.

    Raises Rejected and nothing else, whatever the bytes.
    """
    opcode, parameters = split(payload)
    kind = MESSAGES.get(opcode)
    return Opaque(opcode, parameters) if kind is None else kind.parse(parameters)
