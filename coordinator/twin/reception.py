"""From attenuation to the chance that one transmission is received, and back.

The curve is the event simulator's own (`common/radio`), for a packet of the size of a probe's, so that a link
of an observed PDR has the same PDR when it is simulated. Interference is not in it.
"""

from __future__ import annotations

from math import exp, expm1, log, log1p, log10
from typing import Final

from common.radio import RadioParameters
from common.radio.propagation import THERMAL_FLOOR_DBM
from common.radio.timing import last_packet_bytes

PROBE_BYTES: Final = 8
BITS: Final = 8 * last_packet_bytes(PROBE_BYTES)
MIN_PDR: Final = 1e-6
MAX_PDR: Final = 0.9999
NOMINAL: Final = RadioParameters()


def pdr_at(
    attenuation_db: float,
    tx_power_dbm: float = 0.0,
    noise_figure_db: float = 6.0,
    parameters: RadioParameters = NOMINAL,
) -> float:
    """PDR of a link of an attenuation that nobody disturbs and a receiver that always listens."""
    clear_db = tx_power_dbm - attenuation_db - noise_dbm(noise_figure_db, parameters)
    if clear_db < parameters.sync_snr_db:
        return 0.0
    ratio_db = clear_db - parameters.detector_loss_db
    wrong_bit = 0.5 * exp(-0.5 * 10.0 ** min(ratio_db / 10.0, 4.0))
    return (1.0 - parameters.burst_loss) * exp(BITS * log1p(-wrong_bit))


def attenuation_at(
    pdr: float,
    tx_power_dbm: float = 0.0,
    noise_figure_db: float = 6.0,
    parameters: RadioParameters = NOMINAL,
) -> float:
    """The attenuation (dB) that gives a PDR; PDRs near 0 and 1 are taken as 1e-6 and 0.9999."""
    clear = pdr / max(1.0 - parameters.burst_loss, MIN_PDR)
    wrong_bit = -expm1(log(min(MAX_PDR, max(MIN_PDR, clear))) / BITS)
    ratio_db = 10.0 * log10(-2.0 * log(2.0 * wrong_bit))
    ratio_db += parameters.detector_loss_db
    return tx_power_dbm - ratio_db - noise_dbm(noise_figure_db, parameters)


def noise_dbm(noise_figure_db: float, parameters: RadioParameters) -> float:
    """What a receiver hears when nobody sends: thermal noise, its own, and the site's."""
    return THERMAL_FLOOR_DBM + noise_figure_db + parameters.extra_noise_db
