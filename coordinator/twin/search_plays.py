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


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may cost. `plays`: simulated messages per flow, over all candidates. `cpu_s` stops it
    early, and then the same seed need not give the same answer. A candidate whose delivery is known to a
    standard error of `error` is not played on."""

    plays: int = 250
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
    """Plays of one site's candidates. A candidate's score grows with every play; whoever is asked to have had
    n messages per flow has had the same ones as all others that were."""

    model: SiteModel
    goals: Goals
    budget: Budget
    seed: int
    parameters: RadioParameters = NOMINAL
    played: int = 0
    scores: dict[SiteConfiguration, Score] = field(default_factory=dict)
    _lengths: dict[SiteConfiguration, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._judge = Judge(self.model)
        self._stage = Stage(self.model, self.parameters)
        rate = sum(1.0 / flow.period_s for flow in self.model.flows)
        self._message_s = len(self.model.flows) / rate if rate else 1.0
        self._begun = time.process_time()

    @property
    def over(self) -> bool:
        """Whether nothing more may be played."""
        late = self.budget.cpu_s is not None and time.process_time() - self._begun > self.budget.cpu_s
        return late or self.played >= self.budget.plays

    def race(
        self, candidates: Iterable[SiteConfiguration], lengths: Sequence[tuple[int, int]]
    ) -> list[SiteConfiguration]:
        """Play all for the first length (messages per flow), keep so many, and play on; best first."""
        left = list(dict.fromkeys(candidates))
        for messages, kept in lengths:
            for configuration in left:
                self.play(configuration, messages)
            left = self.ranked(left)[:kept]
        return left

    def play(self, configuration: SiteConfiguration, messages: int) -> None:
        """Bring a candidate to so many messages per flow, unless the budget is used up. The first candidate
        of all is played in any case."""
        had = self._lengths.get(configuration, 0)
        known = had and self.scores[configuration].error <= self.budget.error
        if had >= messages or known or (self.over and self.scores):
            return
        more = messages - had
        # What comes after `had` messages is one play with its own seed: common to all that get there alike.
        played = self._stage.play(configuration, self.seed * 4096 + had, more * self._message_s)
        score = self._judge.score(played, configuration)
        before = self.scores.get(configuration)
        self.scores[configuration] = before.joined(score) if before else score
        self._lengths[configuration] = messages
        self.played += more

    def ranked(self, candidates: Iterable[SiteConfiguration] | None = None) -> list[SiteConfiguration]:
        """Those that were played, best first. Ties keep their order."""
        asked = self.scores if candidates is None else [c for c in candidates if c in self.scores]
        return sorted(asked, key=lambda configuration: -self.worth(configuration))

    def worth(self, configuration: SiteConfiguration) -> float:
        """By the goals."""
        return self.scores[configuration].worth(self.goals)

    def length(self, configuration: SiteConfiguration) -> int:
        """Messages per flow that a candidate has had."""
        return self._lengths.get(configuration, 0)
