"""A site's air: how strong every signal is at every node, understood or not, and what others spoil.

A link's PDR was counted while the site was talking: some of its losses are collisions, which the simulator
adds anew, and some are other networks' doing. Both are taken out here, so that what is left is the signal.
Where nothing is heard, the signal is what `site_space` and the silence leave of it. Nobody knows one signal
exactly: `Air` holds several states of all of them, each as likely as the others. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from common.radio import DEFAULT, RadioParameters
from common.radio.timing import BYTE_MS, TYPICAL_BYTES
from coordinator.twin.reception import attenuation_at, pdr_at
from coordinator.twin.site_space import Bools, Floats, Seen, Space, placed

if TYPE_CHECKING:
    from coordinator.twin.site_model import SiteModel

MOST_NODES: Final = 600
"""Beyond, a site's air is not worked out: it would take minutes."""

LEAST_NODES: Final = 4
STATES: Final = 6
ROUNDS: Final = 4
"""Who disturbs whom follows from the signals, and these from who is disturbed: it settles after so many."""

PACKET_MS: Final = BYTE_MS * TYPICAL_BYTES
DEAF_MS: Final = 3.0 * PACKET_MS + 2.0 * DEFAULT.channel_gap_ms + PACKET_MS
"""While it sends on three channels a node hears nothing, nor what begins before it ends."""

CAPTURE: Final = 10.0
"""How much stronger a packet must be than what falls upon it: some 10 dB, as most cover a part of it only."""

STRONG_DB: Final = 6.0
BEST: Final = 0.4
"""Share of the good links that are taken for strong at first."""

LEAST_STRONG: Final = 10
FULL_PDR: Final = 0.975
SILENT_TRIALS: Final = 60.0
"""A pair of which nobody reports is worth so many transmissions missed."""

WEAKEST_DB: Final = -16.0
"""Signals so far below the threshold disturb nobody."""

GRID: Final = np.arange(-40.0, 40.5, 1.0)
"""Margins (dB above the threshold of half the packets) that are told apart; between them it is even."""


@dataclass(frozen=True, eq=False)
class Air:
    """`margins` [S, N, N] in dB above the threshold, row transmits, in S states; `mean` [N, N] of them.
    `spoilt` is the share of packets that are lost to others than the site's own nodes."""

    addresses: tuple[int, ...]
    margins: NDArray[np.float32]
    mean: NDArray[np.float32]
    spoilt: float
    shadowing_db: float

    def attenuations(self, model: SiteModel, state: int | None = None) -> Iterator[tuple[int, int, float]]:
        """(transmitter, receiver, dB) of all pairs of the model's nodes that can disturb each other."""
        margins = self.mean if state is None else self.margins[state % len(self.margins)]
        there, noise = set(model.addresses), model.stack.noise_figure_db
        for i, j in zip(*(place.tolist() for place in np.nonzero(margins > WEAKEST_DB)), strict=True):
            a, b = self.addresses[i], self.addresses[j]
            if i != j and a in there and b in there:
                threshold = attenuation_at(0.5, model.tx_power_dbm.get(a, 0.0), noise)
                yield a, b, threshold - float(margins[i, j])

    def parameters(self, base: RadioParameters) -> RadioParameters:
        """With what others spoil here."""
        return replace(base, burst_loss=1.0 - (1.0 - base.burst_loss) * (1.0 - self.spoilt))


def air_of(model: SiteModel, reach: float, states: int = STATES, seed: int = 1) -> Air | None:
    """The air as the model's links tell it, under its traffic; relays get `reach` of all messages. None for a
    site that is too small, too large, or of which too little was heard."""
    size = len(model.addresses)
    if not LEAST_NODES <= size <= MOST_NODES or len(model.links) < 2 * size:
        return None
    heard, missed = _counts(model)
    talk = _events_per_s(model, reach)
    margin, space = _first_margins(heard, missed), None
    for _ in range(ROUNDS):
        kept = survival(margin, talk)
        spoilt = _spoilt(heard, missed, kept, margin)
        space = placed(_seen(heard, missed, kept * (1.0 - spoilt)), space)
        margin = _mean_margins(heard, missed, space, kept * (1.0 - spoilt))
    assert space is not None
    drawn = _drawn(heard, missed, space, kept * (1.0 - spoilt), states, seed)
    return Air(model.addresses, drawn, margin.astype(np.float32), spoilt, space.shadowing_db)


def survival(margin: Floats, events_per_s: Floats) -> Floats:
    """[N, N] chance that a packet is not lost to the site's own traffic, which comes at random. A receiver
    stays with what it noticed first; whatever begins later must be much weaker; who sends is deaf."""
    size = len(margin)
    power = 10.0 ** (margin / 10.0)
    np.fill_diagonal(power, 0.0)
    kept = np.empty((size, size))
    for receiver in range(size):
        order = np.argsort(power[:, receiver])
        ranked = power[order, receiver]
        above = np.append(np.cumsum(events_per_s[order][::-1])[::-1], 0.0)
        limit = np.maximum((power[:, receiver] - 1.0) / CAPTURE, 0.02 / CAPTURE)
        later = above[np.searchsorted(ranked, limit)]
        sooner = above[np.searchsorted(ranked, np.minimum(limit, 1.0))]
        own = np.where(power[:, receiver] > limit, events_per_s, 0.0)
        own_sooner = np.where(power[:, receiver] > np.minimum(limit, 1.0), events_per_s, 0.0)
        rate = later + sooner - own - own_sooner
        kept[:, receiver] = np.exp(-(rate * PACKET_MS + events_per_s[receiver] * DEAF_MS) / 1000.0)
    return kept


