"""How a certificate stands in its life, by the wall clock, and how long to wait before looking again. Pure:
a clock that jumps is wrong only until it is right again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from edge_agent.identity.certificate import Certificate

DUE: Final = 2 / 3
# So close to the end an operator should look why it was not renewed: after two weeks of attempts, of 90 days.
EXPIRING: Final = 5 / 6
# The renewals of a fleet that was enrolled in one go are spread over this part of the life.
SPREAD: Final = 1 / 50
LOOK_PARTS: Final = 2000
LOOK_MOST_S: Final = 3600.0
LOOK_LEAST_S: Final = 0.2
RETRY_FIRST_S: Final = 60.0
RETRY_MOST_S: Final = 6 * 3600.0
# Lives of days or less, as tests have them, are retried within a hundredth of them.
RETRY_PARTS: Final = 100


class Age(StrEnum):
    """`EARLY`: this machine's clock, or the issuer's, is wrong."""

    EARLY = "early"
    GOOD = "good"
    DUE = "due"
    EXPIRING = "expiring"
    EXPIRED = "expired"


def age_of(certificate: Certificate, now: float, spread: float = 0.0) -> Age:
    """How it stands at Unix time `now`; `spread`, from 0 to 1, puts the renewal off a little."""
    share = (now - certificate.not_before) / certificate.life_s
    if share < 0:
        return Age.EARLY
    if share >= 1:
        return Age.EXPIRED
    if share >= EXPIRING:
        return Age.EXPIRING
    return Age.DUE if share >= DUE + spread * SPREAD else Age.GOOD


def look_again_s(certificate: Certificate) -> float:
    """Until the next look, where nothing is to be done."""
    return min(LOOK_MOST_S, max(LOOK_LEAST_S, certificate.life_s / LOOK_PARTS))


def retry_s(certificate: Certificate, failures: int) -> float:
    """Until the next attempt after so many failed ones in a row, at least one."""
    pause = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 20))
    return min(pause, max(LOOK_LEAST_S, certificate.life_s / RETRY_PARTS))
