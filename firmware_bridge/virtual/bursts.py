"""Interference that comes and goes: foreign traffic raises the noise in a part of a simulated site."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from firmware_bridge.virtual.truths import HiddenTruths

if TYPE_CHECKING:
    from firmware_bridge.virtual.site import VirtualSite


class Bursts:
    """Schedules the bursts of `truths` on the site's agenda, and counts them."""

    def __init__(self, site: VirtualSite, truths: HiddenTruths, seed: int) -> None:
        self._site = site
        self._truths = truths
        self._random = Random(f"bursts {seed}")
        self.count = 0
        if truths.bursts_per_hour:
            self._wait()

    def _wait(self) -> None:
        gap_s = self._random.expovariate(self._truths.bursts_per_hour / 3600.0)
        self._site.after(gap_s, self._begin)

    def _begin(self) -> None:
        self.count += 1
        self._wait()
        seconds = self._random.expovariate(1.0 / self._truths.burst_s)
        for address in self._region():
            self._site.air.interfere(address, self._truths.burst_db, seconds)

    def _region(self) -> list[int]:
        """A node, and those whose signals are the strongest there: the nearest, as far as radio can tell."""
        centre = self._random.choice(sorted(self._site.nodes))
        levels = self._site.air.levels_at(centre)
        nearest = sorted(levels, key=lambda address: levels[address], reverse=True)
        return [centre, *nearest][: max(1, round(self._truths.burst_share * len(self._site.nodes)))]
