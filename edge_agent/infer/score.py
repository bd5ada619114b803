"""Live scores: how far forecasts lie from what the next windows bring, and which of two is better."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Final

MEMORY_WINDOWS: Final = 2000
"""So many link windows count: a few minutes of a small site, so that one odd minute changes nothing."""

TRIAL_WINDOWS: Final = 200
"""A model is neither used nor called worse before so many windows of it were compared."""

CLEAR: Final = 2.0
"""Standard errors of the mean difference. On a calm site nobody can be better than the other, and a model is
there for the day when something happens: it need not be better before it is used, but must not be clearly
worse by more than is allowed. Once it was, it has to be clearly within that to be used again."""

ALLOWED: Final = 0.1
"""Share of the naive error by which a model may err more. Only the next window can be scored soon: during a
decay a sound model errs by up to 8 % more there, and by up to 30 % less three windows on, where decisions
look. And as every window is judged anew, chance alone would otherwise call equals worse one day."""

_FADE: Final = 1.0 - 1.0 / MEMORY_WINDOWS


class State(StrEnum):
    """What is held of a model, compared with the naive forecast."""

    TRIAL = "trial"
    IN_USE = "in-use"
    WORSE = "worse-than-naive"


@dataclass(frozen=True, slots=True)
class Standing:
    """A model's state, and mean absolute errors of the share heard in the next window, over the same
    windows. NaN before the first of them. `windows` counts all of them, also those that have faded."""

    state: State
    error: float
    naive_error: float
    windows: int


@dataclass(slots=True)
class MeanError:
    """Mean absolute error of one forecaster, slowly fading."""

    error: float = 0.0
    weight: float = 0.0

    def add(self, error: float) -> None:
        """Count a window's error."""
        self.error = self.error * _FADE + error
        self.weight = self.weight * _FADE + 1.0

    @property
    def mean(self) -> float:
        """In share heard, 0 to 1; NaN before the first window."""
        return self.error / self.weight if self.weight else float("nan")


class Match:
    """One model against the naive forecast, window by window: a paired comparison, so that windows which
    nobody could have foreseen weigh on both alike."""

    def __init__(self) -> None:
        self._model = MeanError()
        self._naive = MeanError()
        self._squares = 0.0
        self._windows = 0
        self._state = State.TRIAL

    def add(self, error: float, naive_error: float) -> None:
        """Count a window: both absolute errors."""
        self._model.add(error)
        self._naive.add(naive_error)
        self._squares = self._squares * _FADE + (naive_error - error) ** 2
        self._windows += 1
        self._state = self._judged()

    @property
    def standing(self) -> Standing:
        """The state of the match now."""
        return Standing(self._state, self._model.mean, self._naive.mean, self._windows)

    def _judged(self) -> State:
        """The state that follows from the last one: it changes only when the evidence is clear."""
        if self._windows < TRIAL_WINDOWS:
            return State.TRIAL
        weight = self._model.weight
        gain = self._naive.mean - self._model.mean
        error = sqrt(max(0.0, self._squares / weight - gain * gain) / weight)
        spare = gain + ALLOWED * self._naive.mean
        if spare < -CLEAR * error:
            return State.WORSE
        return State.WORSE if self._state is State.WORSE and spare <= CLEAR * error else State.IN_USE
