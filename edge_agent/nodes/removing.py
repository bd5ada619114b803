"""Removing a node for good, on the operator's word: the only place from which Config Node Reset is sent."""

from __future__ import annotations

from typing import Any, Final

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.mesh.addresses import show
from edge_agent.nodes.store import SiteStore
from firmware_bridge.access.config_state import NodeResetStatus
from firmware_bridge.access.expulsion import NodeReset
from firmware_bridge.provisioning.administration import Administration

RESET_S: Final = 10.0
ADVICE: Final = (
    "it still has the network's keys: if it is lost or in wrong hands,"
    " refresh them with the commissioning app"
)


async def expel(administration: Administration, address: int) -> None:
    """Make a node forget the network (4.3.2.53). Raises TimedOut, Unavailable."""
    await administration.client.ask(address, NodeReset(), NodeResetStatus, give_up_s=RESET_S)


def strike_out(
    store: SiteStore, administration: Administration | None, address: int, gone: bool, clock: Clock
) -> dict[str, Any]:
    """Take a node out of the site file. One that is not known to be `gone` stays there as excluded, and so
    do its addresses. Returns what to tell the operator. Raises Misconfigured."""
    network = None if administration is None else administration.network()
    document = store.read()
    if gone and network is not None:
        store.write(document.without_node(address, network.iv_index, clock.wall()))
    else:
        store.write(document.with_node_excluded(address, clock.wall()))
    return {"node": show(address), "reset": gone, "advice": "" if gone else ADVICE}


def check_not_own(address: int, own: int) -> None:
    """Raises Rejected for the gateway's own node."""
    if address == own:
        raise Rejected(RejectReason.INVALID, f"{show(address)} is this gateway itself")
