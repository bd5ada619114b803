"""Small networks for the simulator's tests."""

from __future__ import annotations

from typing import Any

from common.scenario import Scenario

CLEAR_DB = 60.0


def chain(length: int, **keys: Any) -> Scenario:
    """Nodes 1, 2 … in a row, each hearing its neighbours perfectly; every node relays."""
    links = [[a, b, CLEAR_DB] for a in range(1, length + 1) for b in (a - 1, a + 1) if 1 <= b <= length]
    nodes = [{"address": address, "relay": True} for address in range(1, length + 1)]
    return Scenario.model_validate({"nodes": nodes, "links": links, "duration_s": 20.0} | keys)


def pair(attenuation_db: float, **keys: Any) -> Scenario:
    """Two nodes, one link each way."""
    links = [[1, 2, attenuation_db], [2, 1, attenuation_db]]
    nodes = [{"address": 1}, {"address": 2}]
    return Scenario.model_validate({"nodes": nodes, "links": links, "duration_s": 60.0} | keys)


def grid(side: int, spacing_m: float, *, relays: int, period_s: float, **keys: Any) -> Scenario:
    """`side` by `side` nodes on an uneven grid; every `relays`-th relays; all send to the middle."""
    nodes = [
        {
            "address": 1 + row * side + column,
            "x": spacing_m * (column + 0.3 * ((row * 7 + column * 3) % 5) / 5),
            "y": spacing_m * (row + 0.3 * ((row * 3 + column * 11) % 7) / 7),
            "relay": (row * side + column) % relays == 0,
        }
        for row in range(side)
        for column in range(side)
    ]
    middle = 1 + (side // 2) * side + side // 2
    flows = [
        {"source": node["address"], "destination": middle, "period_s": period_s}
        for node in nodes
        if node["address"] != middle
    ]
    return Scenario.model_validate({"nodes": nodes, "flows": flows, "duration_s": 60.0} | keys)


def flow(source: int, destination: int, **keys: Any) -> dict[str, Any]:
    """A message a second."""
    return {"source": source, "destination": destination, "period_s": 1.0} | keys
