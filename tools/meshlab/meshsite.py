"""A whole site of real nodes: lab, keys, lamps and their configuration, by one `async with`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from common.mesh import cdb
from tools.meshlab import nodes, sitefile
from tools.meshlab.commission import commission
from tools.meshlab.lab import Lab
from tools.meshlab.sitefile import Randomness, SitePlan
from tools.meshlab.topology import Topology


class MeshSite:
    """`async with MeshSite(folder, SitePlan(12, gateways=2), topology) as site` returns when every node is
    configured and the topology in place.

    `folder` gets the lab's files, `site.json`, and what the lamps' process keeps. A gateway that has
    `gateway_state(i)` as its state folder finds its node imported; `gateway_states` names other folders.
    The site file of an earlier run in the folder is used again, since the daemons still know its keys.
    """

    def __init__(
        self,
        folder: Path,
        plan: SitePlan,
        topology: Topology | None = None,
        seed: int = 1,
        *,
        gateway_states: Sequence[Path] | None = None,
        randomness: Randomness = secrets.token_bytes,
        debug: bool = False,
    ) -> None:
        self.plan = plan
        self.lab = Lab(folder, plan.count, topology, seed, debug=debug)
        self.site_file = folder / "site.json"
        self._folder = folder
        self._topology = topology or Topology.full(plan.count)
        self._seed = seed
        self._gateway_states = gateway_states
        self._randomness = randomness

    async def __aenter__(self) -> Self:
        """Raises what `Lab` and `commission` raise."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.lab)
            if not self.site_file.exists():
                sitefile.write(self.site_file, self.plan, self._randomness)
            self.site = cdb.read(self.site_file)
            lamps = nodes.running(self.lab, self.site_file, self.plan, self._folder / "lamps", self._seed)
            self.lab.watch(await stack.enter_async_context(lamps))
            await commission(self.lab, self.site, self.plan, self._topology, self.gateway_state)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """See `Lab.run`; the lamps' process is watched as well."""
        await self.lab.run()

    def gateway_state(self, index: int) -> Path:
        """The state folder of a gateway's link: its token is there."""
        if self._gateway_states is not None:
            return self._gateway_states[index]
        return self._folder / f"gateway-{index}"
