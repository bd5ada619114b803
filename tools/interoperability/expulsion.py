"""A node expelled as an operator does it: through the agent's desk, with the site file changed by it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from common.clock import SystemClock
from common.errors import TimedOut
from common.mesh.addresses import show
from common.mesh.configuration import ConfigurationChange
from edge_agent.nodes.desk import Desk
from edge_agent.nodes.store import PlainSite
from firmware_bridge.provisioning.administration import Administration, NetworkState
from tools.interoperability.checks import Disagreement, Stage, eventually, require
from tools.interoperability.site import GATEWAY, lamp_address


async def nodes_remove(stage: Stage) -> dict[str, Any]:
    """A leaf is expelled: it forgets its keys, answers no more, and is out of the site file.

    bluetooth-meshd 5.66 removes the node before its own answer has left it, so that none may come.
    """
    index = stage.lamps[-1]
    address, refreshed = lamp_address(index), asyncio.Event()
    nodes = len(_site(stage)["nodes"])
    told = await _desk(stage, refreshed).remove({"node": show(address)})
    require(told["reset"] and refreshed.is_set(), f"the desk tells {told}")
    kept = stage.site.lab.folder / str(index)
    await eventually(lambda: not list(kept.rglob("node.json")), 5.0, f"lamp {index} keeps its keys")
    _check_site(stage, nodes, address)
    try:
        await stage.site.link.configure(address, ConfigurationChange())
    except TimedOut:
        return {"removed": 1, "confirmed": told["last_word"]}
    raise Disagreement(f"lamp {index} still answers after its reset")


def _desk(stage: Stage, refreshed: asyncio.Event) -> Desk:
    link = stage.site.link

    def network() -> NetworkState | None:
        state = link.iv_state()
        return None if state is None else NetworkState(state.index, state.updating)

    async def refresh() -> None:
        refreshed.set()

    return Desk(
        GATEWAY,
        PlainSite(stage.site.site_file),
        Administration(link.client, network),
        refresh,
        SystemClock(),
        lambda *_, **__: None,
    )


def _check_site(stage: Stage, nodes: int, address: int) -> None:
    """The node is gone from the file, and its address is not given to another one."""
    after, name = _site(stage), f"{address:04X}"
    left = [node["unicastAddress"] for node in after["nodes"]]
    require(len(left) == nodes - 1 and name not in left, f"{show(address)} is still in the site file")
    excluded = [one for entry in after.get("networkExclusions", ()) for one in entry["addresses"]]
    require(name in excluded, f"{show(address)} may be given to another node at once")


def _site(stage: Stage) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(stage.site.site_file.read_text())
    return read
