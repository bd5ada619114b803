"""Where a site's nodes seem to stand, by who hears whom: for the strength of signals that nobody measured.

A link's loss rate tells its attenuation only within some 3 dB: below, nothing is heard, above, all of it. But
what is not understood disturbs, and how much it does depends on how weak it is. So nodes are put on a plane
on which the law of distance explains best who hears whom well, hardly, and not at all (a censored regression,
as Tobin's), with a transmitter's and a receiver's own offset for each. What the plane does not explain is
shadowing. Pure; positions are the plane's own and mean nothing outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

HEARD_DB: Final = 1.8
"""So far above the threshold a link loses nothing any more that could be told; below it, nothing comes."""

EXPONENT: Final = 3.0
EXPONENT_SPREAD: Final = 0.2
OFFSET_SPREAD_DB: Final = 2.0
SHADOWING_DB: Final = (4.0, 6.5)
"""What buildings are known for: a site's own estimate is kept within this."""

FITTED_SHARE: Final = 1.25
"""Residuals are smaller than what they are drawn from: the plane bends towards them."""

FIRST_STEPS: Final = 250
MORE_STEPS: Final = 80
FLAT: Final = 0.01
"""Square of the distance within which the law of distance no longer holds, on the plane's scale."""


@dataclass(frozen=True)
class Seen:
    """What is known of every pair [N, N] (row transmits): `margin` in dB above the threshold where
    `measured`; `full` where all that was sent came. Of the others nothing did."""

    margin: Floats
    measured: Bools
    full: Bools


@dataclass(frozen=True)
class Space:
    """`places` [N, 2], offsets [N] of transmitters and receivers in dB; `expected` [N, N] is the margin by
    the law alone, `shadowing_db` the deviation from it."""

    places: Floats
    transmitter_db: Floats
    receiver_db: Floats
    exponent: float
    expected: Floats
    shadowing_db: float


def placed(seen: Seen, before: Space | None = None) -> Space:
    """Fit the plane; `before` is where to begin from."""
    if before is None:
        sides = _first_places(seen)
        size = len(sides)
        values = [sides, np.zeros(size), np.zeros(size), np.array([EXPONENT])]
    else:
        values = [before.places, before.transmitter_db, before.receiver_db, np.array([before.exponent])]
    shadowing = SHADOWING_DB[0] if before is None else before.shadowing_db
    values = _descended(seen, values, shadowing, FIRST_STEPS if before is None else MORE_STEPS)
    places, transmitter, receiver, exponent = values
    expected = _expected(*values)
    left = (expected - seen.margin)[seen.measured]
    deviation = FITTED_SHARE * float(np.sqrt(np.mean(left**2))) if len(left) else sum(SHADOWING_DB) / 2
    return Space(
        places, transmitter, receiver, float(exponent[0]), expected, float(np.clip(deviation, *SHADOWING_DB))
    )


def _first_places(seen: Seen) -> Floats:
    """Classical scaling of the number of hops between nodes."""
    near = seen.full | seen.measured
    near = near | near.T
    hops = np.where(near, 1.0, np.inf)
    np.fill_diagonal(hops, 0.0)
    for through in range(len(hops)):
        np.minimum(hops, hops[:, [through]] + hops[through], out=hops)
    finite = hops[np.isfinite(hops)]
    hops[~np.isfinite(hops)] = finite.max() + 1.0
    centred = hops**2 - (hops**2).mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(-0.5 * centred)
    return np.asarray(0.7 * vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 1e-6)))


def _expected(places: Floats, transmitter: Floats, receiver: Floats, exponent: Floats) -> Floats:
    _, square = _apart(places)
    return np.asarray(-exponent[0] * _decades(square) + transmitter[:, None] + receiver)


def _apart(places: Floats) -> tuple[Floats, Floats]:
    difference = places[:, None] - places
    return difference, (difference**2).sum(axis=2) + FLAT


def _decades(square: Floats) -> Floats:
    """10 log10 of the distance."""
    return np.asarray(5.0 * np.log10(square))


def _descended(seen: Seen, values: list[Floats], shadowing: float, steps: int) -> list[Floats]:
    """The values of greatest likelihood, by Adam's descent with steps that shrink in the second half."""
    mean = [np.zeros_like(value) for value in values]
    square = [np.zeros_like(value) for value in values]
    speeds = (0.05, 0.15, 0.15, 0.05)
    for step in range(1, steps + 1):
        slowed = min(1.0, 2.0 * (steps - step + 1) / steps)
        for i, slope in enumerate(_slopes(seen, values, shadowing)):
            mean[i] = 0.9 * mean[i] + 0.1 * slope
            square[i] = 0.99 * square[i] + 0.01 * slope**2
            size = np.sqrt(square[i] / (1.0 - 0.99**step)) + 1e-8
            values[i] = values[i] - slowed * speeds[i] * mean[i] / (1.0 - 0.9**step) / size
    return values


def _slopes(seen: Seen, values: list[Floats], shadowing: float) -> tuple[Floats, ...]:
    """Derivatives of the negative log likelihood, priors included."""
    places, transmitter, receiver, exponent = values
    difference, square = _apart(places)
    decades = _decades(square)
    expected = -exponent[0] * decades + transmitter[:, None] + receiver
    slope = hazard((-HEARD_DB - expected) / shadowing) / shadowing
    slope = np.where(seen.full, -hazard((expected - HEARD_DB) / shadowing) / shadowing, slope)
    slope = np.where(seen.measured, (expected - seen.margin) / shadowing**2, slope)
    np.fill_diagonal(slope, 0.0)
    pull = slope * (-exponent[0] * 10.0 / np.log(10.0)) / square
    return (
        ((pull + pull.T)[:, :, None] * difference).sum(axis=1) + 1e-3 * (places - places.mean(axis=0)),
        slope.sum(axis=1) + transmitter / OFFSET_SPREAD_DB**2,
        slope.sum(axis=0) + receiver / OFFSET_SPREAD_DB**2,
        np.array([-(slope * decades).sum() + (exponent[0] - EXPONENT) / EXPONENT_SPREAD**2]),
    )


def hazard(x: Floats) -> Floats:
    """The normal density over its distribution function: how far a value is pulled that is known to lie
    below a limit. By Abramowitz and Stegun 26.2.17, and 26.2.12 far below."""
    near = np.maximum(x, -3.0)
    density = np.exp(-0.5 * near**2) / np.sqrt(2.0 * np.pi)
    t = 1.0 / (1.0 + 0.2316419 * np.abs(near))
    tail = (
        density
        * t
        * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    )
    below = np.where(near < 0.0, tail, 1.0 - tail)
    far = np.minimum(x, -3.0)
    return np.asarray(np.where(x < -3.0, -far / (1.0 - 1.0 / far**2 + 3.0 / far**4), density / below))
