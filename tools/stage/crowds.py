"""The demo's corridors in simulated time: a link of them that decays, and when that begins to hurt.

What `decaying` has for a site of twelve nodes, for sites so large that their nodes' reports have to be rare.
"""

from __future__ import annotations

from typing import Final

from common.mesh.graph import SiteGraph
from common.scenario import Scenario
from firmware_bridge.virtual import VirtualSite
from tools.stage import corridors, decay
from tools.stage.decaying import DRIFT, FROM_PDR, USUAL, Course, Victim
from tools.stage.decaying import begin as begin_at

LOSS: Final = 0.02
HALVINGS: Final = 6


class Crowd:
    """A site of corridors and its victim, a link that a flow needs. Raises NotSupported without one."""

    gateway = corridors.GATEWAY

    def __init__(self, seed: int, nodes: int) -> None:
        scenario = Scenario.model_validate(corridors.document(seed, nodes, corridors.FAINT_DB))
        self.site = VirtualSite.from_scenario(scenario, loss=LOSS, drift=DRIFT, gateways=[self.gateway])
        self._relays = self._on()
        self._plan = decay.choose(self._graph(), self._relays, self.gateway)
        self._victim = Victim(self._plan.link, ())
        self._enough = 0.0
        for a, b in (self._plan.link, self._plan.link[::-1]):
            self.site.links.set(a, b, FROM_PDR)

    def begin(self, need: float, course: Course = USUAL) -> None:
        """Let the link go from now on. Below which PDR its flow misses `need` is found before."""
        low, high = course.to_pdr, FROM_PDR
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._delivery(middle) < need else (low, middle)
        self._enough = high
        begin_at(self.site, self._victim, course)

    def hurts(self, _need: float) -> bool:
        """Whether the flow is below need now, over the relays that were on at first."""
        return min(self.site.links.pdr(*key) for key in self._directions) < self._enough

    def bypassed(self) -> bool:
        """Whether a relay is on that makes the flow do without the link."""
        relays = self._on()
        return (
            bool(relays - self._relays) and decay.bypassed(self._graph(), relays, self._plan) >= decay.CUT_OFF
        )

    def _delivery(self, pdr: float) -> float:
        links = dict(self._graph().links) | dict.fromkeys(self._directions, pdr)
        return decay.delivery(links, self._relays, self._plan.flow)

    @property
    def _directions(self) -> tuple[tuple[int, int], tuple[int, int]]:
        return self._plan.link, self._plan.link[::-1]

    def _on(self) -> frozenset[int]:
        return frozenset(node.address for node in self.site.nodes.values() if node.relay)

    def _graph(self) -> SiteGraph:
        return SiteGraph({(a, b): pdr for a, b, pdr in self.site.links})
