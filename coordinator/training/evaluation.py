"""How good a model is: its errors beside those of the naive forecasts, on the same windows.

The error is the one that gateways report of a running model: the mean absolute error of the share of probes
heard that it expected of a link's next window, in whole probes. Nothing here knows where windows or
models come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.models import link_forecast as contract
from coordinator.training import naive
from coordinator.training.calibration import coverage
from coordinator.training.job import Score
from coordinator.training.windows import LATE, Array, Floats, Rows, Windows, rows_of

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

LEARNT: Final = 0.7
"""Share of every link's windows that training may see; the later ones are held out."""

LEAST: Final = 30
"""Fewer windows make no score."""


def held_out(windows: Windows, learnt: float = LEARNT) -> Floats:
    """[N]: for every window, the time at which the held-out part of its link begins."""
    starts = np.flatnonzero(np.r_[True, windows.link[1:] != windows.link[:-1]][: len(windows)])
    lengths = np.diff(np.r_[starts, len(windows)])
    first = starts + np.minimum(np.ceil(learnt * lengths).astype(int), lengths - 1)
    cuts: Floats = np.repeat(windows.t[first], lengths)
    return cuts


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows to score on, and what the naive forecasts say of them: name to [N]."""

    rows: Rows
    naive: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.rows)


def trial(windows: Windows, cuts: Floats | None = None, late: float = LATE) -> Trial:
    """Every window whose next one is known, from `cuts` on where given."""
    rows = rows_of(windows, late)
    chosen = rows.scored() if cuts is None else rows.scored() & (windows.t >= cuts)
    forecasts = {name: values[chosen] for name, values in naive.forecasts(windows).items()}
    return Trial(rows.where(chosen), forecasts)


def joined(trials: list[Trial]) -> Trial:
    """Several trials as one; at least one."""
    names = trials[0].naive
    rows = Rows.joined([each.rows for each in trials])
    return Trial(rows, {name: np.concatenate([each.naive[name] for each in trials]) for name in names})


def score(predict: Predict, tried: Trial) -> Score | None:
    """The model's score; None with fewer than `LEAST` windows. Raises what `predict` raises."""
    if len(tried) < LEAST:
        return None
    outputs = predict(tried.rows.inputs)
    shares = expected_shares(outputs, tried.rows)
    ahead = tuple(_error(shares[:, at], tried.rows, at) for at in range(contract.AHEAD))
    errors = {
        name: tuple(_error(values, tried.rows, at) for at in range(contract.AHEAD))
        for name, values in tried.naive.items()
    }
    best = min(errors, key=lambda name: errors[name][0])
    least = tuple(min(each[at] for each in errors.values()) for at in range(contract.AHEAD))
    return Score(
        error=ahead[0],
        naive_error=errors[best][0],
        windows=len(tried),
        naive=best,
        ahead=ahead,
        naive_ahead=least,
        coverage=coverage(outputs, tried.rows),
        uncertainty=_uncertainty(
            _errors(shares[:, 0], tried.rows, 0) - _errors(tried.naive[best], tried.rows, 0)
        ),
    )


def expected_shares(outputs: NDArray[np.float32], rows: Rows) -> Floats:
    """[N, AHEAD]: the share of probes heard at the outputs' mean, with as many transmissions as then."""
    limit = contract.LOGIT_LIMIT
    logits = np.clip(outputs[:, 0::2].astype(np.float64), -limit, limit)
    shares: Floats = 1.0 - (1.0 + np.exp(logits)) ** -rows.transmissions.astype(np.float64)
    return shares


def _uncertainty(differences: Floats) -> float:
    """Standard error of the mean difference of two forecasts' errors, as gateways reckon it too.

    Windows of a link resemble each other, less so what two forecasts of them differ by: take it for the least
    that it can be.
    """
    return float(differences.std() / np.sqrt(len(differences)))


def _error(shares: Floats, rows: Rows, at: int) -> float:
    """Mean absolute error `at + 1` windows ahead; that of nothing is 0."""
    errors = _errors(shares, rows, at)
    return float(errors.mean()) if len(errors) else 0.0


def _errors(shares: Floats, rows: Rows, at: int) -> Floats:
    """Absolute errors `at + 1` windows ahead, of the windows that are known.

    In whole probes, as gateways compare: of ten probes, an expected share of 0.99 is ten. With shares as they
    are, whoever claims more than is true of a good link would win every window.
    """
    known: Array = rows.expected[:, at] > 0
    expected, heard = rows.expected[known, at], rows.heard[known, at]
    errors: Floats = np.abs(np.round(expected * shares[known]) - heard) / expected
    return errors
