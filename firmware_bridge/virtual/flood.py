"""One message's managed flood (Mesh Protocol 1.1, section 3.4.6): who receives it, when and after how many
hops. Pure, but for the random numbers it draws."""

from __future__ import annotations

import heapq
from collections.abc import Container, Mapping
from dataclasses import dataclass
from random import Random

from common.mesh.configuration import Transmit

AIRTIME_S = 0.0011
"""One advertising event: three channels of about 0.35 ms."""

SEND_DELAY_S = (0.002, 0.012)
RELAY_DELAY_S = (0.004, 0.025)
"""From a packet's reception, or the wish to send one, to its first transmission."""

INTERVAL_JITTER_S = 0.010
"""Advertising adds a random delay of up to 10 ms to each interval."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a node received the message, in seconds after it was sent, and over how many hops."""

    delay_s: float
    hops: int


def flood(
    out: Mapping[int, Mapping[int, float]],
    relays: Mapping[int, Transmit],
    source: int,
    ttl: int,
    transmit: Transmit,
    targets: Container[int],
    wanted: int,
    random: Random,
) -> dict[int, Arrival]:
    """Arrivals at the `targets`, of which there are `wanted`: the flood is followed until all have it.

    `out` holds the PDR of each link by transmitter and receiver; `relays` the relay retransmit of every
    node that relays now. Nodes that do not hear anything must not be in `out` as receivers, or be filtered
    by the caller afterwards. TTL 0 and 1 reach direct neighbours only.
    """
    draw = random.random
    done: set[int] = set()
    found: dict[int, Arrival] = {}
    best: dict[int, float] = {source: 0.0}
    heap: list[tuple[float, int, int]] = [(0.0, source, 0)]
    while heap and wanted:
        t, node, hops = heapq.heappop(heap)
        if node in done:
            continue
        done.add(node)
        if node != source and node in targets:
            found[node] = Arrival(t, hops)
            wanted -= 1
        times = transmit if node == source else relays.get(node)
        if times is None or (hops and ttl - hops < 1):
            continue
        low, high = RELAY_DELAY_S if hops else SEND_DELAY_S
        first = t + low + (high - low) * draw() + AIRTIME_S
        count, step = times.count, times.interval_ms / 1000.0 + INTERVAL_JITTER_S * draw()
        for receiver, pdr in out.get(node, {}).items():
            if receiver in done:
                continue
            lot = draw()
            at, miss = first, 1.0 - pdr
            for _ in range(count - 1):
                if lot < 1.0 - miss:
                    break
                at += step
                miss *= 1.0 - pdr
            if lot < 1.0 - miss and at < best.get(receiver, 1e9):
                best[receiver] = at
                heapq.heappush(heap, (at, receiver, hops + 1))
    return found
