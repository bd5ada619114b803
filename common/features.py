"""Cleaning and windowed features of one measured series, for forecasts and decisions.

Pure standard library: an agent without a model never loads numpy. Times are seconds of any one clock,
values plain floats; NaN and infinities are not measurements and are refused.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from common.averages import median

EWMA_WEIGHT: Final = 0.2
# A value further than this many robust deviations from the window's median is pulled back to that distance.
CLAMP_DEVIATIONS: Final = 6.0
# Median absolute deviation to standard deviation, for a normal distribution.
_MAD_TO_SIGMA: Final = 1.4826
_ENOUGH_TO_CLAMP: Final = 8


@dataclass(frozen=True, slots=True)
class Features:
    """A window in numbers. `slope` is per second; `age` seconds since the last sample. With no sample yet
    everything is NaN, `age` infinite and `count` 0."""

    last: float
    ewma: float
    mean: float
    deviation: float
    minimum: float
    maximum: float
    slope: float
    age: float
    count: int


class Window:
    """The last samples of a series, at most `size` and none older than `span` seconds before the newest."""

    def __init__(self, size: int = 64, span: float = math.inf, floor: float = 0.0) -> None:
        """`floor` is the smallest deviation that the clamp assumes: the resolution of the measurement."""
        self._samples: deque[tuple[float, float]] = deque(maxlen=size)
        self._span = span
        self._floor = floor
        self._ewma = math.nan
        self.refused = 0
        self.clamped = 0

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, t: float, value: float) -> bool:
        """Take a sample, cleaned; False when it is no measurement or not newer than the last one."""
        late = bool(self._samples) and t <= self._samples[-1][0]
        if late or not math.isfinite(value) or not math.isfinite(t):
            self.refused += 1
            return False
        value = self._clamp(value)
        self._samples.append((t, value))
        while self._samples[0][0] < t - self._span:
            self._samples.popleft()
        self._ewma = value if math.isnan(self._ewma) else self._ewma + EWMA_WEIGHT * (value - self._ewma)
        return True

    def values(self) -> list[float]:
        """The cleaned values, oldest first."""
        return [value for _, value in self._samples]

    def features(self, now: float) -> Features:
        """The window at time `now`."""
        if not self._samples:
            nan = math.nan
            return Features(nan, nan, nan, nan, nan, nan, nan, math.inf, 0)
        values = self.values()
        mean = math.fsum(values) / len(values)
        variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
        return Features(
            last=values[-1],
            ewma=self._ewma,
            mean=mean,
            deviation=math.sqrt(variance),
            minimum=min(values),
            maximum=max(values),
            slope=self._slope(mean),
            age=max(0.0, now - self._samples[-1][0]),
            count=len(values),
        )

    def _slope(self, mean: float) -> float:
        """Least squares, in units per second; 0 for a single sample."""
        centre = math.fsum(t for t, _ in self._samples) / len(self._samples)
        spread = math.fsum((t - centre) ** 2 for t, _ in self._samples)
        if spread == 0:
            return 0.0
        return math.fsum((t - centre) * (value - mean) for t, value in self._samples) / spread

    def _clamp(self, value: float) -> float:
        """Pull an outlier towards the window. A real step passes once it holds for half the window."""
        if len(self._samples) < _ENOUGH_TO_CLAMP:
            return value
        values = self.values()
        middle = median(values)
        deviation = _MAD_TO_SIGMA * median(abs(other - middle) for other in values)
        reach = CLAMP_DEVIATIONS * max(deviation, self._floor)
        if reach == 0 or abs(value - middle) <= reach:
            return value
        self.clamped += 1
        return middle + math.copysign(reach, value - middle)
