"""Makes the link that a configuration asks for. Its code is loaded only then: a gateway has one of three."""

from __future__ import annotations

from importlib.util import find_spec

from common.clock import Clock
from common.errors import Misconfigured
from common.mesh.cdb import SiteFile
from edge_agent.config import AgentConfig
from firmware_bridge.link import MeshLink


def make_link(config: AgentConfig, site_file: SiteFile | None, clock: Clock) -> MeshLink:
    """The link that the configuration asks for; its code is loaded only then."""
    mesh, gateway = config.mesh, config.gateway
    if mesh.link == "none":
        from firmware_bridge.no_mesh import NoMesh

        return NoMesh()
    if mesh.link == "virtual" and mesh.recording is not None:
        from common import recording
        from firmware_bridge.replay import ReplayLink

        return ReplayLink(recording.read(mesh.recording), clock)
    if mesh.link == "virtual":
        return _simulated(config, clock)
    if mesh.link == "stack":
        return _stack_link(config, site_file, clock)
    from firmware_bridge.bluez.attachment import DaemonPlace
    from firmware_bridge.bluez_mesh import BluezMeshLink, BluezSettings

    assert site_file is not None  # `load_config` refuses a bluez link without one
    place = DaemonPlace(mesh.bus_address, mesh.daemon_pid)
    return BluezMeshLink(BluezSettings(site_file, gateway.address, gateway.state_dir, place), clock)


def _simulated(config: AgentConfig, clock: Clock) -> MeshLink:
    """A simulated site runs on the event simulator: 150 MB, and a compilation at the first start."""
    mesh, gateway = config.mesh, config.gateway
    if find_spec("numba") is None:
        raise Misconfigured(
            "a simulated site needs numba, which is missing", "pip install 'meshtwin[virtual]'"
        )
    from common import scenario
    from firmware_bridge.virtual import VirtualLink, VirtualSite, truths, virtual_site

    hidden = truths.NONE if mesh.truths is None else truths.read(mesh.truths)
    if mesh.scenario is not None:
        site = VirtualSite.from_scenario(
            scenario.read(mesh.scenario), loss=mesh.loss, gateways=[gateway.address], truths=hidden
        )
    else:
        site = virtual_site(mesh.nodes, mesh.seed, loss=mesh.loss, truths=hidden)
    return VirtualLink(site, gateway.address, clock, control=mesh.control)


def _stack_link(config: AgentConfig, site_file: SiteFile | None, clock: Clock) -> MeshLink:
    from firmware_bridge.stack_mesh import StackMeshLink, StackSettings

    assert site_file is not None  # `load_config` refuses a stack without one
    mesh, gateway = config.mesh, config.gateway
    settings = StackSettings(site_file, gateway.address, gateway.state_dir)
    if mesh.bearer == "air":
        from firmware_bridge.bearers.air import AirBearer, AirPlace

        assert mesh.air is not None  # likewise
        return StackMeshLink(settings, AirBearer(AirPlace(mesh.air, mesh.air_node), clock=clock), clock)
    from firmware_bridge.bearers.gatt_proxy import GattProxySettings
    from firmware_bridge.stack_link.over_proxy import link_over_proxy

    return link_over_proxy(settings, GattProxySettings(adapter=mesh.adapter), clock)
