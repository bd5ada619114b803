"""Series of windows per link, and the training rows made of them.

The inputs are `common.models.link_forecast.encode` for every window at once; a property test holds the two
together. Where windows come from is the business of `observations`, `traces` and `physics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.models import link_forecast as contract

Floats: TypeAlias = NDArray[np.float64]
Array: TypeAlias = NDArray[Any]

LATE: Final = 1.5
"""A target that comes later than this many windows after its time is no target: the link had a gap."""

_MAX_TRANSMISSIONS: Final = 8
_MAX_EXPECTED: Final = 65_535.0
_RSSI_RANGE: Final = (-128.0, 20.0)


@dataclass(frozen=True, slots=True)
class Windows:
    """Reports on links as equal-length columns, sorted by link, then by time.

    `t` in seconds, `rssi_dbm` NaN where unknown; 0 <= heard <= expected, expected >= 1, transmissions >= 1.
    `window_s` is the time that a window usually covers.
    """

    link: NDArray[np.int64]
    t: Floats
    heard: Floats
    expected: Floats
    transmissions: Floats
    rssi_dbm: Floats
    window_s: float

    def __len__(self) -> int:
        return len(self.t)

    @property
    def share(self) -> Floats:
        """Share of probes heard in each window."""
        return self.heard / self.expected


def arrange(
    link: Array, t: Array, heard: Array, expected: Array, transmissions: Array, rssi: Array
) -> Windows:
    """Sort, drop what makes no sense, and find the usual spacing. Columns of any numeric type."""
    expected, heard = expected.astype(np.float64), heard.astype(np.float64)
    sound = np.isfinite(t) & (expected >= 1) & (expected <= _MAX_EXPECTED) & (heard >= 0)
    sound &= (transmissions >= 1) & (transmissions <= _MAX_TRANSMISSIONS)
    at = np.flatnonzero(sound)
    at = at[np.lexsort((t[at], link[at]))]
    columns = [column[at].astype(np.float64) for column in (t, heard, expected, transmissions, rssi)]
    t, heard, expected, transmissions, rssi = columns
    with np.errstate(invalid="ignore"):
        rssi = np.where((rssi >= _RSSI_RANGE[0]) & (rssi <= _RSSI_RANGE[1]), rssi, np.nan)
    link = link[at].astype(np.int64)
    return Windows(link, t, np.minimum(heard, expected), expected, transmissions, rssi, spacing(link, t))


def spacing(link: Array, t: Floats) -> float:
    """Median time between a link's windows in seconds; 1 when no link has two."""
    steps = np.diff(t)[link[1:] == link[:-1]]
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else 1.0


def newest(windows: Windows, most: int) -> Windows:
    """The newest `most` windows of all links together."""
    at = np.sort(np.argsort(windows.t, kind="stable")[-most:])
    return replace(windows, **{name: getattr(windows, name)[at] for name in _COLUMNS})


_COLUMNS: Final = ("link", "t", "heard", "expected", "transmissions", "rssi_dbm")


