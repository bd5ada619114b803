"""From attenuation to the chance that one transmission is received, and back.

The curve is the event simulator's own, for the packet length that probes have, so that a link of an observed
PDR has the same PDR when it is simulated. Interference is not in it.
"""

from __future__ import annotations

from math import exp, log
from typing import Final

NOISE_DBM: Final = -114.0
HALF_LOST_SNR_DB: Final = 12.0
FADING_DB: Final = 2.0
MIN_PDR: Final = 1e-6
MAX_PDR: Final = 0.9999


def pdr_at(attenuation_db: float, tx_power_dbm: float = 0.0, noise_figure_db: float = 6.0) -> float:
    """PDR of a link of an attenuation that nobody disturbs."""
    margin = tx_power_dbm - attenuation_db - (NOISE_DBM + noise_figure_db + HALF_LOST_SNR_DB)
    return 1.0 / (1.0 + exp(-max(-100.0, margin / FADING_DB)))


def attenuation_at(pdr: float, tx_power_dbm: float = 0.0, noise_figure_db: float = 6.0) -> float:
    """The attenuation (dB) that gives a PDR; PDRs near 0 and 1 are taken as 1e-6 and 0.9999."""
    bounded = min(MAX_PDR, max(MIN_PDR, pdr))
    margin = FADING_DB * log(bounded / (1.0 - bounded))
    return tx_power_dbm - margin - (NOISE_DBM + noise_figure_db + HALF_LOST_SNR_DB)
