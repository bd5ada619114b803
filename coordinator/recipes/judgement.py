"""Did a change make anything worse? Counts of before and after, with the doubt that few counts leave.

Pure. A key is whatever was counted: a node's round trips, a flow's messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import erfc, sqrt
from typing import Final, TypeAlias

Key: TypeAlias = "int | tuple[int, int]"

TOLERANCE: Final = 0.02
"""Loss of delivery that is put up with."""

CERTAIN: Final = 0.999
"""Chance of a greater loss at which nobody waits for more counts: among 1,000 keys one is accused wrongly."""

UNLIKELY: Final = 0.03
"""Chance of a greater loss below which a key is left alone."""


FAR_BELOW: Final = 0.5
"""Share of the answers expected below which the site is not the one that the plan was made for."""
HARDLY_ANY: Final = 0.1
"""Share answered below which nothing can get visibly worse, whatever was expected."""


class Verdict(StrEnum):
    """What a comparison comes to."""

    FINE = "fine"
    UNSURE = "unsure"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Count:
    """So many asked (or sent), so many answered (or delivered)."""

    asked: int = 0
    answered: int = 0

    @property
    def share(self) -> float:
        """Mean of the beta posterior from an even prior, so that 5 of 5 are no certainty."""
        return (self.answered + 1.0) / (self.asked + 2.0)

    @property
    def variance(self) -> float:
        """Of the same posterior."""
        return self.share * (1.0 - self.share) / (self.asked + 3.0)

    def __add__(self, other: Count) -> Count:
        return Count(self.asked + other.asked, self.answered + other.answered)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, the keys that are `worse`, worst first, and those to count on with."""

    verdict: Verdict
    worse: tuple[Key, ...]
    unsure: tuple[Key, ...]
    mean_before: float
    mean_after: float


def chance_of_loss(before: Count, after: Count, tolerance: float = TOLERANCE) -> float:
    """Chance that delivery fell by more than `tolerance`. Normal approximation of two beta posteriors."""
    fall = before.share - after.share - tolerance
    return 0.5 * erfc(-fall / sqrt(2.0 * (before.variance + after.variance)))


def judge(
    before: Mapping[Key, Count],
    after: Mapping[Key, Count],
    *,
    at_last: float | None = None,
    tolerance: float = TOLERANCE,
) -> Judgement:
    """Compare the keys counted both times. `at_last` is given when no more can be counted: keys with a
    higher chance of loss are worse then, the others fine."""
    chances = {
        key: chance_of_loss(before[key], after[key], tolerance) for key in before.keys() & after.keys()
    }
    limit = CERTAIN if at_last is None else at_last
    falls = {key: before[key].share - after[key].share for key in chances}
    worse = sorted((key for key, chance in chances.items() if chance > limit), key=lambda k: -falls[k])
    unsure = [] if at_last is not None else [k for k, c in chances.items() if UNLIKELY < c <= limit]
    verdict = Verdict.WORSE if worse else Verdict.UNSURE if unsure else Verdict.FINE
    return Judgement(verdict, tuple(worse), tuple(unsure), _mean(before, chances), _mean(after, chances))


def too_few(before: Mapping[Key, Count], delivery: float | None = None) -> str:
    """Why nothing should be changed at a site that answers so; "" where it may be. `delivery` is the one-way
    delivery that the plan takes for the present one; an answer has to come both ways."""
    asked = sum(count.asked for count in before.values())
    answered = sum(count.answered for count in before.values())
    usual = 1.0 if delivery is None else delivery**2
    least = HARDLY_ANY if delivery is None else max(HARDLY_ANY, FAR_BELOW * usual)
    if not before or (asked and answered >= least * asked):
        return ""
    said = "" if delivery is None else f", where about {usual:.0%} was expected"
    return f"{answered} of {asked} questions were answered{said}: the mesh is down, or not what it was"


def merged(one: Mapping[Key, Count], other: Mapping[Key, Count]) -> dict[Key, Count]:
    """The counts of both, together."""
    return {key: one.get(key, Count()) + other.get(key, Count()) for key in one.keys() | other.keys()}


def _mean(counts: Mapping[Key, Count], keys: Mapping[Key, float]) -> float:
    asked = sum(counts[key].asked for key in keys)
    return sum(counts[key].answered for key in keys) / asked if asked else 1.0
