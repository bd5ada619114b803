"""The keys of a site file as our stack holds them."""

from __future__ import annotations

from common.errors import Misconfigured
from common.mesh.cdb import AppKey, SiteFile
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import DeviceKey


def keyring_of(site: SiteFile) -> Keyring:
    """Network, application and device keys of a site's live nodes."""
    return Keyring.of(
        {key.index: key.key.reveal() for key in site.net_keys},
        {key.index: (key.key.reveal(), key.bound_net_key) for key in site.app_keys},
        {node.unicast_address: node.device_key.reveal() for node in site.live_nodes()},
    )


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
