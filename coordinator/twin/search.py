"""The best relay set, TTL and retransmits for a site, under weighted goals.

Covers of the site, improved by percolation, are raced by the event simulator with common seeds: all for one
message per flow, the better ones for three, the best for ten. Retransmit counts and TTL are raced too, never
percolated: percolation does not know load. Then generations of small changes to the best, and a long play of
the finalists beside the configuration that the site has now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from common.errors import Rejected, RejectReason
from common.radio import RadioParameters
from coordinator.twin.reception import NOMINAL
from coordinator.twin.search_goals import Freedom, Goals, Judge
from coordinator.twin.search_plays import Budget, Candidate, Plays
from coordinator.twin.search_sets import RelaySets
from coordinator.twin.site_model import SiteConfiguration, SiteModel

DEFAULT_GOALS: Final = Goals()
DEFAULT_BUDGET: Final = Budget()
EVERY_FREEDOM: Final = Freedom()

FOR_HUNTING: Final = 0.5
"""No generation begins after this share of the budget."""

SMALLEST: Final = 0.3
"""However small the budget, a search keeps this share of its populations."""

Progress = Callable[[float, Candidate | None], None]
"""(share of the budget used, the best so far)."""


@dataclass(frozen=True)
class Found:
    """Ranked candidates, best first, all after the long play; `now` is the site's present configuration,
    played as long, which is one of them unless others were better."""

    candidates: tuple[Candidate, ...]
    now: Candidate
    played: int
    percolated: int
    cpu_s: float

    @property
    def best(self) -> Candidate:
        """The first."""
        return self.candidates[0]


def search(
    model: SiteModel,
    goals: Goals = DEFAULT_GOALS,
    budget: Budget = DEFAULT_BUDGET,
    *,
    freedom: Freedom = EVERY_FREEDOM,
    parameters: RadioParameters = NOMINAL,
    seed: int = 1,
    progress: Progress | None = None,
) -> Found:
    """Search under a budget. Deterministic by `seed` as long as the time cap does not strike. Raises Rejected
    for a site without flows: there is nothing to deliver."""
    if not model.flows:
        raise Rejected(RejectReason.INVALID, "a search needs flows: what shall be delivered?")
    begun = time.process_time()
    plays = Plays(model, goals, budget, seed, parameters)
    hunt = _Hunt(model, plays, RelaySets(model, goals, freedom.fixed, seed), freedom, seed, progress)
    finalists = hunt.run()
    made = {c: Candidate(c, plays.scores[c], plays.worth(c)) for c in [*finalists, model.configuration]}
    return Found(
        tuple(made[c] for c in finalists),
        made[model.configuration],
        plays.played,
        hunt.sets.tried,
        time.process_time() - begun,
    )


@dataclass
class _Hunt:
    """One search. Populations and lengths grow with the root of what the budget is good for, both."""

    model: SiteModel
    plays: Plays
    sets: RelaySets
    freedom: Freedom
    seed: int
    progress: Progress | None

    def __post_init__(self) -> None:
        self._random = np.random.default_rng((self.seed, 1))
        self._judge = Judge(self.model)

    def run(self) -> list[SiteConfiguration]:
        now = self.model.configuration
        self.plays.play(now, self._many(3))
        self.sets.settle(self.plays.scores[now].delivery)
        best = self._race([now, *self._with_sets(now)], 6)
        best = self._race([*best, *self._with_times(best[:3])], 6)
        for _ in range(self._many(2)):
            if self.plays.spent > FOR_HUNTING:
                break  # The rest is for telling the best apart.
            best = self._race([*best, *self._generation(best)], 6)
        best = self.plays.race(best, [(self._many(10), 3)])
        self.plays.play(now, self._many(30))
        best = self.plays.race(best, [(self._many(30), 3)])
        return self.plays.ranked(dict.fromkeys([*best, now]))

    def _bearable(self, configuration: SiteConfiguration) -> SiteConfiguration:
        """With as many relay retransmits as relays can keep up with, so far as these may be changed."""
        possible = sorted(self.freedom.relay_counts, reverse=True)
        for count in possible:
            if self._judge.load(configuration, self.plays.parameters) <= 1.0:
                break
            if count < configuration.relay_retransmit.count:
                configuration = configuration.with_counts(configuration.network_transmit.count, count)
        return configuration

    def _race(self, candidates: list[SiteConfiguration], kept: int) -> list[SiteConfiguration]:
        """One round for all, three for the better."""
        candidates = [candidates[0], *map(self._bearable, candidates[1:])]
        one, three = max(1, self._many(1)), max(2, self._many(3))
        best = self.plays.race(candidates, [(one, self._many(10)), (three, self._many(kept))])
        if self.progress is not None:
            first = best[0]
            found = Candidate(first, self.plays.scores[first], self.plays.worth(first))
            self.progress(self.plays.spent, found)
        return best

    def _with_sets(self, now: SiteConfiguration) -> Iterator[SiteConfiguration]:
        largest = 0
        for relays in self.sets.covers(self._many(1)):
            largest = max(largest, len(relays))
            yield replace(now, relays=relays)
        for relays in self.sets.thin():
            yield replace(now, relays=relays)
        yield replace(now, relays=self.sets.improved(now.relays))
        # On a dense site all relays at once only jam each other, and take longest to simulate.
        if 2 * largest > len(self.sets.free):
            yield replace(now, relays=self.sets.free | now.relays)

    def _with_times(self, best: list[SiteConfiguration]) -> Iterator[SiteConfiguration]:
        """Other retransmit counts, and the TTL that the relay set needs."""
        for configuration in best:
            for network in self.freedom.network_counts or (configuration.network_transmit.count,):
                for relay in self.freedom.relay_counts or (configuration.relay_retransmit.count,):
                    yield configuration.with_counts(network, relay)
            if self.freedom.ttl:
                needed = self.sets.hops_needed(configuration.relays) + 2
                if 2 <= needed < configuration.ttl:
                    yield replace(configuration, ttl=needed)

    def _generation(self, best: list[SiteConfiguration]) -> Iterator[SiteConfiguration]:
        """Small changes to the best: their sets, crossed or mutated, and sometimes a count up or down."""
        for _ in range(self._many(18)):
            one = best[int(self._random.integers(len(best)))]
            other = best[int(self._random.integers(len(best)))]
            if one.relays != other.relays and self._random.random() < 0.3:
                relays = self.sets.crossed(one.relays, other.relays)
            else:
                relays = self.sets.mutated(one.relays)
            child = replace(one, relays=relays)
            yield self._nudged(child) if self._random.random() < 0.25 else child

    def _nudged(self, configuration: SiteConfiguration) -> SiteConfiguration:
        network, relay = self.freedom.network_counts, self.freedom.relay_counts
        if not network or not relay:
            return configuration
        counts = int(self._random.choice(list(network))), configuration.relay_retransmit.count
        if self._random.random() < 0.5:
            counts = configuration.network_transmit.count, int(self._random.choice(list(relay)))
        return configuration.with_counts(*counts)

    def _many(self, number: int) -> int:
        scale = (self.plays.affordable / DEFAULT_BUDGET.plays) ** 0.5
        return max(1, round(number * max(SMALLEST, float(scale))))
