"""Synthetic link series for training: radio links as they fade, step and recover, by the seed.

A link has a margin in dB above the signal at which it receives one transmission in two; its PDR follows by
a logistic curve and stays below a ceiling that interference sets. Everything is drawn for all links at once:
arrays are [links, windows]. No site is modelled here: every link is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coordinator.training.windows import Windows, arrange

Floats: TypeAlias = NDArray[np.float64]

SENSITIVITY_DBM: Final = (-96.0, -90.0)
"""RSSI at which a receiver hears one packet in two; the spread between radios of one kind."""

RECEIVER_OFFSET_DB: Final = 3.0
"""Standard deviation of what a receiver's RSSI reads too much or too little, always the same."""

PACKET_NOISE_DB: Final = 3.0
"""Standard deviation of one packet's RSSI: three advertising channels fade apart."""

CURVE_WIDTH_DB: Final = (1.0, 4.0)
"""Decibels over which the log odds change by one: small for a bare receiver, large where fast fading
smears the curve."""

INTERFERENCE_LOSS: Final = 0.3
"""The largest share of packets that collisions take from a perfect signal. Most links lose little."""

MARGIN_DB: Final = (-4.0, 28.0)
"""Margins of links worth keeping, from barely heard to the same room."""

DRIFT_DB: Final = 1.5
"""Largest standard deviation of the slow wander: doors, people, humidity."""

DRIFT_S: Final = (900.0, 14400.0)
"""Time constant of the wander."""

FADE_DB: Final = (3.0, 20.0)
"""Depth of a fade: from a person in the way to a closed fire door."""

FADE_S: Final = (20.0, 600.0)
"""How long a fade takes to reach its depth."""

HOLD_S: Final = (30.0, 1800.0)
"""How long it stays before it recovers, where it does."""

DECAY_S: Final = (50.0, 200.0)
"""How long a decay takes whose PDR falls evenly."""

PERIOD_S: Final = (0.5, 1.5)
"""Between two probes of a node."""

PROBES: Final = (5.0, 31.0)
"""Probes in a window."""

MISSING: Final = 0.15
"""The largest share of a link's reports that never arrive. Half of the links lose none."""

JITTER: Final = 0.05
"""Standard deviation of the spacing, in windows."""


class Course(IntEnum):
    """What happens to a link beside its drift."""

    STABLE = 0
    FADES = 1
    STEPS = 2
    DECAYS = 3


COURSES: Final = (0.1, 0.2, 0.05, 0.65)
"""Shares of the courses. Decays are many, more than in any building: a forecast that misses one costs a
flow, one that expects a decay too many costs a relay switched on."""

SILENT: Final = 0.5
"""Share of links whose nodes cannot tell the RSSI."""


@dataclass(frozen=True, slots=True)
class Links:
    """What stays the same about links: arrays [links, 1]."""

    window_s: Floats
    probes: Floats
    transmissions: Floats
    width_db: Floats
    ceiling: Floats
    margin_db: Floats
    rssi_offset_dbm: Floats
    silent: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Radio:
    """How links fare: margin without interference in dB, and PDR, [links, windows]."""

    margin_db: Floats
    pdr: Floats


def generate(links: int, windows: int, seed: int) -> Windows:
    """Series of `links` links over `windows` windows of 2.5 to 47 s; times are in windows."""
    random = np.random.default_rng(seed)
    drawn = draw_links(random, links)
    return observe(random, drawn, fare(random, drawn, windows))


def decays(
    links: int, seed: int, start: float = 0.95, end: float = 0.5, over_s: float = 90.0, rssi: bool = True
) -> Windows:
    """Links that are stable for 100 s and then lose PDR evenly: two transmissions, windows of 10 s with 10
    probes, times in windows. What the forecast is for; with and without RSSI."""
    random = np.random.default_rng(seed)
    drawn = draw_links(random, links)
    shape = np.ones((links, 1))
    same = Links(
        window_s=10.0 * shape,
        probes=10.0 * shape,
        transmissions=2.0 * shape,
        width_db=drawn.width_db,
        ceiling=0.98 * shape,
        margin_db=drawn.margin_db,
        rssi_offset_dbm=drawn.rssi_offset_dbm,
        silent=np.full((links, 1), not rssi),
    )
    t = np.arange(8 + round((100.0 + over_s) / 10.0)) * 10.0
    begins = 100.0 + random.uniform(0.0, 10.0, (links, 1))
    pdr = start + (end - start) * np.clip((t - begins) / over_s, 0.0, 1.0)
    return observe(random, same, Radio(same.width_db * _log_odds(pdr / same.ceiling), pdr), missing=0.0)


def draw_links(random: Generator, links: int) -> Links:
    """Links of all kinds."""
    column = (links, 1)
    period_s = random.uniform(*PERIOD_S, column)
    probes = np.round(_evenly(random, PROBES, column))
    return Links(
        window_s=period_s * probes,
        probes=probes,
        transmissions=random.integers(1, 4, column).astype(np.float64),
        width_db=random.uniform(*CURVE_WIDTH_DB, column),
        ceiling=1.0 - INTERFERENCE_LOSS * random.beta(0.5, 3.0, column),
        margin_db=random.uniform(*MARGIN_DB, column),
        rssi_offset_dbm=random.uniform(*SENSITIVITY_DBM, column)
        + random.normal(0, RECEIVER_OFFSET_DB, column),
        silent=random.random(column) < SILENT,
    )


