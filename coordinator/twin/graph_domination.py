"""Relay sets that cover a site k times: every node hears k relays and is heard by them, and the relays are
connected. Where searches for relay sets begin. Greedy, with a seed for variety."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from coordinator.twin.graph import Topology

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def adjacency(shape: Topology) -> Bools:
    """[N, N], in the order of `shape.nodes`: links that are usable both ways."""
    index = {address: i for i, address in enumerate(shape.nodes)}
    one_way = np.zeros((len(index), len(index)), dtype=np.bool_)
    for a, others in shape.out.items():
        one_way[index[a], [index[b] for b in others]] = True
    both: Bools = one_way & one_way.T
    return both


def dominating_set(
    shape: Topology,
    capable: frozenset[int],
    cover: int,
    *,
    seed: int | None = None,
    linked: Bools | None = None,
) -> frozenset[int]:
    """Capable nodes that cover every node `cover` times as far as the links allow, connected with a gateway.

    A gateway in range counts as cover. Without `seed` ties go to the node listed first; with one, gains are
    shaken a little. `linked` is `adjacency(shape)`, for many calls.
    """
    both = adjacency(shape) if linked is None else linked
    roots = np.array([address in shape.roots for address in shape.nodes])
    able = np.array([address in capable for address in shape.nodes])
    noise = np.random.default_rng(seed).random(len(able)) * 2.0 if seed is not None else np.zeros(len(able))
    chosen = _grow(both, roots, able, cover, noise)
    return frozenset(address for address, picked in zip(shape.nodes, chosen, strict=True) if picked)


def _grow(both: Bools, roots: Bools, able: Bools, cover: int, noise: Floats) -> Bools:
    """Add, next to what is connected already, the node that covers most of what lacks cover."""
    chosen = np.zeros(len(able), dtype=np.bool_)
    lacking = cover - both[:, roots].sum(axis=1)
    lacking[roots] = 0
    near = both[roots].any(axis=0) | roots
    counts = both.astype(np.float32)
    gain = counts @ (lacking > 0)
    while (lacking > 0).any():
        open_to = able & ~chosen & near
        useful = open_to & (gain > 0)
        if not useful.any():
            useful = _towards(both, open_to, able & ~chosen & (gain > 0), able & ~chosen)
        if not useful.any():
            break  # What is left cannot be covered, or not connected.
        pick = int(np.where(useful, gain + noise, -1.0).argmax())
        chosen[pick] = True
        near |= both[pick]
        served = both[pick] & (lacking > 0)
        lacking[both[pick]] -= 1
        gain = gain - counts[:, served & (lacking == 0)].sum(axis=1)
    return chosen


def _towards(both: Bools, near: Bools, goals: Bools, able: Bools) -> Bools:
    """Those of `near` that are fewest steps through able nodes from a goal."""
    front = goals.copy()
    seen = front.copy()
    while front.any():
        if (front & near).any():
            found: Bools = front & near
            return found
        front = both[front].any(axis=0) & able & ~seen
        seen |= front
    return np.zeros(len(near), dtype=np.bool_)


def connected_sample(
    shape: Topology, capable: frozenset[int], size: int, seed: int, linked: Bools | None = None
) -> frozenset[int]:
    """A random connected relay set of about `size` nodes, grown from the gateways."""
    both = adjacency(shape) if linked is None else linked
    able = np.array([address in capable for address in shape.nodes])
    near = both[[address in shape.roots for address in shape.nodes]].any(axis=0)
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(able), dtype=np.bool_)
    for _ in range(size):
        candidates = np.flatnonzero(able & near & ~chosen)
        if not len(candidates):
            break
        pick = int(random.choice(candidates))
        chosen[pick] = True
        near |= both[pick]
    return frozenset(address for address, picked in zip(shape.nodes, chosen, strict=True) if picked)
