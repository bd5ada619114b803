"""From the bytes of an access message to its meaning: the table of everything understood here."""

from __future__ import annotations

from types import MappingProxyType

from firmware_bridge.access import (
    config_heartbeat,
    config_models,
    config_state,
    generic_onoff,
    health,
    link_monitor,
)
from firmware_bridge.access.message import AccessMessage, Opaque
from firmware_bridge.access.opcodes import split

_UNDERSTOOD: tuple[type[AccessMessage], ...] = (
    config_state.DefaultTtlGet,
    config_state.DefaultTtlSet,
    config_state.DefaultTtlStatus,
    config_state.NetworkTransmitGet,
    config_state.NetworkTransmitSet,
    config_state.NetworkTransmitStatus,
    config_state.RelayGet,
    config_state.RelaySet,
    config_state.RelayStatus,
    config_state.CompositionGet,
    config_state.CompositionStatus,
    config_models.AppKeyAdd,
    config_models.AppKeyStatus,
    config_models.ModelAppBind,
    config_models.ModelAppStatus,
    config_models.ModelSubscriptionAdd,
    config_models.ModelSubscriptionStatus,
    config_models.ModelPublicationSet,
    config_models.ModelPublicationStatus,
    config_heartbeat.HeartbeatPublicationSet,
    config_heartbeat.HeartbeatPublicationStatus,
    config_heartbeat.HeartbeatSubscriptionGet,
    config_heartbeat.HeartbeatSubscriptionSet,
    config_heartbeat.HeartbeatSubscriptionStatus,
    generic_onoff.OnOffGet,
    generic_onoff.OnOffSet,
    generic_onoff.OnOffSetUnacknowledged,
    generic_onoff.OnOffStatus,
    health.FaultGet,
    health.FaultStatus,
    health.AttentionGet,
    health.AttentionSet,
    health.AttentionStatus,
    link_monitor.Probe,
    link_monitor.ProbeRequest,
    link_monitor.ProbeAnswer,
    link_monitor.Report,
    link_monitor.ReportRssi,
    link_monitor.Lost,
    link_monitor.MonitorGet,
    link_monitor.MonitorSet,
    link_monitor.MonitorStatus,
    link_monitor.Restart,
    link_monitor.RestartStatus,
)

MESSAGES = MappingProxyType({kind.OPCODE: kind for kind in _UNDERSTOOD})


def parse(payload: bytes) -> AccessMessage | Opaque:
    """The message in an access payload; `Opaque` for an opcode that is not in the table.

    Raises Rejected and nothing else, whatever the bytes.
    """
    opcode, parameters = split(payload)
    kind = MESSAGES.get(opcode)
    return Opaque(opcode, parameters) if kind is None else kind.parse(parameters)
