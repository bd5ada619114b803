"""From the bytes of an access message to its meaning: the table of everything understood here.

A node's expulsion is not in it, and so stays opaque: see `expulsion`.
"""

from __future__ import annotations

from types import MappingProxyType

from firmware_bridge.access import (
    composition,
    config_heartbeat,
    config_keys,
    config_models,
    config_publication,
    config_state,
    generic_battery,
    generic_level,
    generic_onoff,
    health,
    large_composition,
    light_lightness,
    link_monitor,
    private_beacon,
    private_proxy,
    sar_configuration,
    sensor,
    transition,
)
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.access.opcodes import split

_UNDERSTOOD: tuple[type[AccessMessage], ...] = (
    *config_state.MESSAGES,
    *config_keys.MESSAGES,
    *config_models.MESSAGES,
    *config_publication.MESSAGES,
    *config_heartbeat.MESSAGES,
    *composition.MESSAGES,
    *large_composition.MESSAGES,
    *private_beacon.MESSAGES,
    *private_proxy.MESSAGES,
    *sar_configuration.MESSAGES,
    *health.MESSAGES,
    *generic_onoff.MESSAGES,
    *generic_level.MESSAGES,
    *transition.MESSAGES,
    *generic_battery.MESSAGES,
    *sensor.MESSAGES,
    *light_lightness.MESSAGES,
    *link_monitor.MESSAGES,
)

MESSAGES = MappingProxyType({kind.OPCODE: kind for kind in _UNDERSTOOD})


def parse(payload: bytes) -> AccessMessage | Opaque:
    """The message in an access payload; `Opaque` for an opcode that is not in the table.

    Raises Rejected and nothing else, whatever the bytes.
    """
    opcode, parameters = split(payload)
    kind = MESSAGES.get(opcode)
    return Opaque(opcode, parameters) if kind is None else kind.parse(parameters)
