"""How strong a signal has to be for a given chance of reception: the curve of the event simulator, both ways.

A link's PDR is the chance that one transmission of a probe gets through while nobody else is on the air. Two
things take packets from it. Noise: a bit is wrong with chance exp(-SNR/2)/2, which makes a steep curve, 2 dB
from nearly all to nearly none. And fades: the signal of a moment lies below its mean, or somebody else's
Wi-Fi above it, which makes the curve of real links five times as wide. The simulator knows the first; the
second is a share of packets that is erased, whatever the mean signal.
"""

from __future__ import annotations

from math import exp, expm1, log, log10
from typing import Final, NamedTuple

from common.radio import timing
from common.radio.parameters import DEFAULT, RadioParameters

# Thermal noise in 1 MHz.
NOISE_DBM: Final = -114.0
PROBE_BYTES: Final = 7
"""The access message of a probe: a PDR is exact for it, and a little less for longer packets."""

_BITS: Final = 8 * timing.last_packet_bytes(PROBE_BYTES)
LEAST_PDR: Final = 1e-3
"""A link below is none: everything is erased."""


class Signal(NamedTuple):
    """What a receiver gets of a transmitter: mean power, and the share of packets that it loses to fades."""

    level_dbm: float
    erased: float


def floor_dbm(noise_figure_db: float, parameters: RadioParameters = DEFAULT) -> float:
    """What a detector without any loss would have to hear in silence to err as often."""
    return NOISE_DBM + noise_figure_db + parameters.extra_noise_db + parameters.detector_loss_db


def clear_chance(level_dbm: float, noise_figure_db: float, parameters: RadioParameters = DEFAULT) -> float:
    """Chance that noise spoils no bit of a probe. Below what the receiver needs to notice it: 0."""
    above_db = level_dbm - floor_dbm(noise_figure_db, parameters)
    if above_db < parameters.sync_snr_db:
        return 0.0
    wrong = 0.5 * exp(-0.5 * 10.0 ** (min(above_db, 30.0) / 10.0))
    return (1.0 - wrong) ** _BITS


def level_for(pdr: float, noise_figure_db: float, parameters: RadioParameters = DEFAULT) -> float:
    """The weakest signal, in dBm, from which a probe is received with this chance, 0 < pdr < 1."""
    # What one bit's chance lacks to 1, without losing it to rounding.
    wrong = -expm1(log(pdr) / _BITS)
    ratio = -2.0 * log(2.0 * wrong)
    above_db = max(10.0 * log10(ratio), parameters.sync_snr_db) if ratio > 0 else parameters.sync_snr_db
    return floor_dbm(noise_figure_db, parameters) + above_db


def signal_for(pdr: float, level_dbm: float, noise_figure_db: float) -> Signal:
    """The signal of a link that receives with exactly this chance, at this level if noise lets it.

    A mean level that is too low for so good a link is raised: what is received of a faint link are the
    packets that came in better moments.
    """
    if pdr < LEAST_PDR:
        return Signal(level_dbm, 1.0)
    if clear_chance(level_dbm, noise_figure_db) < pdr:
        level_dbm = max(level_dbm, level_for(min(pdr, 0.99999), noise_figure_db))
    clear = clear_chance(level_dbm, noise_figure_db)
    return Signal(level_dbm, max(0.0, 1.0 - pdr / clear) if clear > 0.0 else 1.0)
