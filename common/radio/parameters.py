"""What the air and the nodes' controllers do that no scenario says. Few numbers, each with its meaning.

Calibration to a site changes these and nothing else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from common.errors import Rejected, RejectReason


@dataclass(frozen=True, slots=True)
class RadioParameters:
    """How controllers advertise and listen.

    `advertising_wait_ms`: from the stack's request to the earliest start of the first advertising event: the
        host's commands and the controller's preparation.
    `advertising_delay_ms`: the random delay added to *every* advertising event, uniform from 0 to this, the
        first included (Core 5.4, volume 6, part B, 4.4.2.2: advDelay is 0 to 10 ms).
    `channel_gap_ms`: from the end of a packet on one advertising channel to the start of the next one.
    `detector_loss_db`: how much more signal the receiver needs than a noncoherent detector of orthogonal
        frequencies (bit error exp(-SNR/2)/2). With the scenario's noise figure it sets the sensitivity.
    `sync_snr_db`: signal over noise and interference that a receiver needs to notice a packet at all. At the
        default, half of all access addresses (32 bits) come without an error.
    `receiver_lock`: a receiver stays with the packet it noticed first. Without it, one that is stronger by
        `capture_db` takes the receiver over.
    `interference_floor_db`: signals weaker than the noise floor plus this are left out altogether.
    `extra_noise_db`: what a site's air has above thermal noise: other networks, as far as they are steady.
    `burst_loss`: chance that a packet is spoilt by what is not in the scenario, whatever its signal.
    `queue_length`: messages a node keeps waiting for an advertising set, own and relayed each; more are lost.
    """

    advertising_wait_ms: float = 2.0
    advertising_delay_ms: float = 10.0
    channel_gap_ms: float = 0.3
    detector_loss_db: float = 2.0
    sync_snr_db: float = 8.0
    receiver_lock: bool = True
    capture_db: float = 8.0
    interference_floor_db: float = -3.0
    extra_noise_db: float = 0.0
    burst_loss: float = 0.0
    queue_length: int = 32

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = _LIMITS[field.name]
            value = getattr(self, field.name)
            if not (math.isfinite(value) and low <= value <= high):
                raise Rejected(
                    RejectReason.OUT_OF_RANGE, f"{field.name} {value}; {low} to {high} is possible"
                )


_LIMITS = {
    "advertising_wait_ms": (0.1, 1000.0),
    "advertising_delay_ms": (0.0, 1000.0),
    "channel_gap_ms": (0.0, 10.0),
    "detector_loss_db": (-20.0, 40.0),
    "sync_snr_db": (-20.0, 40.0),
    "receiver_lock": (0, 1),
    "capture_db": (0.0, 60.0),
    "interference_floor_db": (-60.0, 60.0),
    "extra_noise_db": (0.0, 100.0),
    "burst_loss": (0.0, 1.0),
    "queue_length": (1, 4096),
}

DEFAULT = RadioParameters()
"""Calibrated on a chain of ten nodes: docs/decisions/0020."""
