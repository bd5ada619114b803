"""Kind `forecast`: what a site's links will deliver in their next windows.

The series is one JSON object a line: `link` (any name), `t` (seconds), `heard`, `expected`, and where known
`transmissions` and `rssi_dbm`. With a model it is the trained forecast, as agents run it; without, a straight
line through the logits of each link's last windows, with that line's own error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from common.errors import Rejected, RejectReason
from common.kinds.built_in import ForecastParameters
from common.kinds.kind import Blobs
from common.models.link_forecast import (
    AHEAD,
    INPUTS,
    OUTPUTS,
    WINDOWS,
    LinkWindow,
    Outlook,
    decode,
    encode,
    expit,
    logit,
)

MAX_LINKS: Final = 20_000
LEAST_SPREAD: Final = 0.05


def forecast(given: ForecastParameters, inputs: Blobs) -> Blobs:
    """Per link the expected share received in each window ahead, with plausible limits. Raises Rejected."""
    links = _series(inputs["series"])
    model = inputs.get("model")
    outlooks = _lines(links) if model is None else _model(links, model, given.window_s)
    told = {
        "by": "line" if model is None else "model",
        "ahead": AHEAD,
        "links": {name: _told(outlook) for name, outlook in zip(links, outlooks, strict=True)},
    }
    return {"forecast": json.dumps(told).encode()}


def _series(text: bytes) -> dict[str, list[LinkWindow]]:
    links: dict[str, list[LinkWindow]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, window = _window(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Rejected(RejectReason.MALFORMED, f"line {number} of the series: {error!r}"[:200]) from error
        links.setdefault(name, []).append(window)
        if len(links) > MAX_LINKS:
            raise Rejected(RejectReason.OVERSIZED, f"more than {MAX_LINKS} links")
    if not links:
        raise Rejected(RejectReason.INVALID, "the series is empty")
    return {name: sorted(windows, key=lambda w: w.t)[-WINDOWS:] for name, windows in links.items()}


def _window(told: dict[str, Any]) -> tuple[str, LinkWindow]:
    rssi = told.get("rssi_dbm")
    window = LinkWindow(
        float(told["t"]),
        int(told["heard"]),
        int(told["expected"]),
        int(told.get("transmissions", 1)),
        None if rssi is None else float(rssi),
    )
    if not 0 <= window.heard <= window.expected or not 1 <= window.expected <= 1_000_000:
        raise ValueError("heard of expected")
    if not 1 <= window.transmissions <= 8 or not np.isfinite([window.t, window.rssi_dbm or 0.0]).all():
        raise ValueError("transmissions, t or rssi_dbm")
    return str(told["link"])[:100], window


def _model(links: dict[str, list[LinkWindow]], model: bytes, window_s: float) -> list[Outlook]:
    from common.kinds.inference import Model  # The runtime, only where there is a model.

    loaded = Model(model)
    if loaded.shape != (INPUTS,) or loaded.kind != np.float32:
        raise Rejected(RejectReason.FOREIGN_SCHEMA, f"the model takes {loaded.shape}, not {INPUTS} features")
    rows = np.array([encode(windows, window_s) for windows in links.values()], np.float32)
    found = loaded.run(rows)
    if found.shape != (len(rows), OUTPUTS) or not np.isfinite(found).all():
        raise Rejected(RejectReason.WRONG_OUTPUT, f"the model gave {found.shape}")
    return [decode(row) for row in found.tolist()]


def _lines(links: dict[str, list[LinkWindow]]) -> list[Outlook]:
    return [_line([logit(window.pdr) for window in windows]) for windows in links.values()]


def _line(logits: Sequence[float]) -> Outlook:
    count = len(logits)
    at = np.arange(count, dtype=np.float64)
    values = np.asarray(logits)
    ahead = np.arange(count, count + AHEAD, dtype=np.float64)
    if count < 3:
        return Outlook((float(values[-1]),) * AHEAD, (1.0,) * AHEAD)
    slope, start = np.polyfit(at, values, 1)
    rest = float(np.sqrt(np.sum((values - start - slope * at) ** 2) / (count - 2)))
    spread = float(np.sum((at - at.mean()) ** 2))
    errors = np.maximum(LEAST_SPREAD, rest * np.sqrt(1 + 1 / count + (ahead - at.mean()) ** 2 / spread))
    return Outlook(tuple((start + slope * ahead).tolist()), tuple(errors.tolist()))


def _told(outlook: Outlook) -> dict[str, list[float]]:
    pairs = list(zip(outlook.mean, outlook.spread, strict=True))
    return {
        "pdr": [round(expit(mean), 4) for mean, _ in pairs],
        "low": [round(expit(mean - 2 * error), 4) for mean, error in pairs],
        "high": [round(expit(mean + 2 * error), 4) for mean, error in pairs],
    }
