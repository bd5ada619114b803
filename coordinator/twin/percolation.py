"""What a managed flood over a site's links delivers, by static percolation: links are open or shut in 512
possible worlds at once, 64 to a machine word, and a flood spreads through all of them by AND and OR.

The same estimate as `common/mesh/graph.py`, some hundred times faster and from all sources at once. It knows
nothing of time: neither collisions nor queues. So it compares relay sets at one retransmit count, and must
not choose that count for a site under load. A link's chance is that of its beta posterior, so that a link
hardly seen is worth less than its mean when it is asked often.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.mesh.graph import LinkKey
from coordinator.twin.site_model import LinkBelief, SiteConfiguration, SiteModel

WORLDS_PER_WORD: Final = 64
WORDS: Final = 8
"""512 worlds: a standard error of 0.013 at a delivery of 0.9 for one flow, and far less between two relay
sets, which are compared in the same worlds."""

MIN_CHANCE: Final = 0.01
"""Links that are heard less often are left out."""

HOPS: Final = 32
"""More hops than this count as so many."""

Floats = NDArray[np.float64]


def heard_chance(belief: LinkBelief, transmissions: int) -> float:
    """Chance that at least one of so many transmissions is received, over the whole posterior."""
    missed, total = 1.0, belief.alpha + belief.beta
    for already in range(transmissions):
        missed *= (belief.beta + already) / (total + already)
    return 1.0 - missed


@dataclass(frozen=True)
class SiteDelivery:
    """What percolation says of every flow, in the site's order (F flows).

    `delivery` [F] is 0 to 1, over a group the mean of its members; `hops` [F, 33] the share of what arrives
    that does after so many hops (32: or more; zeros if nothing arrives); `answered` [F] the delivery of
    request and response, NaN where a flow is not acknowledged.
    """

    delivery: Floats
    hops: Floats
    answered: Floats

    @property
    def mean(self) -> float:
        """Delivery over all flows, each counted once; 1.0 without any."""
        return float(self.delivery.mean()) if len(self.delivery) else 1.0

    @property
    def mean_hops(self) -> Floats:
        """[F] hops of what arrives."""
        hops: Floats = self.hops @ np.arange(self.hops.shape[1])
        return hops


class Percolation:
    """A site's links drawn in possible worlds, once, for any number of relay sets and configurations.

    The draws depend on `seed` and the link's two addresses only. `pdr` replaces the links' posteriors by
    fixed values, for instance by one draw of them. `survival` is the chance that a transmission is not lost
    to others on the air, on every link alike. Not thread-safe: it keeps the links it has opened.
    """

    def __init__(
        self,
        model: SiteModel,
        *,
        words: int = WORDS,
        seed: int = 1,
        pdr: Mapping[LinkKey, float] | None = None,
        survival: float = 1.0,
    ) -> None:
        from coordinator.twin import percolation_kernel  # numba: a second to load, so not before it is used.

        self._kernel = percolation_kernel
        self._words, self._seed, self._survival = words, seed, survival
        self._model = model
        self.index: dict[int, int] = {address: i for i, address in enumerate(model.addresses)}
        self._out, self._into = self._rows(pdr)
        self._opened: dict[tuple[bool, int], NDArray[np.uint64]] = {}
        pairs = [
            (i, flow.source, other)
            for i, flow in enumerate(model.flows)
            for other in model.destinations(flow)
            if other != flow.source
        ]
        self._acknowledged = np.array([flow.acknowledged for flow in model.flows], dtype=np.bool_)
        back = [(i, b, a) for i, a, b in pairs] if self._acknowledged.any() else []
        self._there = _Ways.of(pairs, self.index, len(model.flows))
        self._back = _Ways.of(back, self.index, len(model.flows))

    def _rows(self, pdr: Mapping[LinkKey, float] | None) -> tuple[_Rows, _Rows]:
        ends, beliefs = [], []
        index = self.index
        for key, belief in self._model.links.items():
            if pdr is not None:
                belief = LinkBelief.certain(pdr.get(key, 0.0))
            # Eight transmissions are the most there can be.
            if belief.pdr * 8 >= MIN_CHANCE and key[0] != key[1]:
                ends.append((index[key[0]], index[key[1]], key[0] << 16 | key[1]))
                beliefs.append((belief.alpha, belief.beta))
        table = np.array(ends, dtype=np.int64).reshape(-1, 3)
        counts = np.array(beliefs, dtype=np.float64).reshape(-1, 2)
        return _Rows.of(table, counts, len(index), 0), _Rows.of(table, counts, len(index), 1)

    def under(self, survival: float) -> Percolation:
        """The same draws, where transmissions survive others on the air so often."""
        other = copy(self)
        other._survival, other._opened = survival, {}
        return other

    def arrivals(self, root: int, configuration: SiteConfiguration, *, inward: bool) -> NDArray[np.int64]:
        """[N, HOPS + 1] worlds in which a flood arrives first after so many hops: `inward`, the flood that
        each node starts at `root` (an address), otherwise the one that `root` starts at each node."""
        rows = self._into if inward else self._out
        relays = np.zeros(len(self.index), dtype=np.bool_)
        relays[[self.index[a] for a in configuration.relays if a in self.index]] = True
        found = np.zeros((len(self.index), HOPS + 1), dtype=np.int64)
        kernel = self._kernel.arrive if inward else self._kernel.spread
        kernel(
            self.index[root],
            rows.starts,
            rows.others,
            self._open(inward, configuration.relay_retransmit.count),
            self._open(inward, configuration.network_transmit.count),
            relays,
            configuration.ttl,
            found,
        )
        return found

    def _open(self, inward: bool, transmissions: int) -> NDArray[np.uint64]:
        opened = self._opened.get((inward, transmissions))
        if opened is None:
            rows = self._into if inward else self._out
            chances = np.round(rows.heard(transmissions, self._survival) * 2.0**32).astype(np.uint64)
            opened = self._kernel.draw(rows.keys, chances, self._seed, self._words)
            self._opened[inward, transmissions] = opened
        return opened

    def deliver(self, configuration: SiteConfiguration | None = None) -> SiteDelivery:
        """All flows under a configuration; the site's own where none is given."""
        chosen = configuration or self._model.configuration
        there = self._runs(chosen, self._there)
        delivered = self._per_flow(there.sum(axis=1))
        hops = np.zeros((len(delivered), HOPS + 1))
        np.add.at(hops, self._there.flow, there)
        hops /= np.maximum(hops.sum(axis=1, keepdims=True), 1e-12)
        answered = np.full(len(delivered), np.nan)
        if len(self._back.flow):
            back = self._runs(chosen, self._back).sum(axis=1)
            both = self._per_flow(there.sum(axis=1) * back)
            answered = np.where(self._acknowledged, both, np.nan)
        return SiteDelivery(delivered, hops, answered)

    def delivery(self, configuration: SiteConfiguration) -> Floats:
        """[F] delivery alone: what a search asks a thousand times."""
        return self._per_flow(self._runs(configuration, self._there).sum(axis=1))

    def _runs(self, configuration: SiteConfiguration, ways: _Ways) -> Floats:
        """[P, HOPS + 1] share of worlds by hop, of each way; one run serves all ways of one root."""
        found = np.zeros((len(ways.flow), HOPS + 1))
        for root, of_root in ways.by_root:
            arrived = self.arrivals(root, configuration, inward=ways.inward)
            found[of_root] = arrived[ways.other[of_root]]
        return found / (self._words * WORLDS_PER_WORD)

    def _per_flow(self, values: Floats) -> Floats:
        """[F] mean over each flow's ways; 1.0 for a flow that is for nobody but its source."""
        count = self._there.count
        sums = np.bincount(self._there.flow, values, len(count))
        return np.where(count > 0, sums / np.maximum(count, 1), 1.0)


