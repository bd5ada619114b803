"""What each kind of link lets the operator do with nodes. Loaded with the first question about them."""

from __future__ import annotations

from edge_agent.config import AgentConfig
from firmware_bridge.link import MeshLink
from firmware_bridge.provisioning.administration import Administration, NetworkState
from firmware_bridge.provisioning.bearer import ProvisioningBearer


def administration_of(link: MeshLink, config: AgentConfig) -> Administration | None:
    """What the operator may do with nodes over this link; None for a virtual site, or none."""
    if config.mesh.link in ("virtual", "none"):
        return None
    return (stack_administration if config.mesh.link == "stack" else bluez_administration)(link, config)


def bluez_administration(link: MeshLink, config: AgentConfig) -> Administration:
    """Nodes can be removed. To add one, the daemon itself would have to provision it: it has the adapter."""
    from firmware_bridge.bluez_mesh import BluezMeshLink

    assert isinstance(link, BluezMeshLink)
    return Administration(link.client, lambda: None)


def stack_administration(link: MeshLink, config: AgentConfig) -> Administration:
    """Nodes can be removed and added: over the air's advertisements, or over GATT through the adapter."""
    from firmware_bridge.stack_mesh import StackMeshLink

    assert isinstance(link, StackMeshLink)

    # A network of one: nobody else could have another index, and nodes are told this one.
    founded = link.addresses() == [config.gateway.address]

    def network() -> NetworkState | None:
        state = link.iv_state()
        if state is None:
            return NetworkState(0) if founded else None
        return NetworkState(state.index, state.updating)

    return Administration(link.client, network, (_bearer(link, config),))


def _bearer(link: MeshLink, config: AgentConfig) -> ProvisioningBearer:
    from firmware_bridge.stack_mesh import StackMeshLink

    assert isinstance(link, StackMeshLink)
    if config.mesh.bearer == "air":
        from firmware_bridge.provisioning.adv_bearer import AdvBearer, BearerRadio

        radio = BearerRadio(link.transmit)
        link.on_overheard = radio.offer
        return AdvBearer(radio)
    from firmware_bridge.provisioning.gatt_bearer import GattBearer

    return GattBearer(config.mesh.adapter)
