"""A line through the runs of a kind on a machine: so many seconds for any run, and so many for each second of
its hint.

For machines on which the smallest run takes long: a processor that is shared out by quotas, a worker that
has to import much. Drawn through medians (Theil and Sen), so that single runs bend nothing, and only used
where it foretells runs that it has not seen better than their ratio to the hint does. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from statistics import median
from typing import Final

LEAST_RUNS: Final = 5
APART: Final = 0.05
"""Hints of two runs that differ by a smaller share say nothing of a slope."""

BETTER: Final = 0.95
"""Its error on runs left out, as a share of the ratio's."""

_MAD_TO_SIGMA: Final = 1.4826
Run = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """`spread` is the standard deviation of the logarithm of a run's seconds about it."""

    any_s: float
    each: float
    spread: float

    def at(self, hint_s: float) -> float:
        """Seconds of a run with this hint."""
        return self.any_s + self.each * hint_s


def drawn(runs: Sequence[Run], overhead_s: float) -> Line | None:
    """The line through (hint, seconds), where it is worth more than the ratio of the two, to both of which
    `overhead_s` is added. None where it is not, or there are too few runs to tell."""
    if len(runs) < LEAST_RUNS:
        return None
    whole = _line(runs)
    if whole is None:
        return None
    errors = _left_out(runs, lambda rest: _line(rest))
    others = _left_out(runs, lambda rest: _ratio(rest, overhead_s))
    if median(errors) > BETTER * median(others):
        return None
    return Line(whole.any_s, whole.each, _MAD_TO_SIGMA * median(errors))


def _line(runs: Sequence[Run]) -> Line | None:
    slopes = [
        (b[1] - a[1]) / (b[0] - a[0])
        for a, b in combinations(runs, 2)
        if abs(b[0] - a[0]) > APART * max(a[0], b[0])
    ]
    if not slopes:
        return None
    each = max(0.0, median(slopes))
    return Line(max(0.0, median(took - each * hint for hint, took in runs)), each, 0.0)


def _ratio(runs: Sequence[Run], overhead_s: float) -> Line:
    each = median((took + overhead_s) / (hint + overhead_s) for hint, took in runs)
    return Line(overhead_s * (each - 1.0), each, 0.0)


def _left_out(runs: Sequence[Run], fit: Callable[[Sequence[Run]], Line | None]) -> list[float]:
    """How far, in logarithms, each run is from what the others say."""
    errors = []
    for at, (hint, took) in enumerate(runs):
        line = fit([*runs[:at], *runs[at + 1 :]])
        errors.append(10.0 if line is None else abs(log(took) - log(max(1e-4, line.at(hint)))))
    return errors