@dataclass(frozen=True, slots=True)
class Rows:
    """What a model learns from: N rows, one for each window that was the newest once.

    `inputs` is [N, INPUTS]; `heard`, `expected` and `transmissions` are [N, AHEAD] of the windows after it,
    `expected` 0 where there is none. `t` is the newest window's time, `until` the last target's.
    """

    inputs: NDArray[np.float32]
    heard: NDArray[np.float32]
    expected: NDArray[np.float32]
    transmissions: NDArray[np.float32]
    t: Floats
    until: Floats

    def __len__(self) -> int:
        return len(self.t)

    def where(self, chosen: Array) -> Rows:
        """The rows at a mask or at indices."""
        return Rows(*(getattr(self, column.name)[chosen] for column in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, at least one."""
        return cls(
            *(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls))
        )

    def scored(self) -> Array:
        """Mask of the rows whose next window is known."""
        known: Array = self.expected[:, 0] > 0
        return known


def rows_of(windows: Windows, late: float = LATE) -> Rows:
    """One row for each window, in their order. `late` as `LATE`; infinite: the next reports, whenever."""
    after = [_target(windows, ahead, late) for ahead in range(1, contract.AHEAD + 1)]
    heard, expected, transmissions, until = (np.stack(column, axis=1) for column in zip(*after, strict=True))
    return Rows(
        inputs_of(windows),
        heard.astype(np.float32),
        expected.astype(np.float32),
        transmissions.astype(np.float32),
        windows.t,
        np.fmax.reduce(until, axis=1),
    )


def inputs_of(windows: Windows) -> NDArray[np.float32]:
    """[N, INPUTS]: each window's history as the contract encodes it."""
    channels = _channels(windows)
    inputs = np.zeros((len(windows), contract.WINDOWS, len(contract.CHANNELS)), np.float32)
    for back in range(min(contract.WINDOWS, len(windows))):
        newest = np.flatnonzero(_same_link(windows, back)) + back
        shown = contract.WINDOWS - 1 - back
        inputs[newest, shown, :-1] = channels[newest - back]
        age = np.maximum(0.0, windows.t[newest] - windows.t[newest - back]) / windows.window_s
        inputs[newest, shown, -1] = np.minimum(contract.AGE_LIMIT, age)
    return inputs.reshape(len(windows), contract.INPUTS)


def _channels(windows: Windows) -> Floats:
    """[N, channels without age]."""
    known = ~np.isnan(windows.rssi_dbm)
    rssi = np.where(known, windows.rssi_dbm, contract.RSSI_MIDDLE_DBM)
    columns = (
        logit_pdr(windows),
        windows.expected / contract.EXPECTED_UNIT,
        (rssi - contract.RSSI_MIDDLE_DBM) / contract.RSSI_UNIT_DB,
        known.astype(np.float64),
    )
    return np.stack(columns, axis=1)


def logit_pdr(windows: Windows) -> Floats:
    """Log odds of each window's own PDR, as `LinkWindow.pdr` has it."""
    counted = windows.expected + contract.PRIOR_HEARD + contract.PRIOR_MISSED
    missed = 1.0 - (windows.heard + contract.PRIOR_HEARD) / counted
    pdr = 1.0 - missed ** (1.0 / windows.transmissions)
    limited: Floats = np.clip(np.log(pdr / (1.0 - pdr)), -contract.LOGIT_LIMIT, contract.LOGIT_LIMIT)
    return limited


def _same_link(windows: Windows, apart: int) -> Array:
    """Mask [N - apart]: whether window i and window i + apart are of one link."""
    same: Array = windows.link[: len(windows) - apart] == windows.link[apart:]
    return same


def _target(windows: Windows, ahead: int, late: float) -> Sequence[Floats]:
    """Heard, expected, transmissions (1 where absent) and time (NaN where absent) `ahead` windows later."""
    heard, expected = np.zeros(len(windows)), np.zeros(len(windows))
    transmissions, t = np.ones(len(windows)), np.full(len(windows), np.nan)
    if ahead < len(windows):
        newest = np.flatnonzero(_same_link(windows, ahead))
        newest = newest[windows.t[newest + ahead] - windows.t[newest] <= (ahead + late) * windows.window_s]
        heard[newest], expected[newest] = windows.heard[newest + ahead], windows.expected[newest + ahead]
        transmissions[newest], t[newest] = windows.transmissions[newest + ahead], windows.t[newest + ahead]
    return heard, expected, transmissions, t


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to learn from, and rows held out: later in time, so that nothing of the future is learnt."""

    learnt: Rows
    held_out: Rows


def split(windows: Windows, cuts: Floats) -> Split:
    """Split by time, [N] `cuts`: learnt rows have all targets before theirs, held-out ones begin at it."""
    rows = rows_of(windows)
    known = rows.scored()
    return Split(rows.where(known & (rows.until < cuts)), rows.where(known & (rows.t >= cuts)))
