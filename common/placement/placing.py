"""Placing a graph: the best schedule found within a budget.

plan = schedule(Instance.parse(document), budget=Budget(evaluations=400))
plan.node_of("t3"), plan.cost
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

from common.placement.instance import Instance
from common.placement.kernel import is_compiled
from common.placement.kernel.portfolio import Portfolio
from common.placement.large import place_large
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.reading import read_out
from common.placement.timetable import Schedule

MAX_SEARCHED: Final = 1_000
"""Larger graphs get a list schedule: their decision is bounded by their size alone."""

_MAX_INTERPRETED: Final = 150
"""The same for the interpreted kernel when nobody gives a budget: what it had time for is no search."""

_KEPT: Final = 14
_STARTS: Final = 4
"""Candidates that are improved at first; how far apart they have to be, as a share of the tasks, and how near
to the cheapest."""
_APART: Final = 0.2
_DEAR: Final = 1.1

_CUTS: Final = 0.1
"""How much of all time minimum cuts count as price."""

_HOME_AGAIN: Final = ((0.0, 3),)
"""How often the schedule at home is made again, and how early is early enough: see `_Effort.again`."""

_MANY: Final = 25
"""Tasks from which on a graph deserves more."""

_STALE: Final = 3
_GAIN: Final = 0.001
"""Without a budget the search ends after so many rounds in a row that gained less than this share."""

_HOT, _WARM, _COLD, _ICE = 0.03, 0.015, 0.001, 0.0001
"""Temperatures as shares of the cost."""


@dataclass(frozen=True, slots=True)
class _Effort:
    """What a graph of a size deserves.

    So many list schedules, each made `again`: the share of the last finish that is early enough, and how
    often. The rest are evaluations per task: of each candidate at first, of a round on the best, of the sweep
    that ends it, and how many of that in vain end it early.
    """

    lists: int
    again: tuple[tuple[float, int], ...]
    first: float
    round: float
    sweep: float
    patience: float


_LITTLE: Final = _Effort(4, ((0.8, 2),), first=1.0, round=2.0, sweep=4.0, patience=0.5)
_MUCH: Final = _Effort(5, ((0.0, 2), (0.8, 2)), first=3.0, round=4.0, sweep=4.0, patience=0.7)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may cost.

    `evaluations` counts placements weighed, those of the first candidates included, and is used up. None:
    until nothing is gained any more, at most what the graph's size deserves. `seconds` only stops early,
    between two rounds.
    """

    evaluations: int | None = None
    seconds: float | None = None


ANY: Final = Budget()


def schedule(
    instance: Instance,
    *,
    budget: Budget = ANY,
    seed: int = 0,
    loads: Loads | None = None,
    clock: Callable[[], float] = monotonic,
) -> Schedule:
    """The best schedule found: the portfolio's candidates, the most promising of them searched on.

    Equal arguments give equal schedules, compiled or not, unless the clock stops the search or the budget is
    left to the size. Graphs of more than MAX_SEARCHED tasks are list-scheduled, compiled with more passes.
    Raises Unplaceable when a task has no living node that may run it.
    """
    unasked = budget.evaluations is None and not is_compiled()
    if len(instance.tasks) > (_MAX_INTERPRETED if unasked else MAX_SEARCHED):
        return place_large(instance, loads)
    run = _Run(instance, budget, seed, loads, clock)
    run.make_candidates()
    run.improve()
    return run.result()


