"""What a virtual site would deliver now, with all its traffic on the air at once. Unnoticed by the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from common.radio.live import ALL_NODES, Delivery
from coordinator.twin.site_model import SiteFlow
from firmware_bridge.virtual import VirtualSite

SINGLE_HOP, FAR = 0, 7


def shares(site: VirtualSite, flows: Sequence[SiteFlow], seconds: float) -> dict[int, float]:
    """The share of each source's messages that arrive; each node also sends a probe a second."""
    random, radio = Random(5), site.air.fork(5)
    sending = [(1.0, node, ALL_NODES, 1, SINGLE_HOP) for node in site.nodes]
    sending += [(flow.period_s, flow.source, flow.destination, flow.payload_bytes, FAR) for flow in flows]
    begun = radio.now_s
    due: list[tuple[float, int, int, int, int]] = [
        (begun + random.uniform(0.0, seconds), source, destination, size, ttl)
        for period, source, destination, size, ttl in sending
        for _ in range(round(seconds / period))
    ]
    asked, came = Counter[int](), Counter[int]()
    under_way: dict[tuple[int, int], int] = {}
    for t, source, destination, size, ttl in sorted(due):
        came.update(_arrived(radio.advance(t), under_way))
        number = radio.send(source, destination, size, ttl)
        if ttl == FAR:
            asked[source] += 1
            under_way[number, destination] = source
    came.update(_arrived(radio.advance(begun + seconds + 2.0), under_way))
    return {source: came[source] / number for source, number in asked.items()}


def _arrived(heard: Sequence[Delivery], under_way: dict[tuple[int, int], int]) -> list[int]:
    keys = ((one.message, one.node) for one in heard)
    return [under_way.pop(key) for key in keys if key in under_way]
