"""What would become of a message if it were sent now: tried on a copy of the air, unnoticed by the site.

The copy hears what is on the air already and what is planned to be; nodes do not answer there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from firmware_bridge.virtual.node import THINKING_S

if TYPE_CHECKING:
    from common.radio.live import LiveRadio

QUESTION_BYTES: Final = 2
ANSWER_BYTES: Final = 3
"""Generic OnOff Get and Status."""

PATIENCE_S: Final = 2.0
STEP_S: Final = 0.02
PAUSE_S: Final = 0.4
"""Between two messages of a series: the one before has died away."""


def round_trip(radio: LiveRadio, source: int, destination: int) -> float | None:
    """Seconds until the answer is there, or None."""
    begun = radio.now_s
    came = _arrival(radio, source, destination, QUESTION_BYTES, begun)
    if came is None:
        return None
    back = _arrival(radio, destination, source, ANSWER_BYTES, came + sum(THINKING_S) / 2)
    return None if back is None else back - begun


def delivery(radio: LiveRadio, source: int, destination: int, tries: int) -> float:
    """The share that arrives of messages one after the other."""
    begun = radio.now_s
    numbers = {
        radio.send(source, destination, QUESTION_BYTES, at_s=begun + i * PAUSE_S) for i in range(tries)
    }
    heard = radio.advance(begun + tries * PAUSE_S + PATIENCE_S)
    return len({one.message for one in heard} & numbers) / tries


def _arrival(radio: LiveRadio, source: int, destination: int, size: int, at_s: float) -> float | None:
    number = radio.send(source, destination, size, at_s=at_s)
    for _ in range(round((at_s - radio.now_s + PATIENCE_S) / STEP_S)):
        for heard in radio.advance(radio.now_s + STEP_S):
            if heard.message == number:
                return heard.time_s
    return None
