"""Relay sets worth trying: covers of a site, improved by local search over percolation.

Percolation knows nothing of load. So a set is improved at its size, over links as lossy as the site's air
makes them now, and how many relays a site bears is left to the event simulator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from coordinator.twin.graph import topology
from coordinator.twin.graph_domination import Bools, adjacency, dominating_set
from coordinator.twin.percolation import HOPS, Percolation
from coordinator.twin.search_goals import Goals, Judge
from coordinator.twin.site_model import SiteModel

COVERS: Final = (1, 2, 3, 4, 6, 8)
LOWEST_SURVIVAL: Final = 0.3
SWAPS_PER_RELAY: Final = 5

PERCOLATION_WORDS: Final = 4
"""256 worlds, the same for all sets: enough to tell them apart by averages over all flows."""

NOT_MISSED: Final = 0.002
"""Worth that giving up relays may cost in all."""

Relays = frozenset[int]


class RelaySets:
    """Makes relay sets of one site. Deterministic by seed; `tried` counts percolations."""

    def __init__(self, model: SiteModel, goals: Goals, fixed: Relays, seed: int) -> None:
        self._model, self._goals = model, goals
        self._shape = topology(model)
        self._linked: Bools = adjacency(self._shape)
        self._index = {address: i for i, address in enumerate(self._shape.nodes)}
        self._on = model.relays & fixed
        self.free: Relays = (model.capable or frozenset(model.addresses)) - fixed
        self._random = np.random.default_rng(seed)
        self._seed = seed
        self._judge = Judge(model)
        self._weights = np.array([flow.weight for flow in model.flows])
        self._percolation = Percolation(model, words=PERCOLATION_WORDS, seed=seed)
        self.tried = 0

    def settle(self, delivery: float) -> float:
        """Make links as lossy, all alike, as brings percolation of the site's configuration down to a
        delivery that was simulated. Returns the share of transmissions that survive the air."""
        low, high = LOWEST_SURVIVAL, 1.0
        clear = self._percolation
        while high - low > 0.05:
            middle = 0.5 * (low + high)
            self._percolation = clear.under(middle)
            low, high = (low, middle) if self._delivery(self._model.relays) > delivery else (middle, high)
        self._percolation = clear.under(low)
        return low

    def covers(self, variants: int) -> Iterator[Relays]:
        """Connected covers of each multiplicity, so many variants of each, improved at their size. The
        plain greedy ones come too: they are the yardstick."""
        for cover in COVERS:
            for variant in range(variants):
                seed = self._seed * 1000 + variant if variant else None
                found = self._on | dominating_set(
                    self._shape, self.free | self._on, cover, seed=seed, linked=self._linked
                )
                if not variant:
                    yield found
                yield self.improved(found)

    def thin(self) -> Iterator[Relays]:
        """Of what is on now, and of all that could be: as few as will do; on an air as lossy as it is, and on
        a clear one, where no spare relays are kept."""
        lossy = self._percolation
        for percolation in (lossy, lossy.under(1.0)):
            self._percolation = percolation
            yield self.thinned(self._model.relays)
            yield self.thinned(self.free | self._on)
        self._percolation = lossy

    def improved(self, relays: Relays) -> Relays:
        """A set of the same size that delivers more, by swaps with nodes nearby; itself if none is found."""
        best, worth = relays, self._worth(relays)
        for _ in range(SWAPS_PER_RELAY * len(relays)):
            other = self.swapped(best)
            if (better := self._worth(other)) > worth:
                best, worth = other, better
        return best

    def thinned(self, relays: Relays) -> Relays:
        """What is left when every relay that percolation does not miss is given up, batteries first."""
        left, best = relays, self._worth(relays)
        order = sorted(relays & self.free)
        self._random.shuffle(order)
        for relay in sorted(order, key=lambda address: address not in self._model.battery):
            if (worth := self._worth(left - {relay})) >= best - NOT_MISSED:
                left -= {relay}
                best = max(best, worth)
        return left

    def swapped(self, relays: Relays) -> Relays:
        """One relay given for a node that it hears, at random."""
        free = sorted(relays & self.free)
        if not free:
            return relays
        gone = free[int(self._random.integers(len(free)))]
        near = self._near(gone, relays)
        return relays if not near else relays - {gone} | {near[int(self._random.integers(len(near)))]}

    def mutated(self, relays: Relays) -> Relays:
        """A few relays swapped, given up, or added."""
        kind, count = int(self._random.integers(3)), 1 + int(self._random.integers(1 + len(relays) // 10))
        for _ in range(count):
            on, off = sorted(relays & self.free), sorted(self.free - relays)
            if kind == 0:
                relays = self.swapped(relays)
            elif kind == 1 and len(on) > 1:
                relays -= {on[int(self._random.integers(len(on)))]}
            elif kind == 2 and off:
                relays |= {off[int(self._random.integers(len(off)))]}
        return relays

    def crossed(self, one: Relays, other: Relays) -> Relays:
        """What two sets share, and half of the rest."""
        rest = sorted((one ^ other) & self.free)
        picked = self._random.random(len(rest)) < 0.5
        return (one & other) | self._on | {a for a, taken in zip(rest, picked, strict=True) if taken}

    def hops_needed(self, relays: Relays) -> int:
        """Hops within which all but a thousandth of what arrives has done so."""
        found = self._percolation.deliver(replace(self._model.configuration, relays=relays, ttl=HOPS))
        self.tried += 1
        arrived = np.cumsum(found.hops.sum(axis=0))
        return int(np.searchsorted(arrived, 0.999 * arrived[-1]))

    def _near(self, node: int, relays: Relays) -> list[int]:
        places = np.flatnonzero(self._linked[self._index[node]])
        nodes = self._shape.nodes
        return [nodes[i] for i in places if nodes[i] in self.free and nodes[i] not in relays]

    def _delivery(self, relays: Relays) -> float:
        self.tried += 1
        found = self._percolation.delivery(replace(self._model.configuration, relays=relays))
        total = float(self._weights.sum())
        return float(self._weights @ found) / total if total else 1.0

    def _worth(self, relays: Relays) -> float:
        chosen = replace(self._model.configuration, relays=relays)
        costs = self._goals.energy * self._judge.energy(chosen) + self._goals.changes * self._judge.changes(
            chosen
        )
        return self._goals.delivery * self._delivery(relays) - costs
