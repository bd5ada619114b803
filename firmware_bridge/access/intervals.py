"""Durations in one octet: six bits of steps and two of the length of a step. No messages.

Publish periods (Mesh Protocol 1.1, section 4.2.3.6) and transition times (Mesh Model 1.1, section 3.1.3).
"""

from __future__ import annotations

import math
from typing import Final

from common.errors import Rejected, RejectReason

STEPS_MS: Final = (100, 1_000, 10_000, 600_000)
STEPS_MAX: Final = 0x3F
# In a transition time only: this many steps mean that the duration is not known, or unlimited.
UNKNOWN_STEPS: Final = 0x3F


def milliseconds(octet: int) -> int:
    """The duration of an octet, where all numbers of steps are meant: a publish period."""
    return (octet & STEPS_MAX) * STEPS_MS[octet >> 6]


def transition_ms(octet: int) -> int | None:
    """The duration of a transition time; None when it is not known."""
    return None if octet & STEPS_MAX == UNKNOWN_STEPS else milliseconds(octet)


def octet_of(duration_ms: int, steps_max: int = STEPS_MAX - 1) -> int:
    """The shortest expressible duration that is not shorter. Raises Rejected(OUT_OF_RANGE).

    The default fits both uses; a publish period may have one step more.
    """
    for resolution, step in enumerate(STEPS_MS):
        steps = math.ceil(duration_ms / step)
        if duration_ms >= 0 and steps <= steps_max:
            return resolution << 6 | steps
    raise Rejected(RejectReason.OUT_OF_RANGE, f"{duration_ms} ms is no duration of one octet")
