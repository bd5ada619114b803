"""Removing a node for good, on the operator's word: the only place from which Config Node Reset is sent."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from common.clock import Clock
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason, TimedOut, Unavailable
from common.mesh.addresses import show
from edge_agent.nodes.store import SiteStore
from firmware_bridge.access.config_state import DefaultTtlGet, DefaultTtlStatus, NodeResetStatus
from firmware_bridge.access.expulsion import NodeReset
from firmware_bridge.provisioning.administration import Administration

PRESENT_S: Final = 8.0
RESET_S: Final = 4.0


class Leave(Enum):
    """What is known of a node that was told to leave."""

    CONFIRMED = "confirmed"
    SILENT = "silent"
    """It answered before, and answers nothing since: daemons up to 5.66 forget the network so quickly that
    their last word is never sent, and a last word can be lost like any other."""


_ADVICE: Final = {
    Leave.CONFIRMED: "",
    Leave.SILENT: (
        "it confirmed nothing, and may only have fallen silent: if it is lost or in wrong hands,"
        " refresh the network's keys with the commissioning app"
    ),
    None: (
        "it still has the network's keys: if it is lost or in wrong hands,"
        " refresh them with the commissioning app"
    ),
}


async def expel(administration: Administration, address: int) -> Leave:
    """Make a node forget the network (4.3.2.53).

    Raises TimedOut (it was not there to begin with), Rejected(REFUSED_BY_NODE) (it stays), Unavailable.
    """
    client = administration.client
    await client.ask(address, DefaultTtlGet(), DefaultTtlStatus, give_up_s=PRESENT_S)
    try:
        await client.ask(address, NodeReset(), NodeResetStatus, give_up_s=RESET_S)
        return Leave.CONFIRMED
    except TimedOut:
        pass
    try:
        await client.ask(address, DefaultTtlGet(), DefaultTtlStatus, give_up_s=PRESENT_S)
    except TimedOut:
        return Leave.SILENT
    raise Rejected(RejectReason.REFUSED_BY_NODE, f"{show(address)} still answers under its key")


def stays(address: int, error: MeshtwinError) -> MeshtwinError:
    """What to tell of a node that was not expelled: the same kind of error, with the ways out."""
    forget = f"edge-agent nodes remove --forget {show(address)}"
    match error:
        case TimedOut():
            return TimedOut(
                f"{show(address)} does not leave: {error}\n  fix: bring it into reach, or: {forget}"
            )
        case Rejected():
            told = f"{show(address)} does not leave: {error.detail}\n  fix: try again, or: {forget}"
            return Rejected(error.reason, told)
        case Unavailable():
            return Unavailable(f"{show(address)} cannot be asked: {error}")
        case NotSupported():
            return NotSupported(f"{show(address)} cannot be expelled: {error}\n  fix: {forget}")
    return error


def strike_out(
    store: SiteStore, administration: Administration | None, address: int, leave: Leave | None, clock: Clock
) -> dict[str, Any]:
    """Take a node out of the site file. One that did not leave stays there as excluded, and so do its
    addresses. Returns what to tell the operator. Raises Misconfigured."""
    network = None if administration is None else administration.network()
    document = store.read()
    if leave is not None and network is not None:
        store.write(document.without_node(address, network.iv_index, clock.wall()))
    else:
        store.write(document.with_node_excluded(address, clock.wall()))
    told = {"node": show(address), "reset": leave is not None, "last_word": leave is Leave.CONFIRMED}
    return {**told, "advice": _ADVICE[leave]}


def check_not_own(address: int, own: int) -> None:
    """Raises Rejected for the gateway's own node."""
    if address == own:
        raise Rejected(RejectReason.INVALID, f"{show(address)} is this gateway itself")
