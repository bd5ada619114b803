"""Compiled kernels of static percolation: 64 worlds a machine word. All of them are in this one module,
because numba notices an edit only in the file that holds the function.

Arrays: a site of N nodes (indices, not addresses) and E links in rows (`starts` [N + 1], `others` [E]);
`open` [E, W] uint64 holds the worlds in which a link is open; W words of 64 worlds.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

CHANCE_BITS = 32


@numba.njit(cache=True, nogil=True)
def draw(keys: Any, chances: Any, seed: int, words: int) -> Any:
    """Worlds in which each link is open: [E, W] from `keys` [E] uint64 and `chances` [E] uint64 of 2^32.

    A world's uniform number belongs to the link's key alone and is compared bit by bit from the highest, in
    64 worlds at once, until all are decided. A higher chance opens the same worlds and some more.
    """
    opened = np.zeros((len(keys), words), dtype=np.uint64)
    every = ~np.uint64(0)
    for e in range(len(keys)):
        if chances[e] >= np.uint64(1) << np.uint64(CHANCE_BITS):
            opened[e, :] = every
            continue
        for w in range(words):
            state = keys[e] * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed * 4099 + w + 1)
            undecided, below = every, np.uint64(0)
            for bit in range(CHANCE_BITS):
                state += np.uint64(0x9E3779B97F4A7C15)
                z = state
                z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                z = z ^ (z >> np.uint64(31))
                if (chances[e] >> np.uint64(CHANCE_BITS - 1 - bit)) & np.uint64(1):
                    below |= undecided & ~z
                    undecided &= z
                else:
                    undecided &= ~z
                if undecided == 0:
                    break
            opened[e, w] = below
    return opened


@numba.njit(cache=True, nogil=True)
def _count(word: Any) -> Any:
    """Bits set in a word."""
    x = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@numba.njit(cache=True, nogil=True)
def arrive(
    root: int, starts: Any, others: Any, as_relay: Any, as_origin: Any, relays: Any, ttl: int, arrivals: Any
) -> None:
    """How the floods that every node starts arrive at `root`. Rows are receivers, `others` transmitters.

    Adds to `arrivals` [N, H] in how many worlds a node's own message first arrives after so many hops; more
    hops than H - 1 count as H - 1. A node's own message is on air as often as `as_origin` says, a relayed
    one as `as_relay` says.
    """
    nodes, last = len(starts) - 1, arrivals.shape[1] - 1
    words = as_relay.shape[1]
    reached = np.zeros((nodes, words), dtype=np.uint64)
    begun = np.zeros((nodes, words), dtype=np.uint64)
    front = np.zeros((nodes, words), dtype=np.uint64)
    heard = np.zeros((nodes, words), dtype=np.uint64)
    active = np.empty(nodes, dtype=np.int64)
    touched = np.empty(nodes, dtype=np.int64)
    is_touched = np.zeros(nodes, dtype=np.bool_)
    reached[root, :] = ~np.uint64(0)
    begun[root, :] = ~np.uint64(0)
    front[root, :] = ~np.uint64(0)
    arrivals[root, 0] += 64 * words
    active[0], count, hop = root, 1, 0
    while count and hop < ttl:
        hop += 1
        found = 0
        for i in range(count):
            v = active[i]
            for e in range(starts[v], starts[v + 1]):
                u = others[e]
                if relays[u] and not is_touched[u]:
                    is_touched[u] = True
                    touched[found] = u
                    found += 1
                total = np.int64(0)
                for w in range(words):
                    bits = front[v, w]
                    if bits:
                        fresh = bits & as_origin[e, w] & ~begun[u, w]
                        if fresh:
                            begun[u, w] |= fresh
                            total += np.int64(_count(fresh))
                        if relays[u]:
                            heard[u, w] |= bits & as_relay[e, w]
                if total:
                    arrivals[u, min(hop, last)] += total
        for i in range(count):
            front[active[i], :] = np.uint64(0)
        count = 0
        for i in range(found):
            u = touched[i]
            is_touched[u] = False
            some = np.uint64(0)
            for w in range(words):
                fresh = heard[u, w] & ~reached[u, w]
                heard[u, w] = np.uint64(0)
                reached[u, w] |= fresh
                front[u, w] = fresh
                some |= fresh
            if some:
                active[count] = u
                count += 1


@numba.njit(cache=True, nogil=True)
def spread(
    root: int, starts: Any, others: Any, as_relay: Any, as_origin: Any, relays: Any, ttl: int, arrivals: Any
) -> None:
    """How the flood that `root` starts arrives everywhere. Rows are transmitters, `others` receivers;
    else as `arrive`."""
    nodes, last = len(starts) - 1, arrivals.shape[1] - 1
    words = as_relay.shape[1]
    reached = np.zeros((nodes, words), dtype=np.uint64)
    front = np.zeros((nodes, words), dtype=np.uint64)
    heard = np.zeros((nodes, words), dtype=np.uint64)
    active = np.empty(nodes, dtype=np.int64)
    touched = np.empty(nodes, dtype=np.int64)
    is_touched = np.zeros(nodes, dtype=np.bool_)
    reached[root, :] = ~np.uint64(0)
    front[root, :] = ~np.uint64(0)
    arrivals[root, 0] += 64 * words
    active[0], count, hop = root, 1, 0
    while count and hop < ttl:
        hop += 1
        found = 0
        opened = as_origin if hop == 1 else as_relay
        for i in range(count):
            u = active[i]
            for e in range(starts[u], starts[u + 1]):
                v = others[e]
                if not is_touched[v]:
                    is_touched[v] = True
                    touched[found] = v
                    found += 1
                for w in range(words):
                    heard[v, w] |= front[u, w] & opened[e, w]
        for i in range(count):
            front[active[i], :] = np.uint64(0)
        count = 0
        for i in range(found):
            v = touched[i]
            is_touched[v] = False
            total = np.int64(0)
            for w in range(words):
                fresh = heard[v, w] & ~reached[v, w]
                heard[v, w] = np.uint64(0)
                reached[v, w] |= fresh
                if relays[v]:
                    front[v, w] = fresh
                total += np.int64(_count(fresh))
            if total:
                arrivals[v, min(hop, last)] += total
                if relays[v]:
                    active[count] = v
                    count += 1
