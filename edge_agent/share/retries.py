"""How long to wait before the next connection to the broker, and whether somebody else wears our name. Pure.

A broker that speaks of a take-over says so with a reason code; older ones (mosquitto before 2.0.13) just end
the connection, and only its short life, again and again, tells.
"""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
LAST_S: Final = 10.0
# Two agents with one identity end each other's connections: each leaves the other some time to work.
CONTESTED_S: Final = 10.0
# Longer than a connection lives between two agents that both wait CONTESTED_S, with jitter.
SHORT_LIFE_S: Final = 20.0
# A broker that is restarted cuts a connection now and then; so many in a row are no restarts.
SUSPICIOUS_CUTS: Final = 4


class Retries:
    """Pauses in seconds, without jitter: growing while nobody answers, the first again after a connection."""

    def __init__(self) -> None:
        self._pause = FIRST_S
        self._cuts = 0
        self.contested = False

    def after_failure(self, connected: bool) -> float:
        """The attempt failed, or the connection ended for a reason of ours."""
        self._cuts, self.contested = 0, False
        self._pause = FIRST_S if connected else min(LAST_S, self._pause * 2)
        return self._pause

    def after_cut(self, lived_s: float, taken_over: bool) -> float:
        """The broker's side ended the connection; `contested` tells whether for another agent's sake."""
        self._cuts = self._cuts + 1 if lived_s < SHORT_LIFE_S else 0
        self.contested = taken_over or self._cuts >= SUSPICIOUS_CUTS
        self._pause = FIRST_S
        return CONTESTED_S if self.contested else FIRST_S
