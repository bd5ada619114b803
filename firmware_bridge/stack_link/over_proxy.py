"""A link through a GATT proxy: the bearer has to know our networks, and the link knows them."""

from __future__ import annotations

from random import Random

from common.clock import Clock
from firmware_bridge.bearers.gatt_proxy import GattProxyBearer, GattProxySettings
from firmware_bridge.bearers.gatt_scan import of_networks
from firmware_bridge.stack_mesh import OPEN_TIMEOUT_S, StackMeshLink, StackSettings


def link_over_proxy(
    settings: StackSettings,
    gatt: GattProxySettings | None = None,
    clock: Clock | None = None,
    random: Random | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
) -> StackMeshLink:
    """A link that reaches its network like a phone; it knows proxies by the keys that it holds then."""
    recognise = of_networks(lambda: link.network_keys(), lambda: link.addresses())
    bearer = GattProxyBearer(recognise, gatt, clock, random)
    link = StackMeshLink(settings, bearer, clock, random, open_timeout_s)
    return link
