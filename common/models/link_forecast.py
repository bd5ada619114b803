"""The link forecast: what a model sees of a link's last windows, and what its outputs mean.

Pure standard library, and the one definition for training, agent and twin: whoever changes it changes
`SCHEMA`, and bundles made for another one are refused by name.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import exp, log
from typing import Any, Final

from common.mesh.graph import link_pdr

NAME: Final = "link-forecast"
WINDOWS: Final = 8
"""Windows that a model sees, the newest last; missing ones are zeros in front."""

AHEAD: Final = 3
"""Windows that a model looks ahead: outputs are for the next one, the one after, and so on."""

CHANNELS: Final = ("logit_pdr", "expected", "rssi", "rssi_known", "age")
INPUTS: Final = WINDOWS * len(CHANNELS)
OUTPUTS: Final = AHEAD * 2

# Half a probe at 0.8 keeps logits finite; the same light prior as the link estimate's.
PRIOR_HEARD: Final = 0.4
PRIOR_MISSED: Final = 0.1
EXPECTED_UNIT: Final = 32.0
RSSI_MIDDLE_DBM: Final = -80.0
RSSI_UNIT_DB: Final = 10.0
AGE_LIMIT: Final = 16.0
LOGIT_LIMIT: Final = 7.0
SPREAD_LIMITS: Final = (-4.0, 2.0)

SCHEMA: Final[dict[str, Any]] = {
    "name": NAME,
    "version": 1,
    "input": {
        "shape": ["batch", INPUTS],
        "layout": "windows, oldest first, of channels",
        "windows": WINDOWS,
        "channels": list(CHANNELS),
        "units": {
            "logit_pdr": [PRIOR_HEARD, PRIOR_MISSED, LOGIT_LIMIT],
            "expected": EXPECTED_UNIT,
            "rssi": [RSSI_MIDDLE_DBM, RSSI_UNIT_DB],
            "age": AGE_LIMIT,
        },
    },
    "output": {
        "shape": ["batch", OUTPUTS],
        "layout": "per window ahead: mean and log standard deviation of the logit PDR",
        "ahead": AHEAD,
        "limits": [LOGIT_LIMIT, *SPREAD_LIMITS],
    },
}


def schema_hash() -> str:
    """SHA-256 of the schema in canonical JSON, as hex."""
    return sha256(json.dumps(SCHEMA, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LinkWindow:
    """One report on a directed link: `heard` of `expected` probes, each on air `transmissions` times.

    `t` is in seconds of any one clock; `rssi_dbm` the mean of what was heard, None where nodes cannot tell.
    """

    t: float
    heard: int
    expected: int
    transmissions: int = 1
    rssi_dbm: float | None = None

    @property
    def pdr(self) -> float:
        """Chance that one transmission is received, as this window alone tells, kept from 0 and 1."""
        share = (self.heard + PRIOR_HEARD) / (self.expected + PRIOR_HEARD + PRIOR_MISSED)
        return link_pdr(share, max(1, self.transmissions))


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a model expects of a link: mean and standard deviation of the logit PDR of the next windows."""

    mean: tuple[float, ...]
    spread: tuple[float, ...]

    def pdr(self, ahead: int, deviations: float = 0.0) -> float:
        """The PDR `ahead` windows from now (1 to AHEAD), `deviations` standard deviations above the mean."""
        return expit(self.mean[ahead - 1] + deviations * self.spread[ahead - 1])


def encode(history: Sequence[LinkWindow], window_s: float) -> array[float]:
    """The model's input for one link: `INPUTS` float32 values.

    `history` is oldest first, and not empty; more than `WINDOWS` are cut. `window_s` is the time that a
    window usually covers, the unit of age.
    """
    shown = history[-WINDOWS:]
    newest = shown[-1].t
    row = array("f", bytes(4 * len(CHANNELS) * (WINDOWS - len(shown))))
    for window in shown:
        known = window.rssi_dbm is not None
        rssi = RSSI_MIDDLE_DBM if window.rssi_dbm is None else window.rssi_dbm
        row.extend(
            (
                logit(window.pdr),
                window.expected / EXPECTED_UNIT,
                (rssi - RSSI_MIDDLE_DBM) / RSSI_UNIT_DB,
                float(known),
                min(AGE_LIMIT, max(0.0, newest - window.t) / window_s),
            )
        )
    return row


def decode(row: Sequence[float]) -> Outlook:
    """A model's output for one link: `OUTPUTS` values, finite; beyond the limits they are clipped."""
    low, high = SPREAD_LIMITS
    means = tuple(min(LOGIT_LIMIT, max(-LOGIT_LIMIT, value)) for value in row[0::2])
    spreads = tuple(exp(min(high, max(low, value))) for value in row[1::2])
    return Outlook(means, spreads)


def logit(p: float) -> float:
    """Log odds, within ± LOGIT_LIMIT."""
    if p <= 0.0 or p >= 1.0:
        return LOGIT_LIMIT if p >= 1.0 else -LOGIT_LIMIT
    return min(LOGIT_LIMIT, max(-LOGIT_LIMIT, log(p / (1.0 - p))))


def expit(x: float) -> float:
    """The probability with log odds `x`."""
    return 1.0 / (1.0 + exp(-x))
