"""What an operator would lose by importing a site over the one that is there. Reads nothing, asks nobody."""

from __future__ import annotations

from collections.abc import Sequence

from common.mesh.addresses import show
from common.mesh.cdb import AppKey, NetKey, SiteFile


def losses(former: SiteFile, new: SiteFile) -> list[str]:
    """A line for each node and each key of `former` that `new` does not have; keys themselves never.

    Keys that were refreshed count as lost: whether the nodes have the new ones, nobody here knows.
    """
    return [
        *_nodes(former, new),
        *_keys("network key", former.net_keys, new.net_keys),
        *_keys("application key", former.app_keys, new.app_keys),
    ]


def _nodes(former: SiteFile, new: SiteFile) -> list[str]:
    known = {node.unicast_address: node.device_key.reveal() for node in new.live_nodes()}
    found = []
    for node in former.live_nodes():
        named = f"node {show(node.unicast_address)}" + (f" ({node.name})" if node.name else "")
        if node.unicast_address not in known:
            found.append(named)
        elif known[node.unicast_address] != node.device_key.reveal():
            found.append(f"the device key of {named}")
    return found


def _keys(kind: str, former: Sequence[NetKey | AppKey], new: Sequence[NetKey | AppKey]) -> list[str]:
    known = {key.index: key.key.reveal() for key in new}
    return [f"{kind} {key.index}" for key in former if known.get(key.index) != key.key.reveal()]
