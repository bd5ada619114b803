"""One scenario played with several seeds, and what the plays come to together. Loads nothing heavy by itself.

A single play tells what happened once; the spread between seeds tells how much of it was luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Any, Final

from common.scenario import Scenario

_TIMES: Final = ("one_way_ms", "round_trip_ms")

Play = Mapping[str, Any]


def played(scenario: Scenario, seed: int, duration_s: float | None) -> dict[str, Any]:
    """One play, as `coordinator twin simulate --json` prints it; in whatever process. Raises Rejected."""
    from common.radio import simulate

    return simulate(scenario, seed=seed, duration_s=duration_s).as_json()


def joined(seeds: Sequence[int], plays: Sequence[Play]) -> dict[str, Any]:
    """Plays of one scenario as one document of the same form: counts are sums, `pdr` is their ratio (None
    where nothing was sent), times are means over seeds. `pdr_error`, and `standard_error` of times, are of
    the spread between seeds, and None for a single one."""
    flows = [_flow(alike) for alike in zip(*(play["flows"] for play in plays), strict=True)]
    totals = {name: sum(play["totals"][name] for play in plays) for name in plays[0]["totals"]}
    return {"seeds": list(seeds), "flows": flows, "totals": totals}


def _flow(alike: Sequence[Play]) -> dict[str, Any]:
    first = alike[0]
    sent, delivered = (sum(one[name] for one in alike) for name in ("sent", "delivered"))
    found = {
        "source": first["source"],
        "destination": first["destination"],
        "sent": sent,
        "delivered": delivered,
        "pdr": delivered / sent if sent else None,
        "pdr_error": _error(_known(alike, "pdr")),
        "reached_any": fmean(_known(alike, "reached_any")) if sent else None,
        "hops": sum(one["hops"] * one["delivered"] for one in alike) / delivered if delivered else 0.0,
    }
    if "answered" in first:
        found["answered"] = sum(one["answered"] for one in alike)
    return found | {name: _times([one[name] for one in alike]) for name in _TIMES if name in first}


def _times(alike: Sequence[Mapping[str, float] | None]) -> dict[str, float | None] | None:
    known = [one for one in alike if one is not None]
    if not known:
        return None
    found: dict[str, float | None] = {name: fmean(one[name] for one in known) for name in known[0]}
    return found | {"standard_error": _error([one["mean"] for one in known])}


def _known(alike: Sequence[Play], name: str) -> list[float]:
    """Of the plays in which something was sent."""
    return [one[name] for one in alike if one[name] is not None]


def _error(values: Sequence[float]) -> float | None:
    """Standard error of the mean."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else None
