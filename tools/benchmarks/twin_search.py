"""What the twin's search costs, and how much delivery it leaves to rivals: covers, all relays, luck, time.

For each site: CPU time of one search for delivery alone, at its default budget, compiled before; and regret,
the delivery of the best rival less that of what was found. Rivals are greedy connected covers k = 1..4 and
all relays (each with the site's own retransmits and with those found), random connected relay sets, and a
search of a hundred times the budget. All finalists are played again with seeds that nobody has seen, the
random sets in rounds. Sites are scenario files, by default scenarios/speed_100 and speed_500 of the folder
that MESHTWIN_DATA names; each comes once as it is, and once strained: weaker links and more traffic, because
a site where everything arrives tells good relay sets from bad ones by nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from common import scenario
from common.errors import Misconfigured
from common.scenario import Scenario
from coordinator.training.traces import VARIABLE, data_folder
from coordinator.twin.graph import topology
from coordinator.twin.graph_domination import adjacency, connected_sample, dominating_set
from coordinator.twin.search import DEFAULT_BUDGET, search
from coordinator.twin.search_goals import Goals
from coordinator.twin.search_plays import Budget, Plays
from coordinator.twin.site_model import SiteConfiguration, SiteModel

SITES: Final = ("speed_100.json.gz", "speed_500.json.gz")
STRAIN_DB: Final = 6.0
STRAIN_TRAFFIC: Final = 2.0
DELIVERY: Final = Goals(delivery=1.0, latency=0.0, occupancy=0.0, energy=0.0, changes=0.0)
BOUNDLESS: Final = Budget(plays=1 << 40, transmissions=1 << 60, error=0.0)
RANDOM_SETS: Final = 1000
QUICK_RANDOM_SETS: Final = 100
LONGER: Final = 100
QUICK_LONGER: Final = 4
FRESH: Final = 7919
"""Seeds of the judgement lie this far from those of the search."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-search")
    group.add_argument("--sites", type=Path, nargs="+", help="scenario files (default: see above)")
    group.add_argument("--plays", type=int, default=DEFAULT_BUDGET.plays, help="budget of the search judged")
    group.add_argument("--longer", type=int, help=f"budget of the rival search, times this ({LONGER})")


def inputs(options: argparse.Namespace) -> list[Path]:
    """The files measured on. Raises Misconfigured if there are none."""
    if options.sites:
        return list(options.sites)
    folder = data_folder(os.environ)
    found = [folder / "scenarios" / name for name in SITES] if folder else []
    if not found and not options.all:
        raise Misconfigured("there are no scenarios", f"set {VARIABLE} or --sites")
    return found


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of every site."""
    return await asyncio.to_thread(_measure, options)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for path in inputs(options):
        plain = scenario.read(path)
        for name, site in (("", plain), ("_strained", strained(plain))):
            figures |= _judged(SiteModel.of(site), f"{len(site.nodes)}{name}", options)
    return figures


def strained(site: Scenario) -> Scenario:
    """The same site with walls in between and more to say."""
    nodes = [node.model_copy(update={"tx_power_dbm": node.tx_power_dbm - STRAIN_DB}) for node in site.nodes]
    flows = [flow.model_copy(update={"period_s": flow.period_s / STRAIN_TRAFFIC}) for flow in site.flows]
    return site.model_copy(update={"nodes": nodes, "flows": flows})


def _judged(model: SiteModel, name: str, options: argparse.Namespace) -> dict[str, Any]:
    search(model, DELIVERY, Budget(plays=1), seed=options.seed)  # Compiles.
    begun = time.process_time()
    found = search(model, DELIVERY, _budget(options.plays), seed=options.seed)
    cpu_s = time.process_time() - begun
    print(f"{name}: found {_shown(found.best.configuration)} in {cpu_s:.2f} s", file=sys.stderr)
    ours = found.best.configuration
    rivals = _Rivals(model, options).against(ours)
    best = max(rivals, key=lambda rival: rivals[rival])
    return {
        f"cpu_s_{name}": round(cpu_s, 3),
        f"regret_{name}": round(rivals[best] - rivals["search"], 5),
        f"pdr_{name}": round(rivals["search"], 5),
        f"best_{name}": best,
        f"all_{name}": {rival: round(pdr, 5) for rival, pdr in rivals.items()},
    }


@dataclass
class _Rivals:
    """Everything that a search must not be worse than, and the judgement."""

    model: SiteModel
    options: argparse.Namespace

    def against(self, ours: SiteConfiguration) -> dict[str, float]:
        """Delivery by name, `search` being ours."""
        quick = self.options.quick
        named = {"search": ours, "now": self.model.configuration}
        named |= dict(self._covers(ours))
        named |= self._lucky(ours, QUICK_RANDOM_SETS if quick else RANDOM_SETS)
        longer = self.options.longer or (QUICK_LONGER if quick else LONGER)
        budget = _budget(self.options.plays * longer)
        long = search(self.model, DELIVERY, budget, seed=self.options.seed + 1)
        print(f"long: {_shown(long.best.configuration)} in {long.cpu_s:.0f} s", file=sys.stderr)
        named["longer search"] = long.best.configuration
        return self._scored(named, 20 if quick else 100, self.options.seed + 2 * FRESH)

    def _covers(self, ours: SiteConfiguration) -> Iterator[tuple[str, SiteConfiguration]]:
        shape = topology(self.model)
        linked = adjacency(shape)
        sets = {
            f"cover {k}": dominating_set(shape, self.model.capable, k, linked=linked) for k in range(1, 5)
        }
        sets["all relays"] = self.model.capable
        for name, relays in sets.items():
            yield name, replace(self.model.configuration, relays=relays)
            yield f"{name}, times found", replace(ours, relays=relays)

    def _lucky(self, ours: SiteConfiguration, number: int) -> dict[str, SiteConfiguration]:
        """The best of many random connected sets, by rounds of longer play: half with the times found."""
        shape = topology(self.model)
        linked, random = adjacency(shape), Random(self.options.seed)
        smallest = len(dominating_set(shape, self.model.capable, 1, linked=linked))
        candidates = []
        for i in range(number):
            size = random.randint(smallest, max(smallest, len(self.model.capable) // 2))
            relays = connected_sample(shape, self.model.capable, size, i, linked)
            candidates.append(replace(ours if i % 2 else self.model.configuration, relays=relays))
        plays = Plays(self.model, DELIVERY, BOUNDLESS, self.options.seed + FRESH)
        best = plays.race(candidates, [(1, max(10, number // 20)), (5, 10), (20, 3)])
        return {f"random {i + 1}": configuration for i, configuration in enumerate(best)}

    def _scored(self, named: dict[str, SiteConfiguration], messages: int, seed: int) -> dict[str, float]:
        plays = Plays(self.model, DELIVERY, BOUNDLESS, seed)
        for configuration in named.values():
            plays.play(configuration, messages)
        return {name: plays.scores[configuration].delivery for name, configuration in named.items()}


def _budget(plays: int) -> Budget:
    """The default one, in proportion; known well enough is whatever is known to a root of it better."""
    share = plays / DEFAULT_BUDGET.plays
    return Budget(plays, round(DEFAULT_BUDGET.transmissions * share), error=DEFAULT_BUDGET.error / share**0.5)


def _shown(configuration: SiteConfiguration) -> str:
    counts = configuration.network_transmit.count, configuration.relay_retransmit.count
    return f"{len(configuration.relays)} relays, transmissions {counts}, TTL {configuration.ttl}"
