"""A site with one path, one link of it that decays, and when that begins to hurt. Pure, but for the site."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from random import Random
from typing import Final

from common.mesh.graph import LinkKey, heard_once
from firmware_bridge.virtual import VirtualSite

GATEWAY: Final = 1
COLUMNS: Final = 6
PDR: Final = (0.94, 0.99)
"""Of the links, the same both ways."""

DRIFT: Final = 0.5
TRANSMISSIONS: Final = 2

FROM_PDR: Final = 0.95
TO_PDR: Final = 0.5
DECAY_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class Course:
    """To which PDR a link goes, and within how many seconds: evenly, or in one step where it is 0."""

    to_pdr: float = TO_PDR
    over_s: float = DECAY_S


USUAL: Final = Course()


@dataclass(frozen=True, slots=True)
class Victim:
    """The link that decays, both ways, and the nodes of the only path it is on: a flow's two ends and the
    relays between them."""

    link: LinkKey
    path: tuple[int, ...]


def corridor(seed: int) -> tuple[VirtualSite, Victim]:
    """A corridor and the link of it that is to decay.

    G R R R R o        a node hears its neighbours in all eight directions; the upper row relays,
    o o o o o o        the lower one could
    """
    random = Random(f"corridor {seed}")
    upper = list(range(GATEWAY, GATEWAY + COLUMNS))
    lower = [node + COLUMNS for node in upper]
    pairs = [*zip(upper, lower, strict=True)]
    for row, other in ((upper, lower), (lower, upper)):
        pairs += [*zip(row, row[1:], strict=False), *zip(row, other[1:], strict=False)]
    pdr = {pair: random.uniform(*PDR) for pair in pairs}
    links = {key: p for (a, b), p in pdr.items() for key in ((a, b), (b, a))}
    at = random.randrange(1, COLUMNS - 2)
    victim = Victim((upper[at], upper[at + 1]), tuple(upper))
    links |= {victim.link: FROM_PDR, victim.link[::-1]: FROM_PDR}
    site = VirtualSite(links, relays=upper[1:-1], gateways=[GATEWAY], drift=DRIFT, seed=seed)
    for a, b in (victim.link, victim.link[::-1]):
        site.links.set(a, b, FROM_PDR)  # It does not drift before it decays.
    return site, victim


def begin(site: VirtualSite, victim: Victim, course: Course = USUAL) -> None:
    """Let the victim decay from now on."""
    for a, b in (victim.link, victim.link[::-1]):
        site.decay(a, b, course.to_pdr, course.over_s)


def delivery(site: VirtualSite, victim: Victim) -> float:
    """What the flow gets in truth over the path as it was: the worse of both directions.

    Exact, as every hop is the only way on: the product of the chances that a hop is heard at all.
    """
    there = prod(_heard(site, a, b) for a, b in pairwise(victim.path))
    back = prod(_heard(site, b, a) for a, b in pairwise(victim.path))
    return min(there, back)


def _heard(site: VirtualSite, transmitter: int, receiver: int) -> float:
    return heard_once(site.links.pdr(transmitter, receiver), TRANSMISSIONS)


class Corridor:
    """A corridor and its victim, for whoever plays on it."""

    gateway = GATEWAY

    def __init__(self, seed: int) -> None:
        self.site, self._victim = corridor(seed)
        self._relays = self._on()

    def begin(self, _need: float, course: Course = USUAL) -> None:
        """Let the link go from now on."""
        begin(self.site, self._victim, course)

    def hurts(self, need: float) -> bool:
        """Whether the flow is below need now, over the path as it was."""
        return delivery(self.site, self._victim) < need

    def bypassed(self) -> bool:
        """Whether the relay set changed: whatever is turned on here helps."""
        return self._on() != self._relays

    def _on(self) -> frozenset[int]:
        return frozenset(node.address for node in self.site.nodes.values() if node.relay)