def most_evaluations(tasks: int, compiled: bool) -> int:
    """What a graph of that size deserves at most when nobody says: less where each is dear."""
    if compiled:
        return max(20, min(150 * tasks, 1_000_000 // tasks))
    return max(4, min(240, 6_500 // tasks))


class _Run:
    """One search: what is left of its budget, and its candidates."""

    def __init__(
        self,
        instance: Instance,
        budget: Budget,
        seed: int,
        loads: Loads | None,
        clock: Callable[[], float],
    ) -> None:
        self.instance = instance
        self.tasks = len(instance.tasks)
        self.effort = _LITTLE if self.tasks < _MANY else _MUCH
        self.portfolio = Portfolio(decoder(instance, loads), seed, _KEPT)
        self.to_the_end = budget.evaluations is not None
        self.most = budget.evaluations or most_evaluations(self.tasks, is_compiled())
        self.clock = clock
        self.until = None if budget.seconds is None else clock() + budget.seconds

    def left(self) -> int:
        """Evaluations that may still be made."""
        if self.until is not None and self.clock() >= self.until:
            return 0
        return self.most - self.portfolio.s.evaluations

    def make_candidates(self) -> None:
        """As many as two thirds of the budget pay; everything at home is always one."""
        p = self.portfolio
        p.try_home()
        self._try_again(_HOME_AGAIN)
        if self._may_try():
            p.try_cuts(_CUTS)
        for mask, price, ahead in _lists(self.instance)[: self.effort.lists]:
            if self._may_try():
                p.try_list(mask, price, ahead)
                self._try_again(self.effort.again)

    def _try_again(self, passes: Sequence[tuple[float, int]]) -> None:
        for share, times in passes:
            if self._may_try():
                self.portfolio.try_again(share, times)

    def _may_try(self) -> bool:
        return 3 * self.portfolio.s.evaluations < 2 * self.most and self.left() > 0

    def improve(self) -> None:
        """Search on from the best candidates that differ, then from the best two in turn."""
        p = self.portfolio
        chosen = self._starts()
        for x in chosen:
            self._roam(x, self.effort.first, _HOT)
        best, stale = min(p.costs[x] for x in chosen), 0
        while self.left() > 0 and (self.to_the_end or stale < _STALE):
            chosen.sort(key=lambda x: p.costs[x])
            x = chosen[stale % min(2, len(chosen))]
            self._roam(x, self.effort.round, _WARM)
            self._sweep(x)
            found = min(p.costs[x] for x in chosen)
            stale = 0 if found < best * (1.0 - _GAIN) else stale + 1
            best = min(best, found)

    def _starts(self) -> list[int]:
        """The best, and others that are apart from each other and not too dear to be worth it."""
        p, chosen = self.portfolio, [0]
        for x in range(1, p.size):
            if len(chosen) == _STARTS or p.costs[x] > _DEAR * p.costs[0]:
                break
            if all(p.distance(x, y) >= _APART * self.tasks for y in chosen):
                chosen.append(x)
        return chosen

    def _roam(self, x: int, per_task: float, hot: float) -> None:
        evaluations = min(int(per_task * self.tasks), self.left())
        if evaluations > 0:
            self.portfolio.improve(x, evaluations, hot, _COLD)

    def _sweep(self, x: int) -> None:
        evaluations = min(int(self.effort.sweep * self.tasks), self.left())
        if evaluations > 0:
            patience = 1 + int(self.effort.patience * self.tasks)
            self.portfolio.polish(x, evaluations, patience, _COLD, _ICE)

    def result(self) -> Schedule:
        """The best candidate, decoded."""
        p = self.portfolio
        evaluations = p.s.evaluations
        p.take(min(range(p.size), key=lambda x: p.costs[x]))
        p.s.weigh()
        return read_out(self.instance, p.d, "search", evaluations)


def _lists(instance: Instance) -> list[tuple[int, float, float]]:
    """List schedules to try: a mask of nodes, the weight of prices, that of what is to come."""
    masks: dict[str, int] = defaultdict(int)
    for j, node in enumerate(instance.nodes):
        masks[node.tier] |= 1 << j
    local, everything = masks["local"], (1 << len(instance.nodes)) - 1
    # Those first that differ most: a small budget pays for two or three.
    return [
        (local | masks["cloud"], 1.0, 1.0),
        (local | masks["peer"], 1.0, 0.5),
        (local | masks["peer"] | masks["mec"], 1.0, 1.0),
        (everything, 1.0, 0.5),
        (everything, 0.0, 1.0),
    ]
