"""A site for the stage as a scenario: nodes along two corridors, each with one working path.

    row 0   o o o o … o        a node hears its neighbours in all eight directions;
    row 1   R R R R … R        rows 1 and 3 relay, the others could;
    row 2   o … G o … o        the gateway, in the middle, hears both corridors
    row 3   R R R R … R
    row 4   o o o o … o

Whichever relay dies, the rest of its corridor and what listens to it is cut off, and a node beside it can
bridge the gap. Sites that the simulator scatters at random are too well meshed for that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

ROWS: Final = 5
NODES: Final = 60
RELAY_ROWS: Final = (1, 3)
GATEWAY_ROW: Final = 2
GATEWAY: Final = 1
ATTENUATION_DB: Final = 60
"""Of the links that there are: near certain reception."""

FAINT_DB: Final = 88
"""Attenuation at which reception begins to depend on the signal: a tenth of a decibel tells."""

TTL_SPARE: Final = 9


def write(path: Path, seed: int, nodes: int = NODES, attenuation_db: int = ATTENUATION_DB) -> Path:
    """Write the scenario file; its path."""
    path.write_text(json.dumps(document(seed, nodes, attenuation_db)))
    return path


def document(seed: int, nodes: int = NODES, attenuation_db: int = ATTENUATION_DB) -> dict[str, Any]:
    """The scenario as JSON: `nodes`, a multiple of five, with the addresses 1 (the gateway) and up."""
    columns = nodes // ROWS
    places = {
        (row, column): _address(row, column, columns) for row in range(ROWS) for column in range(columns)
    }
    return {
        "nodes": [
            {"address": address, "x": 8.0 * column, "y": 8.0 * row, "relay": row in RELAY_ROWS}
            for (row, column), address in sorted(places.items(), key=lambda item: item[1])
        ],
        "links": [
            [here, there, attenuation_db]
            for (row, column), here in places.items()
            for (other_row, other_column), there in places.items()
            if here != there and abs(row - other_row) <= 1 and abs(column - other_column) <= 1
        ],
        "configuration": {
            "ttl": min(127, columns // 2 + TTL_SPARE),
            "network_transmit": {"count": 2, "interval_ms": 10},
            "relay_retransmit": {"count": 2, "interval_ms": 10},
            "relay_sets": 4,
            "message_cache": 256,
        },
        "duration_s": 3600,
        "seed": seed,
    }


def _address(row: int, column: int, columns: int) -> int:
    """The gateway has the lowest address; the others follow row by row."""
    plain = row * columns + column + 1
    middle = GATEWAY_ROW * columns + (columns - 1) // 2 + 1
    if plain == middle:
        return GATEWAY
    return plain + 1 if plain < middle else plain
