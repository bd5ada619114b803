"""A new node made ready: its composition asked for, its models bound, its states set; and what the site file
says of that. Safe to repeat."""

from __future__ import annotations

from typing import Any, Final

from common.errors import Rejected, RejectReason
from common.mesh.cdb import SiteFile
from common.mesh.configuration import Transmit
from firmware_bridge.access import link_monitor
from firmware_bridge.access.composition import Composition, CompositionGet, CompositionStatus
from firmware_bridge.access.fields import ModelId
from firmware_bridge.foundation.commissioner import NODE_MODELS, NodePlan, commission
from firmware_bridge.foundation.config_client import ConfigClient
from firmware_bridge.stack.control import Features

COMPOSITION_S: Final = 20.0
"""A node that has just been provisioned may restart first."""


async def composition_of(client: ConfigClient, address: int) -> Composition:
    """A node's composition page 0. Raises TimedOut, Rejected, Unavailable."""
    status = await client.ask(
        address, CompositionGet(0), CompositionStatus, lambda status: status.page == 0, COMPOSITION_S
    )
    page = status.parsed()
    if not isinstance(page, Composition):
        raise Rejected(RejectReason.REFUSED_BY_NODE, "the node has no composition page 0")
    return page


def plan_for(site: SiteFile, composition: Composition, relay: bool) -> NodePlan | None:
    """What the node shall have, of what it can have; None for a site without an application key."""
    if not site.app_keys:
        return None
    has = set(composition.elements[0].models)
    monitored = link_monitor.SERVER in has
    usual = NodePlan(site.app_keys[0])
    return NodePlan(
        site.app_keys[0],
        models=tuple(model for model in NODE_MODELS if model in has),
        subscriptions=usual.subscriptions if monitored else (),
        probe_transmissions=usual.probe_transmissions if monitored else None,
        relay=relay if composition.features & Features.RELAY else None,
    )


async def make_ready(client: ConfigClient, address: int, plan: NodePlan | None) -> None:
    """Raises TimedOut, Rejected, Unavailable."""
    if plan is not None:
        await commission(client, address, plan)


def described(composition: Composition) -> dict[str, Any]:
    """The composition in the site file's words (Mesh CDB Profile 1.0.1, node)."""
    return {
        "cid": f"{composition.company:04X}",
        "pid": f"{composition.product:04X}",
        "vid": f"{composition.version:04X}",
        "crpl": f"{composition.replay_entries:04X}",
        "features": {name: 0 if composition.features & bit else 2 for name, bit in _FEATURES.items()},
        "elements": [
            {
                "index": index,
                "location": f"{element.location:04X}",
                "models": [{"modelId": _model(m), "subscribe": [], "bind": []} for m in element.models],
            }
            for index, element in enumerate(composition.elements)
        ],
    }


def configured(said: dict[str, Any], plan: NodePlan | None) -> dict[str, Any]:
    """The same fields once the node has what `plan` says."""
    if plan is None:
        return {**said, "configComplete": True}
    bound = {_model(model) for model in plan.models}
    heard = {_model(model): f"{group:04X}" for model, group in plan.subscriptions}
    first, *others = said["elements"]
    models = [
        {
            **model,
            "bind": [plan.app_key.index] if model["modelId"] in bound else [],
            "subscribe": [heard[model["modelId"]]] if model["modelId"] in heard else [],
        }
        for model in first["models"]
    ]
    features = {**said["features"], "relay": int(plan.relay)} if plan.relay is not None else said["features"]
    fields = {
        **said,
        "features": features,
        "elements": [{**first, "models": models}, *others],
        "appKeys": [{"index": plan.app_key.index, "updated": False}],
        "configComplete": True,
    }
    if plan.network_transmit is not None:
        fields["networkTransmit"] = _transmit(plan.network_transmit)
    if plan.relay is not None:
        fields["relayRetransmit"] = _transmit(plan.relay_retransmit)
    return fields


_FEATURES: Final = {
    "relay": Features.RELAY,
    "proxy": Features.PROXY,
    "friend": Features.FRIEND,
    "lowPower": Features.LOW_POWER,
}


def _model(model: ModelId) -> str:
    return f"{model.model:04X}" if model.company is None else f"{model.company:04X}{model.model:04X}"


def _transmit(state: Transmit) -> dict[str, int]:
    return {"count": state.count, "interval": state.interval_ms}
