"""Whom one message's managed flood reaches (Mesh Protocol 1.1, section 3.4.6) over links that fail by chance:
no time, no collisions. For what a relay set is worth; the air of a simulated site knows better."""

from __future__ import annotations

from collections.abc import Container, Mapping
from random import Random

from common.mesh.graph import heard_once


def flood(
    out: Mapping[int, Mapping[int, float]],
    relays: Mapping[int, int],
    source: int,
    ttl: int,
    transmissions: int,
    targets: Container[int],
    wanted: int,
    random: Random,
) -> dict[int, int]:
    """Hops at the `targets`, of which there are `wanted`: the flood is followed until all have it.

    `out` holds the PDR of each link by transmitter and receiver; `relays` how often each node repeats that
    relays now. TTL 0 and 1 reach direct neighbours only.
    """
    seen, front = {source}, [source]
    found: dict[int, int] = {}
    for hops in range(1, max(1, ttl) + 1):
        new: list[int] = []
        for node in front:
            times = transmissions if node == source else relays.get(node, 0)
            for receiver, pdr in out.get(node, {}).items() if times else ():
                if receiver in seen or random.random() >= heard_once(pdr, times):
                    continue
                seen.add(receiver)
                new.append(receiver)
                if receiver in targets:
                    found[receiver] = hops
        front = new
        if len(found) >= wanted or not front:
            break
    return found
