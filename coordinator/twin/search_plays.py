"""Candidates played by the event simulator, some longer than others, with the same seeds for all."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.radio import RadioParameters
from coordinator.twin.reception import NOMINAL
from coordinator.twin.search_goals import Goals, Judge, Score
from coordinator.twin.search_stage import Stage
from coordinator.twin.site_model import SiteConfiguration, SiteModel

FEWEST, MOST = 100, 250
"""A round of play is the time in which a flow sends one message on average; on small and big sites, the time
in which so many messages are sent in all. Fewer would tell nothing apart, more are not worth their cost."""

SHORTEST_S = 8.0
"""A round lasts this long at least, because queues take some seconds to fill."""

STEADY_S = 40.0
"""Nobody's delivery is known who was not played so long at a stretch. Under too much load relays fall behind
until messages outlast the caches and are relayed again: it takes a while to break down, and until then the
busiest configuration looks like the best."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may cost. `plays`: rounds simulated, over all candidates; `transmissions`:
    what goes on air in them, which is what simulating costs on busy sites. `cpu_s` stops it
    early, and then the same seed need not give the same answer. A candidate whose delivery is known to a
    standard error of `error` is not played on."""

    plays: int = 250
    transmissions: int = 10_000_000
    cpu_s: float | None = None
    error: float = 0.002


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration and what it scored; `worth` is by the goals, and more is better."""

    configuration: SiteConfiguration
    score: Score
    worth: float


@dataclass
class Plays:
    """Plays of one site's candidates. A candidate's score grows with every play; whoever has had n rounds
    has had the same ones as all others that were."""

    model: SiteModel
    goals: Goals
    budget: Budget
    seed: int
    parameters: RadioParameters = NOMINAL
    played: int = 0
    transmissions: int = 0
    scores: dict[SiteConfiguration, Score] = field(default_factory=dict)
    _lengths: dict[SiteConfiguration, int] = field(default_factory=dict)
    _steady: dict[SiteConfiguration, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._judge = Judge(self.model)
        self._stage = Stage(self.model, self.parameters)
        rate = sum(1.0 / flow.period_s for flow in self.model.flows)
        messages = min(max(len(self.model.flows), FEWEST), MOST)
        self._round_s = max(SHORTEST_S, messages / rate if rate else 0.0)
        self._begun = time.process_time()

    @property
    def over(self) -> bool:
        """Whether nothing more may be played."""
        late = self.budget.cpu_s is not None and time.process_time() - self._begun > self.budget.cpu_s
        spent = self.played >= self.budget.plays or self.transmissions >= self.budget.transmissions
        return late or spent

    @property
    def affordable(self) -> float:
        """Rounds that the whole budget is good for, as far as one can tell by what was played."""
        if not self.transmissions:
            return float(self.budget.plays)
        busy = self.budget.transmissions * self.played / self.transmissions
        return min(float(self.budget.plays), busy)

    @property
    def spent(self) -> float:
        """Share of the budget that is used, 0 to 1."""
        used = self.played / self.budget.plays, self.transmissions / self.budget.transmissions
        return min(1.0, max(used))

    def race(
        self, candidates: Iterable[SiteConfiguration], lengths: Sequence[tuple[int, int]]
    ) -> list[SiteConfiguration]:
        """Play all for the first length (in rounds), keep so many, and play on; best first."""
        left = list(dict.fromkeys(candidates))
        for rounds, kept in lengths:
            for configuration in left:
                self.play(configuration, rounds)
            left = self.ranked(left)[:kept]
        return left

    def play(self, configuration: SiteConfiguration, rounds: int) -> None:
        """Bring a candidate to so many rounds, unless the budget is used up. The first candidate
        of all is played in any case."""
        had = self._lengths.get(configuration, 0)
        known = had and self._steady[configuration] and self.scores[configuration].error <= self.budget.error
        if had >= rounds or known or (self.over and self.scores):
            return
        more = rounds - had
        # What comes after `had` rounds is one play with its own seed: common to all that get there alike.
        played = self._stage.play(configuration, self.seed * 4096 + had, more * self._round_s)
        score = self._judge.score(played, configuration)
        before = self.scores.get(configuration)
        self.scores[configuration] = before.joined(score) if before else score
        self._lengths[configuration] = rounds
        self._steady[configuration] = (
            self._steady.get(configuration, False) or more * self._round_s >= STEADY_S
        )
        self.played += more
        self.transmissions += played.transmissions

    def ranked(self, candidates: Iterable[SiteConfiguration] | None = None) -> list[SiteConfiguration]:
        """Those that were played, best first. Ties keep their order."""
        asked = self.scores if candidates is None else [c for c in candidates if c in self.scores]
        return sorted(asked, key=lambda configuration: -self.worth(configuration))

    def worth(self, configuration: SiteConfiguration) -> float:
        """By the goals."""
        return self.scores[configuration].worth(self.goals)

    def length(self, configuration: SiteConfiguration) -> int:
        """Rounds that a candidate has had."""
        return self._lengths.get(configuration, 0)