def _counts(model: SiteModel) -> tuple[Floats, Floats]:
    """[N, N] transmissions heard and missed; nothing where no link is known."""
    place = {address: i for i, address in enumerate(model.addresses)}
    heard = np.zeros((len(place), len(place)))
    missed = np.zeros_like(heard)
    for (a, b), belief in model.links.items():
        if a != b:
            heard[place[a], place[b]], missed[place[a], place[b]] = belief.alpha, belief.beta
    return heard, missed


def _events_per_s(model: SiteModel, reach: float) -> Floats:
    """[N] advertising events of each node."""
    place = {address: i for i, address in enumerate(model.addresses)}
    events, messages = np.zeros(len(place)), 0.0
    times = model.configuration
    for flow in model.flows:
        senders = [flow.source, *(model.destinations(flow) if flow.acknowledged else ())]
        for sender in senders:
            if sender in place:
                events[place[sender]] += times.network_transmit.count / flow.period_s
                messages += 1.0 / flow.period_s
    relays = [place[a] for a in times.relays if a in place]
    events[relays] += reach * messages * times.relay_retransmit.count
    return events


def _first_margins(heard: Floats, missed: Floats) -> Floats:
    """The best links are taken for strong, however much they lose: something must be."""
    total = heard + missed
    share = heard / np.maximum(total, 1e-9)
    good = share[share > 0.5]
    best = np.quantile(good, 1.0 - BEST) if len(good) else 1.0
    heard_at_all = np.where(share >= best, STRONG_DB + 1.0, 0.0)
    return np.where(total > 0, heard_at_all, -12.0)


def _spoilt(heard: Floats, missed: Floats, kept: Floats, margin: Floats) -> float:
    """What the strongest links lose beyond collisions."""
    total = np.maximum(heard + missed, 1e-9)
    share = heard / total
    strong = (margin > STRONG_DB) & (share > 0.5)
    if np.count_nonzero(strong) < LEAST_STRONG:
        return 0.0
    return float(np.clip(1.0 - np.median(share[strong] / kept[strong]), 0.0, 0.5))


def _seen(heard: Floats, missed: Floats, kept: Floats) -> Seen:
    total = heard + missed
    known = total > 0
    total = np.maximum(total, 1e-9)
    share = heard / total
    clear = share / kept
    error = np.sqrt(share * (1.0 - share) / (total + 1.0)) / kept
    full: Bools = known & (clear + error >= FULL_PDR)
    measured: Bools = known & ~full & (clear > 0.004)
    curve = [attenuation_at(0.5) - attenuation_at(p) for p in _SHARES]
    return Seen(np.interp(np.clip(clear, 0.001, 0.98), _SHARES, curve), measured, full)


def _chances(heard: Floats, missed: Floats, space: Space, kept: Floats, row: int) -> Floats:
    """[N, G] posterior over the margins of one transmitter's signals."""
    known = heard[row] + missed[row] > 0
    lost = np.where(known, missed[row], SILENT_TRIALS)
    chance = np.clip(_CURVE * kept[row][:, None], 1e-9, 1.0 - 1e-6)
    fit = -0.5 * ((GRID - space.expected[row][:, None]) / space.shadowing_db) ** 2
    fit = fit + heard[row][:, None] * np.log(chance) + lost[:, None] * np.log1p(-chance)
    weight = np.exp(fit - fit.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def _mean_margins(heard: Floats, missed: Floats, space: Space, kept: Floats) -> Floats:
    return np.array([_chances(heard, missed, space, kept, row) @ GRID for row in range(len(heard))])


def _drawn(
    heard: Floats, missed: Floats, space: Space, kept: Floats, states: int, seed: int
) -> NDArray[np.float32]:
    """States of all signals: each takes each of its quantiles once (a Latin hypercube). Ways that nobody
    hears in either direction have one wall in between, and one draw."""
    random = np.random.default_rng((seed, 11))
    size = len(heard)
    order = np.argsort(random.random((states, size, size)), axis=0)
    quantile = (order + random.random((states, size, size))) / states
    silent = heard + missed <= 0
    both = np.tril(silent & silent.T)
    drawn = np.empty((states, size, size), np.float32)
    for state in range(states):
        quantile[state][both] = quantile[state].T[both]
    for row in range(size):
        below = np.cumsum(_chances(heard, missed, space, kept, row), axis=1)
        for state in range(states):
            q = quantile[state, row]
            place = np.minimum((below < q[:, None]).sum(axis=1), len(GRID) - 1)
            drawn[state, row] = GRID[place]
    drawn += random.uniform(-0.5, 0.5, drawn.shape)
    return drawn


_SHARES: Final = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98])
_CURVE: Final = np.array([pdr_at(attenuation_at(0.5) - float(margin)) for margin in GRID])
