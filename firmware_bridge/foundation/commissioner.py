"""Making a provisioned node ready: its key, bound models, subscriptions, publication, transmit states.

Works on any node that the Config client can reach, its own too, and may be repeated: every step leaves a
node that is ready as it was. Provisioning itself is not done here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from common.errors import Rejected, RejectReason
from common.mesh.addresses import show
from common.mesh.cdb import AppKey
from common.mesh.configuration import Transmit
from firmware_bridge.access import generic_onoff, health, link_monitor
from firmware_bridge.access.config_keys import AppKeyAdd, AppKeyStatus
from firmware_bridge.access.config_models import (
    ModelAppBind,
    ModelAppStatus,
    ModelSubscriptionAdd,
    ModelSubscriptionStatus,
)
from firmware_bridge.access.config_publication import (
    ModelPublicationSet,
    ModelPublicationStatus,
    Publication,
)
from firmware_bridge.access.config_state import (
    DefaultTtlSet,
    DefaultTtlStatus,
    NetworkTransmitSet,
    NetworkTransmitStatus,
    RelaySet,
    RelayState,
    RelayStatus,
)
from firmware_bridge.access.fields import ModelId, Status, status_name
from firmware_bridge.access.link_monitor import MonitorStatus
from firmware_bridge.foundation.config_client import ConfigClient

NODE_MODELS: Final = (generic_onoff.SERVER, health.SERVER, link_monitor.SERVER)
GATEWAY_MODELS: Final = (generic_onoff.CLIENT, health.CLIENT, link_monitor.SERVER, link_monitor.CLIENT)
# Two transmissions a hop bring one message in ten of lost packets to one in a hundred. BlueZ starts with
# 100 ms between packets for a node's own, and eight repeats 310 ms apart for relayed ones.
NETWORK_TRANSMIT: Final = Transmit(2, 20)
RELAY_RETRANSMIT: Final = Transmit(2, 20)
_PROBES: Final = (link_monitor.SERVER, link_monitor.MONITOR_PROBES)
_REPORTS: Final = (link_monitor.CLIENT, link_monitor.MONITOR_REPORTS)


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a node shall have. None leaves a state as it is. `probe_transmissions` of None sets no
    publication; see `probe_publication`."""

    app_key: AppKey = field(repr=False)
    models: tuple[ModelId, ...] = NODE_MODELS
    subscriptions: tuple[tuple[ModelId, int], ...] = (_PROBES,)
    probe_transmissions: int | None = MonitorStatus().transmissions
    default_ttl: int | None = None
    network_transmit: Transmit | None = NETWORK_TRANSMIT
    relay: bool | None = False
    relay_retransmit: Transmit = RELAY_RETRANSMIT


def gateway_plan(app_key: AppKey) -> NodePlan:
    """What a gateway's own node needs at every start: it probes and listens like a node, and hears reports.
    Its states are left as they were set; its monitor sets the publication."""
    return NodePlan(
        app_key,
        models=GATEWAY_MODELS,
        subscriptions=(_PROBES, _REPORTS),
        probe_transmissions=None,
        network_transmit=None,
        relay=None,
    )


def probe_publication(address: int, key_index: int, transmissions: int) -> Publication:
    """The link monitor's publication: to direct neighbours only.

    TTL is 0, as BlueZ never sends a publication of TTL 1. It takes the retransmit count for the number of
    transmissions, 50 ms apart; firmware by the book sends one more and says so in its probes.
    """
    return Publication(
        element=address,
        address=link_monitor.MONITOR_PROBES,
        model=link_monitor.SERVER,
        app_key_index=key_index,
        ttl=0,
        retransmit=min(7, transmissions),
    )


async def commission(client: ConfigClient, address: int, plan: NodePlan) -> None:
    """Bring the node at `address` to `plan`, step by step, each repeated until answered.

    Raises TimedOut, Rejected(REFUSED_BY_NODE), Unavailable.
    """
    # First what makes the rest quick.
    await _set_states(client, address, plan)
    await _give_key(client, address, plan.app_key)
    for model in plan.models:
        await _bind(client, address, plan.app_key.index, model)
    for model, group in plan.subscriptions:
        await _subscribe(client, address, model, group)
    if plan.probe_transmissions is not None:
        publication = probe_publication(address, plan.app_key.index, plan.probe_transmissions)
        await set_publication(client, address, publication)


async def set_publication(client: ConfigClient, address: int, publication: Publication) -> None:
    """Set a model's publication. Raises as `commission`."""
    status = await client.ask(
        address,
        ModelPublicationSet(publication),
        ModelPublicationStatus,
        lambda status: status.publication.model == publication.model,
    )
    _check(address, "publication", status.status)


async def _give_key(client: ConfigClient, address: int, key: AppKey) -> None:
    status = await client.ask(
        address,
        AppKeyAdd(key.bound_net_key, key.index, key.key.reveal()),
        AppKeyStatus,
        lambda status: status.app_key_index == key.index,
    )
    _check(address, "application key", status.status)


async def _bind(client: ConfigClient, address: int, key_index: int, model: ModelId) -> None:
    status = await client.ask(
        address,
        ModelAppBind(address, key_index, model),
        ModelAppStatus,
        lambda status: (status.model, status.app_key_index) == (model, key_index),
    )
    _check(address, f"binding of model {model.model:04x}", status.status)


async def _subscribe(client: ConfigClient, address: int, model: ModelId, group: int) -> None:
    status = await client.ask(
        address,
        ModelSubscriptionAdd(address, group, model),
        ModelSubscriptionStatus,
        lambda status: (status.model, status.group) == (model, group),
    )
    _check(address, f"subscription to {show(group)}", status.status)


async def _set_states(client: ConfigClient, address: int, plan: NodePlan) -> None:
    if (transmit := plan.network_transmit) is not None:
        await client.ask(
            address,
            NetworkTransmitSet(transmit),
            NetworkTransmitStatus,
            lambda status: status.transmit == transmit,
        )
    if (ttl := plan.default_ttl) is not None:
        await client.ask(address, DefaultTtlSet(ttl), DefaultTtlStatus, lambda status: status.ttl == ttl)
    if plan.relay is not None:
        state = RelayState.ON if plan.relay else RelayState.OFF
        wanted = RelaySet(state, plan.relay_retransmit)
        await client.ask(address, wanted, RelayStatus, lambda status: status.state == state)


def _check(address: int, what: str, status: int) -> None:
    if status != Status.SUCCESS:
        raise Rejected(
            RejectReason.REFUSED_BY_NODE, f"{show(address)} refuses its {what}: {status_name(status)}"
        )
