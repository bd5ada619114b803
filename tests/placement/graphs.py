"""Task graphs for the tests of placement: the one of the HEFT paper, and random ones."""

from __future__ import annotations

import random
from typing import Any, Final

DURATIONS: Final = (
    (14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10),
    (13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16),
)  # fmt: skip
TRANSFERS: Final = {
    (1, 2): 18, (1, 3): 12, (1, 4): 9, (1, 5): 11, (1, 6): 14, (2, 8): 19, (2, 9): 16, (3, 7): 23, (4, 8): 27,
    (4, 9): 23, (5, 9): 13, (6, 8): 15, (7, 10): 17, (8, 10): 11, (9, 10): 13,
}  # fmt: skip
"""Figure 2 of Topcuoglu, Hariri, Wu 2002: durations on three processors, transfers between any two."""


def heft_paper() -> dict[str, Any]:
    """Its tenth task is the sink here."""
    tasks = [
        {
            "id": f"t{i}" if i < 9 else "sink",
            "pinned": None,
            "duration_ms": list(map(float, row)),
            "energy_j": [0.0] * 3,
        }
        for i, row in enumerate(DURATIONS)
    ]
    edges = [
        {"from": a - 1, "to": b - 1, "bits": 0.0, "transfer_ms": {"backbone": float(ms)}}
        for (a, b), ms in TRANSFERS.items()
    ]
    return {
        "weight": 1.0,
        "all_local": {"time_ms": 127.0, "energy_j": 1.0},
        "nodes": [{"id": f"p{j}", "tier": "peer", "slots": 1} for j in range(3)],
        "tasks": tasks,
        "edges": edges,
        **_ways([["backbone"] * 3] * 3, 0.0, 0.0),
    }


def random_graph(seed: int, tasks: int = 12, weight: float | None = None) -> dict[str, Any]:
    """A gateway, a peer, a MEC server of two slots and a cloud; whole milliseconds."""
    rng = random.Random(seed)
    speeds = (1.0, 1.2, 4.0, 9.0)
    work = [0] + [rng.randint(20, 1200) for _ in range(tasks)] + [0]
    names = ["source", *(f"t{i}" for i in range(1, tasks + 1)), "sink"]
    rows = [
        {
            "id": name,
            "pinned": "gateway" if name in ("source", "sink") else None,
            "duration_ms": [float(round(ms / speed)) for speed in speeds],
            "energy_j": [ms * 0.002, ms * 0.003, ms * 0.0015, ms * 0.001],
        }
        for name, ms in zip(names, work, strict=True)
    ]
    pairs = {(rng.randrange(max(0, i - 4), i), i) for i in range(1, tasks + 1) for _ in range(2)}
    last = set(range(1, tasks + 1)) - {a for a, _ in pairs}
    edges = []
    for a, b in sorted(pairs | {(i, tasks + 1) for i in last}):
        bits = rng.choice((1e4, 1e5, 1e6, 4e6))
        sent = {"lan": bits / 9e4, "wan_up": bits / 8e3, "wan_down": bits / 2e4, "backbone": bits / 1e6}
        edges.append(
            {
                "from": a,
                "to": b,
                "bits": bits,
                "transfer_ms": {name: float(round(ms)) for name, ms in sent.items()},
            }
        )
    up, down, lan, core = "wan_up", "wan_down", "lan", "backbone"
    channel = [["", lan, up, up], [lan, "", up, up], [down, down, "", core], [down, down, core, ""]]
    return {
        "name": f"random/{seed}",
        "weight": rng.choice((0.1, 0.5, 0.9, 1.0)) if weight is None else weight,
        "all_local": {"time_ms": float(sum(work)), "energy_j": sum(work) * 0.002},
        "nodes": [
            {"id": "gateway", "tier": "local", "slots": 1},
            {"id": "peer", "tier": "peer", "slots": 1},
            {"id": "mec", "tier": "mec", "slots": 2},
            {"id": "cloud", "tier": "cloud", "slots": None},
        ],
        "tasks": rows,
        "edges": edges,
        **_ways(channel, 4.0, 2e-7),
    }


def _ways(channel: list[list[str]], latency: float, joule: float) -> dict[str, Any]:
    size = range(len(channel))
    return {
        "channel": [[None if a == b else channel[a][b] for b in size] for a in size],
        "latency_ms": [[0.0 if a == b else latency for b in size] for a in size],
        "energy_j_per_bit": [[0.0 if a == b else joule for b in size] for a in size],
    }