def fare(random: Generator, links: Links, windows: int) -> Radio:
    """Draw every link's course and follow it."""
    count = len(links.margin_db)
    course = random.choice(len(COURSES), (count, 1), p=COURSES)
    lasting_s = links.window_s * windows
    t = np.arange(windows) * links.window_s
    loss_db = _drift(random, links, windows)
    for _ in range(3):
        loss_db += np.where(course == Course.FADES, _fade(random, t, lasting_s, FADE_S), 0.0)
        loss_db += np.where(course == Course.STEPS, _fade(random, t, lasting_s, (0.1, 1.0)), 0.0)
    margin_db = links.margin_db - loss_db
    pdr = links.ceiling * _expit(margin_db / links.width_db)
    return _decay(random, links, t, Radio(margin_db, pdr), course == Course.DECAYS)


def _drift(random: Generator, links: Links, windows: int) -> Floats:
    """An Ornstein-Uhlenbeck wander of the loss in dB, from its stationary state."""
    column = links.window_s.shape
    keep = np.exp(-links.window_s / _evenly(random, DRIFT_S, column))
    deviation = DRIFT_DB * random.random(column)
    noise = random.normal(size=(len(keep), windows))
    wander = np.empty_like(noise)
    wander[:, :1] = noise[:, :1]
    for at in range(1, windows):
        wander[:, at] = keep[:, 0] * wander[:, at - 1] + np.sqrt(1 - keep[:, 0] ** 2) * noise[:, at]
    drift: Floats = deviation * wander
    return drift


def _fade(random: Generator, t: Floats, lasting_s: Floats, ramp_s: tuple[float, float]) -> Floats:
    """One fade of every link, in dB: a ramp, straight or curved, and for two of three a way back."""
    column = lasting_s.shape
    begins = random.uniform(-0.2, 1.0, column) * lasting_s
    ramp = _evenly(random, ramp_s, column)
    back = _evenly(random, ramp_s, column)
    hold = np.where(random.random(column) < 2 / 3, _evenly(random, HOLD_S, column), np.inf)
    curve = np.exp(random.normal(0.0, 0.4, column))
    up = np.clip((t - begins) / ramp, 0.0, 1.0) ** curve
    down = np.clip((t - begins - ramp - hold) / back, 0.0, 1.0)
    return random.uniform(*FADE_DB, column) * up * (1.0 - down)


def _decay(random: Generator, links: Links, t: Floats, before: Radio, chosen: NDArray[np.bool_]) -> Radio:
    """The PDR of the chosen links falls evenly from what it was. For one in four by interference: then the
    margin stays, and no RSSI tells of it."""
    column = links.window_s.shape
    begins = random.uniform(-0.1, 0.9, column) * (t[:, -1:] - t[:, :1])
    over_s = _evenly(random, DECAY_S, column)
    left = 1.0 - random.uniform(0.3, 0.9, column) * np.clip((t - begins) / over_s, 0.0, 1.0)
    good = links.ceiling * _expit(np.maximum(before.margin_db, 2 * links.width_db) / links.width_db)
    pdr = np.where(chosen, good * left, before.pdr)
    by_signal = chosen & (random.random(column) < 0.75)
    margin_db = np.where(by_signal, links.width_db * _log_odds(pdr / links.ceiling), before.margin_db)
    return Radio(margin_db, pdr)


def observe(random: Generator, links: Links, radio: Radio, missing: float = MISSING) -> Windows:
    """What the receivers report of it."""
    shape = radio.pdr.shape
    expected = np.broadcast_to(links.probes, shape)
    share = 1.0 - (1.0 - np.clip(radio.pdr, 0.0, 1.0)) ** links.transmissions
    heard = random.binomial(expected.astype(np.int64), share)
    rssi = _rssi(random, links, radio.margin_db, heard)
    lost = missing * np.maximum(0.0, random.uniform(-1.0, 1.0, links.window_s.shape))
    kept = random.random(shape) >= lost
    t = np.arange(shape[1]) + np.clip(random.normal(0.0, JITTER, shape), -0.4, 0.4)
    link = np.broadcast_to(np.arange(shape[0])[:, None], shape)
    transmissions = np.broadcast_to(links.transmissions, shape)
    columns = (link, t, heard, expected, transmissions, rssi)
    return arrange(*(np.asarray(column)[kept] for column in columns))


def _rssi(random: Generator, links: Links, margin_db: Floats, heard: NDArray[np.int64]) -> Floats:
    """The mean over what was heard, in whole dBm; NaN where nothing was or the node cannot tell."""
    noise = random.normal(size=margin_db.shape) * PACKET_NOISE_DB / np.sqrt(np.maximum(heard, 1))
    rssi = np.round(np.clip(margin_db + links.rssi_offset_dbm + noise, -120.0, -20.0))
    return np.where(links.silent | (heard == 0), np.nan, rssi)


def _evenly(random: Generator, between: tuple[float, float], shape: tuple[int, ...]) -> Floats:
    """Drawn so that every octave is as likely."""
    low, high = np.log(between)
    drawn: Floats = np.exp(random.uniform(low, high, shape))
    return drawn


def _expit(x: Floats) -> Floats:
    odds: Floats = 1.0 / (1.0 + np.exp(-np.clip(x, -40.0, 40.0)))
    return odds


def _log_odds(p: Floats) -> Floats:
    bounded = np.clip(p, 1e-3, 1.0 - 1e-3)
    odds: Floats = np.log(bounded / (1.0 - bounded))
    return odds
