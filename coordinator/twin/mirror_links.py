"""What a site's links are, from everything that was reported of them: beta posteriors whose past fades.

An agent remembers 25 probes, because it has to react. The twin has to predict: it keeps every link in three
memories of different length at once and trusts each by how well it foretold the windows that came, so that a
steady link is known from hundreds of probes and one that just changed from the last few. Nothing here reads
a clock or a database; feeding the same windows in order of time gives the same state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, lgamma
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.mesh.graph import LinkKey
from coordinator.twin.site_model import LinkBelief

HALF_LIVES_S: Final = (60.0, 240.0, 960.0)
"""How long it takes until a window counts half, in each memory."""

JUDGED_S: Final = 300.0
"""How long it takes until a good or bad prediction of a memory counts half."""

FORGET_S: Final = 3600.0
"""A link that nobody reported for so long is no longer believed in. Longer than a cut-off node is away."""

PRIOR_HEARD: Final = 0.4
PRIOR_MISSED: Final = 0.1
"""As the agent's: half a probe at 0.8."""

LEAST_EVIDENCE: Final = 4.0
"""A link that was known and fell silent is still worth so many probes: it is as it was, most likely."""

MAX_LINKS: Final = 400_000
"""Of one gateway. Links beyond are refused and counted."""

ENOUGH: Final = 20
"""Probes of a link, and links, from which a site's drift can be told."""

