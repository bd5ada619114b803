"""What every node gets, whether a flow of it is known or not: nobody may be cut off for being quiet.

A node is served as well as the worse way between it and its best gateway. By percolation, which knows no
load: good for comparing relay sets at the same transmission counts, and a floor for anything else.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coordinator.twin.percolation import WORDS, WORLDS_PER_WORD, Percolation
from coordinator.twin.site_model import SiteConfiguration, SiteModel

Floats = NDArray[np.float64]

NEED: Final = 0.9
"""What gateways hold a node to be owed, unless they are told otherwise: below it, they change relays
themselves."""

MARGIN: Final = 0.02
"""Percolation and the gateways' own estimate differ by so much."""


class NodeService:
    """Service of a site's nodes under any configuration, in the same possible worlds. Gateways serve
    themselves. Without a gateway, the best heard node stands for one."""

    def __init__(self, model: SiteModel, seed: int = 1) -> None:
        self._model = model
        self._worlds = Percolation(model, seed=seed)
        self._roots = model.gateways or (_best_heard(model),)

    @property
    def worlds(self) -> Percolation:
        """The percolation behind it, for the same site."""
        return self._worlds

    def of(self, configuration: SiteConfiguration) -> Floats:
        """[N] in the order of the site's addresses."""
        best = np.zeros(len(self._model.addresses))
        for root in self._roots:
            ways = (self._worlds.arrivals(root, configuration, inward=way) for way in (True, False))
            best = np.maximum(best, np.minimum(*(arrived.sum(axis=1) for arrived in ways)))
        best /= WORDS * WORLDS_PER_WORD
        best[[self._worlds.index[root] for root in self._roots]] = 1.0
        return best

    def starved(
        self, before: SiteConfiguration, after: SiteConfiguration, need: float = NEED
    ) -> tuple[int, ...]:
        """The nodes that would get less than they need, and clearly less than before."""
        had, gets = self.of(before), self.of(after)
        short = (gets < np.minimum(need + MARGIN, had)) & (gets < had - MARGIN / 2)
        return tuple(
            address for address, is_short in zip(self._model.addresses, short, strict=True) if is_short
        )


def _best_heard(model: SiteModel) -> int:
    heard = dict.fromkeys(model.addresses, 0.0)
    for (a, b), belief in model.links.items():
        heard[a] += belief.pdr
        heard[b] += belief.pdr
    return max(heard, key=lambda address: (heard[address], -address))
