"""Makes a configured mesh of a lab's bare daemons, in seconds.

Keys are imported over D-Bus from a site file, as provisioning over the air takes half a minute a node.
Everything else is set by Config messages over the air, as a commissioning app does it, while every node hears
the first gateway; then the wanted topology takes its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from common.errors import TimedOut
from common.mesh.cdb import SiteFile
from common.mesh.configuration import ConfigurationChange, Transmit
from common.tasks import together
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.bluez_mesh import BluezMeshLink, BluezSettings
from firmware_bridge.foundation.commissioner import NodePlan
from tools.meshlab.client import LabClient
from tools.meshlab.sitefile import SitePlan
from tools.meshlab.topology import Topology

# A daemon sends one packet an interval. Nothing is lost while commissioning: one transmission is enough.
_PACE: Final = Transmit(1, 10)
# More at once would wait in the gateway's own queue until they are taken for lost and sent again.
_AT_ONCE: Final = 8
_ATTEMPTS: Final = 10  # of a few seconds each: a lamp may not be attached yet

StateOf = Callable[[int], Path]


async def commission(
    lab: LabClient, site: SiteFile, plan: SitePlan, topology: Topology, state_of: StateOf
) -> None:
    """Bring every node to `plan`, then set `topology`. The lamps' application runs already (`nodes`).

    `state_of` tells the state folder of each gateway's link: there the link will find its node imported.
    Gateways are attached meanwhile, and free again afterwards. May be repeated. Raises TimedOut, Unavailable,
    Rejected.
    """
    await lab.set_topology(Topology.star((await lab.topology()).nodes))
    others = [_set_up_gateway(lab, site, plan, index, state_of) for index in plan.gateway_indices[1:]]
    await _together([_commission_lamps(lab, site, plan, state_of), *others])
    await lab.set_topology(topology)


@asynccontextmanager
async def gateway_link(
    lab: LabClient, site: SiteFile, plan: SitePlan, index: int, state: Path
) -> AsyncIterator[BluezMeshLink]:
    """The open link of a gateway, closed at the end. Raises Unavailable, Misconfigured."""
    place = DaemonPlace(lab.bus_address, lab.daemon_pid(index))
    link = BluezMeshLink(BluezSettings(site, plan.address_of(index), state, place))
    await link.open()
    try:
        yield link
    finally:
        await link.close()


async def _commission_lamps(lab: LabClient, site: SiteFile, plan: SitePlan, state_of: StateOf) -> None:
    async with gateway_link(lab, site, plan, 0, state_of(0)) as link:
        await link.configure(plan.address_of(0), ConfigurationChange(network_transmit=_PACE))
        gate = asyncio.Semaphore(_AT_ONCE)
        lamps = [plan.address_of(index) for index in plan.lamp_indices]
        bare = _bare(site, plan)
        await _together(_insist(gate, partial(link.commission, lamp, bare)) for lamp in lamps)
        # Relays come last: they would repeat everything said here, and keep their own answers waiting.
        await _together(
            _insist(gate, partial(link.configure, plan.address_of(index), _states(plan, index)))
            for index in (*plan.lamp_indices, 0)
        )


async def _set_up_gateway(
    lab: LabClient, site: SiteFile, plan: SitePlan, index: int, state_of: StateOf
) -> None:
    """A gateway makes its own node ready when its link opens; only its states remain."""
    async with gateway_link(lab, site, plan, index, state_of(index)) as link:
        await link.configure(plan.address_of(index), _states(plan, index))


def _bare(site: SiteFile, plan: SitePlan) -> NodePlan:
    """What a lamp gets at first: everything but its final pace and its relay state."""
    return NodePlan(site.app_keys[0], default_ttl=plan.default_ttl, network_transmit=_PACE, relay=False)


def _states(plan: SitePlan, index: int) -> ConfigurationChange:
    return ConfigurationChange(
        relay=index in plan.relays,
        default_ttl=plan.default_ttl,
        network_transmit=plan.network_transmit,
        relay_retransmit=plan.relay_retransmit,
    )


async def _insist(gate: asyncio.Semaphore, work: Callable[[], Awaitable[object]]) -> None:
    """Repeat work that found no answer: a lamp may not be attached yet."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with gate:
                await work()
            return
        except TimedOut:
            if attempt == _ATTEMPTS:
                raise


async def _together(work: Iterable[Coroutine[None, None, None]]) -> None:
    async with together() as tasks:
        for part in work:
            tasks.create_task(part)