_MEMORIES: Final = len(HALF_LIVES_S)
_SURE: Final = 1e-3
"""No memory is so sure of a share that one probe could refute it for ever."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinkRow:
    """One link as one gateway knows it; `heard` and `missed` are faded probes."""

    heard: float
    missed: float
    transmissions: int
    rssi_dbm: float | None
    seen_at: float

    @property
    def share(self) -> float:
        """Expected share of probes heard."""
        return (self.heard + PRIOR_HEARD) / (self.heard + self.missed + PRIOR_HEARD + PRIOR_MISSED)

    def belief(self) -> LinkBelief:
        """The posterior of the PDR of one transmission, as the beta of the same mean and variance.

        With n transmissions a probe is missed with chance q^n, q = 1 - PDR, whose posterior is a beta
        (b, a): the moments of q are ratios of gamma functions.
        """
        a, b = self.heard + PRIOR_HEARD, self.missed + PRIOR_MISSED
        root = 1.0 / max(1, self.transmissions)
        mean = exp(lgamma(b + root) - lgamma(b) + lgamma(a + b) - lgamma(a + b + root))
        square = exp(lgamma(b + 2 * root) - lgamma(b) + lgamma(a + b) - lgamma(a + b + 2 * root))
        mean = min(1.0 - 1e-6, max(1e-6, mean))
        variance = max(square - mean * mean, 1e-9)
        total = max(0.5, mean * (1.0 - mean) / variance - 1.0)
        return LinkBelief((1.0 - mean) * total, mean * total)


class GatewayLinks:
    """The links that one gateway was told of, as columns."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}
        self._heard = np.zeros((0, _MEMORIES))
        self._missed = np.zeros((0, _MEMORIES))
        self._fit = np.zeros((0, _MEMORIES))
        self._plain = np.zeros((0, 3))  # time of the last window, transmissions, signal strength
        self.refused = 0

    def __len__(self) -> int:
        return len(self._index)

    def take(
        self, t: Array, keys: NDArray[np.int64], heard: Array, expected: Array, plain: NDArray[Any]
    ) -> None:
        """Count windows; `keys` are transmitter << 16 | receiver, each once. `plain` has two columns:
        transmissions, and signal strength (NaN where it was not read)."""
        rows = self._rows(keys)
        known = rows >= 0
        rows, t, heard, expected, plain = rows[known], t[known], heard[known], expected[known], plain[known]
        gap = np.maximum(0.0, t - self._plain[rows, 0])[:, None]
        fade = 2.0 ** (-gap / np.array(HALF_LIVES_S))
        missed = expected - heard
        self._judge(rows, heard, missed, gap)
        self._heard[rows] = self._heard[rows] * fade + heard[:, None]
        self._missed[rows] = self._missed[rows] * fade + missed[:, None]
        old = self._plain[rows]
        rssi = np.where(np.isnan(plain[:, 1]), old[:, 2], _blend(old[:, 2], plain[:, 1]))
        self._plain[rows] = np.stack([t, plain[:, 0], rssi], axis=1)

    def items(self, t: float) -> Iterator[tuple[int, int, LinkRow]]:
        """(transmitter, receiver, row) of every link that is not forgotten at `t`."""
        weight = _weights(self._fit)
        heard = np.sum(self._heard * weight, axis=1)
        missed = np.sum(self._missed * weight, axis=1)
        life = np.sum(weight * np.array(HALF_LIVES_S), axis=1)
        heard, missed = _widened(heard, missed, self._drift())
        for key, row in self._index.items():
            seen, transmissions, rssi = (float(v) for v in self._plain[row])
            if not 0.0 <= t - seen + 60.0 <= FORGET_S:
                continue
            h, m = _aged(float(heard[row]), float(missed[row]), max(0.0, t - seen) / float(life[row]))
            known = None if np.isnan(rssi) else rssi
            yield key >> 16, key & 0xFFFF, LinkRow(h, m, int(transmissions), known, seen)

    def _drift(self) -> float:
        """Variance (of the log odds of a probe) by which this site's links wander: how much more the middle
        and the long memory differ than counting explains, over all links."""
        n_middle = self._heard[:, 1] + self._missed[:, 1]
        n_long = self._heard[:, 2] + self._missed[:, 2]
        share = (self._heard[:, 2] + PRIOR_HEARD) / (n_long + PRIOR_HEARD + PRIOR_MISSED)
        telling = (n_middle > ENOUGH) & (n_long > 1.5 * n_middle) & (share > 0.05) & (share < 0.95)
        if np.count_nonzero(telling) < ENOUGH:
            return 0.0
        share, n_middle, n_long = share[telling], n_middle[telling], n_long[telling]
        middle = (self._heard[telling, 1] + PRIOR_HEARD) / (n_middle + PRIOR_HEARD + PRIOR_MISSED)
        noise = share * (1.0 - share) * (1.0 / n_middle - 1.0 / n_long)
        excess = ((middle - share) ** 2 - noise) / (share * (1.0 - share)) ** 2
        return max(0.0, float(np.mean(excess)))

    def _judge(self, rows: NDArray[np.int64], heard: Array, missed: Array, gap: Array) -> None:
        """How likely each memory held what came now."""
        a, b = self._heard[rows] + PRIOR_HEARD, self._missed[rows] + PRIOR_MISSED
        share = np.clip(a / (a + b), _SURE, 1.0 - _SURE)
        foretold = heard[:, None] * np.log(share) + missed[:, None] * np.log1p(-share)
        best = foretold.max(axis=1, keepdims=True)
        self._fit[rows] = self._fit[rows] * 2.0 ** (-gap / JUDGED_S) + (foretold - best)

    def _rows(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each key, made for new ones; -1 for those that are refused."""
        found = np.empty(len(keys), np.int64)
        for i, key in enumerate(keys.tolist()):
            row = self._index.get(key)
            if row is None:
                if len(self._index) >= MAX_LINKS:
                    self.refused += 1
                    row = -1
                else:
                    row = self._index[key] = len(self._index)
            found[i] = row
        self._grow()
        return found

    def _grow(self) -> None:
        size = len(self._heard)
        if len(self._index) <= size:
            return
        more = max(64, len(self._index) * 3 // 2) - size
        self._heard = np.vstack([self._heard, np.zeros((more, _MEMORIES))])
        self._missed = np.vstack([self._missed, np.zeros((more, _MEMORIES))])
        self._fit = np.vstack([self._fit, np.zeros((more, _MEMORIES))])
        fresh = np.tile(np.array([0.0, 1.0, np.nan]), (more, 1))
        self._plain = np.vstack([self._plain, fresh])


class LinkLedger:
    """Every link of a site. Gateways hear the same reports: the one that got more of them speaks for a
    link, so that nothing counts twice."""

    def __init__(self) -> None:
        self._gateways: dict[str, GatewayLinks] = {}

    def __len__(self) -> int:
        return max((len(links) for links in self._gateways.values()), default=0)

    @property
    def refused(self) -> int:
        """Windows of links beyond the limit."""
        return sum(links.refused for links in self._gateways.values())

    def take(self, gateway: str, table: dict[str, NDArray[Any]]) -> None:
        """Count the rows of a links table in order of time. Rows that make no sense are passed over."""
        heard, expected = _float(table, "heard"), _float(table, "expected")
        if heard is None or expected is None:
            return
        t, keys = table["t"], _keys(table)
        plain = np.stack([_column(table, "transmissions", 1.0), _column(table, "rssi_dbm", np.nan)], axis=1)
        plain[:, 0] = np.clip(np.nan_to_num(plain[:, 0], nan=1.0), 1, 8)
        sane = (expected > 0) & (expected <= 0xFFFF) & (heard >= 0) & (heard <= expected)
        plausible = sane & (table["transmitter"] != table["receiver"])
        links = self._gateways.setdefault(gateway, GatewayLinks())
        for chosen in _rounds(t, keys, np.flatnonzero(plausible)):
            links.take(t[chosen], keys[chosen], heard[chosen], expected[chosen], plain[chosen])

    def rows(self, t: float) -> dict[LinkKey, LinkRow]:
        """Each link as the best informed gateway knows it."""
        found: dict[LinkKey, LinkRow] = {}
        for links in self._gateways.values():
            for transmitter, receiver, row in links.items(t):
                known = found.get((transmitter, receiver))
                if known is None or row.heard + row.missed > known.heard + known.missed:
                    found[transmitter, receiver] = row
        return found

    def of_gateway(self, gateway: str, t: float) -> dict[LinkKey, LinkRow]:
        """Each link as one gateway knows it."""
        links = self._gateways.get(gateway)
        return {} if links is None else {(a, b): row for a, b, row in links.items(t)}

    def gateways(self) -> list[str]:
        """Who reported links."""
        return sorted(self._gateways)


def _weights(fit: Array) -> Array:
    best = fit.max(axis=1, keepdims=True) if len(fit) else fit
    weight: Array = np.exp(fit - best)
    return weight / weight.sum(axis=1, keepdims=True) if len(fit) else weight


def _widened(heard: Array, missed: Array, drift: float) -> tuple[Array, Array]:
    """Evidence that is worth less because links wander: no count makes surer of a link than that."""
    total = np.maximum(heard + missed, 1e-9)
    share = (heard + PRIOR_HEARD) / (total + PRIOR_HEARD + PRIOR_MISSED)
    kept = 1.0 / (1.0 + total * share * (1.0 - share) * drift)
    return heard * kept, missed * kept


def _aged(heard: float, missed: float, half_lives: float) -> tuple[float, float]:
    """Evidence wanes with time, but a link that fell silent is not forgotten at once."""
    total = heard + missed
    kept = max(min(total, LEAST_EVIDENCE), total * 2.0**-half_lives)
    return (heard * kept / total, missed * kept / total) if total > 0 else (0.0, 0.0)


def _blend(old: Array, new: Array) -> Array:
    return np.where(np.isnan(old), new, 0.8 * old + 0.2 * new)


def _keys(table: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    return (table["transmitter"].astype(np.int64) << 16) | table["receiver"].astype(np.int64)


def _float(table: dict[str, NDArray[Any]], name: str) -> Array | None:
    return table[name].astype(np.float64) if name in table else None


def _column(table: dict[str, NDArray[Any]], name: str, default: float) -> Array:
    found = _float(table, name)
    return np.full(len(table["t"]), default) if found is None else found


def _rounds(t: Array, keys: NDArray[np.int64], rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows in order of time, in pieces that name each link once."""
    order = rows[np.lexsort((t[rows], keys[rows]))]
    if not len(order):
        return
    first = np.append(True, np.diff(keys[order]) != 0)
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    turn = np.arange(len(order)) - start
    for number in range(int(turn.max()) + 1):
        yield order[turn == number]