def percolate(
    model: SiteModel,
    relays: Iterable[int] | None = None,
    configuration: SiteConfiguration | None = None,
    *,
    words: int = WORDS,
    seed: int = 1,
) -> SiteDelivery:
    """Delivery and hops of every flow, once. For many relay sets keep a `Percolation`."""
    chosen = configuration or model.configuration
    if relays is not None:
        chosen = replace(chosen, relays=frozenset(relays))
    return Percolation(model, words=words, seed=seed).deliver(chosen)


@dataclass(frozen=True)
class _Rows:
    """Links in rows of their transmitters or receivers, with posteriors and keys to draw by."""

    starts: NDArray[np.int64]
    others: NDArray[np.int64]
    keys: NDArray[np.uint64]
    alpha: Floats
    beta: Floats

    @classmethod
    def of(cls, table: NDArray[np.int64], counts: Floats, nodes: int, column: int) -> _Rows:
        order = np.lexsort((table[:, 1 - column], table[:, column]))
        starts = np.searchsorted(table[order, column], np.arange(nodes + 1))
        others = np.ascontiguousarray(table[order, 1 - column])
        keys = table[order, 2].astype(np.uint64)
        return cls(starts, others, keys, counts[order, 0], counts[order, 1])

    def heard(self, transmissions: int, survival: float = 1.0) -> Floats:
        """As `heard_chance`, for every link, where transmissions survive others on the air so often."""
        total = self.alpha + self.beta
        if survival < 1.0:
            lost: Floats = 1.0 - (1.0 - survival * self.alpha / total) ** transmissions
            return lost
        missed = np.ones(len(self.alpha))
        for already in range(transmissions):
            missed *= (self.beta + already) / (total + already)
        heard: Floats = 1.0 - missed
        return heard


@dataclass(frozen=True)
class _Ways:
    """Ways from one node to another, P of them, in runs of their roots: the sources, or if those are more,
    the destinations."""

    inward: bool
    flow: NDArray[np.int64]
    other: NDArray[np.int64]
    by_root: tuple[tuple[int, NDArray[np.int64]], ...]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Sequence[tuple[int, int, int]], index: Mapping[int, int], flows: int) -> _Ways:
        """From (flow, source, destination) of each way."""
        inward = len({b for _, _, b in pairs}) <= len({a for _, a, _ in pairs})
        roots: dict[int, list[int]] = {}
        for i, (_, a, b) in enumerate(pairs):
            roots.setdefault(b if inward else a, []).append(i)
        flow = np.array([pair[0] for pair in pairs], dtype=np.int64)
        return cls(
            inward,
            flow,
            np.array([index[a if inward else b] for _, a, b in pairs], dtype=np.int64),
            tuple((root, np.array(roots[root])) for root in sorted(roots)),
            np.bincount(flow, minlength=flows),
        )
