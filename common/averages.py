"""Mean and median of a few numbers.

The standard library's `statistics` brings decimals and fractions along, which take a gateway 0.6 MiB.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one number, without rounding errors piling up."""
    return fsum(values) / len(values)


def median(values: Iterable[float]) -> float:
    """The middle of at least one number; of an even count, the mean of both in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
