"""What is true of a simulated site and told to nobody: neither agents nor the twin may look here.

Without it they would learn and predict what they had been built from. Everything is drawn from the site's
seed, and everything is off at first: a site without hidden truths is what its file says.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from common.errors import Misconfigured

DRIFT_S: Final = 460.0
"""After so long a drifting link has forgotten two thirds of where it was: doors, people, pallets."""


@dataclass(frozen=True, slots=True)
class HiddenTruths:
    """How a site differs from its file. Decibels are standard deviations, but for `burst_db`.

    `shadowing_db`: walls and shelves that no file knows, the same both ways of a pair. 3 to 8 indoors.
    `offset_db`: what each node's transmitter is off its nominal power, and its receiver off its nominal
        sensitivity, drawn separately: antennas, housings, tolerances of the chip. 1 to 3.
    `drift_db`: how far links wander, each direction by itself, as an Ornstein-Uhlenbeck process that forgets
        within `drift_s` seconds and is held within two deviations. 0.5 to 2.
    `bursts_per_hour`: interference that begins at a random node, at random times (a Poisson process): a
        microwave oven, a download. It raises the noise by `burst_db` (10 to 30) at the `burst_share` of the
        nodes that are nearest, for `burst_s` seconds on average (exponential).
    """

    shadowing_db: float = 0.0
    offset_db: float = 0.0
    drift_db: float = 0.0
    drift_s: float = DRIFT_S
    bursts_per_hour: float = 0.0
    burst_s: float = 5.0
    burst_db: float = 15.0
    burst_share: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = LIMITS[field.name]
            value = getattr(self, field.name)
            if type(value) not in (int, float) or not (math.isfinite(value) and low <= value <= high):
                raise Misconfigured(
                    f"hidden truth {field.name} = {str(value)[:40]}", f"use a number from {low:g} to {high:g}"
                )


LIMITS: Final = {
    "shadowing_db": (0.0, 20.0),
    "offset_db": (0.0, 20.0),
    "drift_db": (0.0, 20.0),
    "drift_s": (10.0, 1e6),
    "bursts_per_hour": (0.0, 3600.0),
    "burst_s": (0.01, 3600.0),
    "burst_db": (0.0, 100.0),
    "burst_share": (0.0, 1.0),
}

NONE: Final = HiddenTruths()
MAX_BYTES: Final = 65_536


def read(path: Path) -> HiddenTruths:
    """From a JSON object with these keys; those that are missing are off. Raises Misconfigured."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_BYTES))
    except OSError as error:
        raise Misconfigured(f"{path}: {error.strerror}", "name a JSON file that can be read") from error
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{path} is not JSON: {error}", "mend the place that is named") from error
    return parse(document, str(path))


def parse(document: Any, name: str) -> HiddenTruths:
    """Like `read`, from the object itself."""
    known = [field.name for field in fields(HiddenTruths)]
    if not isinstance(document, dict):
        raise Misconfigured(f"{name} is no JSON object", 'write {"shadowing_db": 4, "drift_db": 1}')
    if unknown := sorted(document.keys() - set(known)):
        raise Misconfigured(f"{name}: unknown key {unknown[0][:40]!r}", f"use {', '.join(known)}")
    return HiddenTruths(**document)
