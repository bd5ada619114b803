"""The keys of a site file as our stack holds them."""

from __future__ import annotations

from common.errors import Misconfigured
from common.mesh.cdb import AppKey, NetKey, SiteFile
from firmware_bridge.stack.key_refresh import Phase
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import DeviceKey, NetworkKey


def keyring_of(site: SiteFile) -> Keyring:
    """Network, application and device keys of a site's live nodes.

    Keys that the file shows in the middle of a key refresh go on from there (Mesh Protocol 1.1, 3.11.4).
    """
    refreshed = {key.index: key for key in site.net_keys if key.phase and key.old_key is not None}
    ring = Keyring.of(
        {key.index: _first(key) if key.index in refreshed else key.key.reveal() for key in site.net_keys},
        {
            key.index: (
                _first(key) if key.bound_net_key in refreshed else key.key.reveal(),
                key.bound_net_key,
            )
            for key in site.app_keys
        },
        {node.unicast_address: node.device_key.reveal() for node in site.live_nodes()},
    )
    for key in refreshed.values():
        ring.subnets[key.index] = ring.subnets[key.index].distribute(NetworkKey(key.key.reveal(), key.index))
    for renewed in site.app_keys:
        if renewed.old_key is not None and renewed.bound_net_key in refreshed:
            ring.renew_application(renewed.index, renewed.key.reveal())
    for key in refreshed.values():
        if key.phase == Phase.SWITCHED:
            ring.subnets[key.index] = ring.subnets[key.index].switch()
    return ring


def _first(key: NetKey | AppKey) -> bytes:
    """The key that was there before the refresh."""
    return (key.old_key or key.key).reveal()


def adopt_device_keys(keyring: Keyring, site: SiteFile) -> None:
    """Replace a keyring's device keys by a site file's."""
    keyring.devices.clear()
    for node in site.live_nodes():
        keyring.devices[node.unicast_address] = DeviceKey(node.device_key.reveal())


def first_application_key(site: SiteFile) -> AppKey:
    """The key that everything here uses. Raises Misconfigured."""
    if not site.app_keys:
        raise Misconfigured("the site file has no application key", "add one in the commissioning app")
    return site.app_keys[0]
