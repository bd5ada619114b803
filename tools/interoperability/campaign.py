"""All checks on one site, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

from common.errors import MeshtwinError
from tools.interoperability import checks
from tools.interoperability.checks import SPINE, Listening, Stage, spine
from tools.interoperability.death import client_killed
from tools.interoperability.expulsion import nodes_remove
from tools.interoperability.proxied import ProxiedSite
from tools.meshlab.topology import Topology

Check = Callable[[Stage], Awaitable[dict[str, Any]]]
CHECKS: Final[tuple[Check, ...]] = (
    checks.composition,
    checks.relay_and_transmit,
    checks.heartbeats,
    checks.onoff_both_ways,
    checks.segments_over_loss,
    nodes_remove,
    client_killed,
)


@asynccontextmanager
async def stage(folder: Path, lamps: int, rounds: int) -> AsyncIterator[Stage]:
    """A site of so many lamps, commissioned through the proxy, in the spine's topology; the link is open."""
    async with ProxiedSite(folder, Topology.star(lamps + 1, centre=lamps)) as site:
        await site.link.open()
        await site.commission(relays=range(SPINE))
        await site.hush()
        await site.lab.set_topology(spine(lamps))
        listening = Listening(site.link)
        hearing = asyncio.create_task(listening.run())
        try:
            yield Stage(site, listening, rounds)
        finally:
            await site.link.close()
            await hearing


async def play(on: Stage, chosen: Sequence[Check] = CHECKS) -> dict[str, dict[str, Any]]:
    """Figures by check; one that does not hold has `failed`, and the others go on."""
    results: dict[str, dict[str, Any]] = {}
    for check in chosen:
        begun = monotonic()
        try:
            found = await check(on)
        except (MeshtwinError, TimeoutError) as error:
            found = {"failed": str(error) or type(error).__name__}
        results[check.__name__] = {**found, "seconds": round(monotonic() - begun, 1)}
    return results
