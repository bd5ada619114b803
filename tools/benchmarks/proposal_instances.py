"""Drawn task graphs on drawn edge networks, to learn proposals from: none of them is an instance that figures
are told of."""

from __future__ import annotations

from math import exp, log
from random import Random
from typing import Any, Final

from common.placement import Instance

WEIGHTS: Final = (0.1, 0.5, 0.9, 1.0)
WIDEST: Final = 6
"""Tasks of a layer."""


def drawn(seed: int, tasks: tuple[int, int] = (10, 50)) -> Instance:
    """A layered graph for a gateway, one or two peers, one or two MEC servers, and a cloud."""
    dice = Random(f"proposal {seed}")
    nodes = _nodes(dice)
    count = dice.randint(*tasks)
    work = [0.0, *(dice.lognormvariate(5.06, 1.3) for _ in range(count)), 0.0]
    names = ["source", *(f"t{i}" for i in range(1, count + 1)), "sink"]
    rows: list[dict[str, Any]] = []
    for name, ms in zip(names, work, strict=True):
        took = [float(round(ms / node["speed"] * (dice.lognormvariate(0, 0.05)))) for node in nodes]
        rows.append(
            {
                "id": name,
                "pinned": "gateway" if name in ("source", "sink") else None,
                "duration_ms": took,
                "energy_j": [t / 1000 * node["watts"] for t, node in zip(took, nodes, strict=True)],
            }
        )
    whole = sum(row["duration_ms"][0] for row in rows)
    spent = sum(row["energy_j"][0] for row in rows)
    return Instance.parse(
        {
            "name": f"drawn/{seed}",
            "weight": dice.choice(WEIGHTS),
            "all_local": {"time_ms": whole, "energy_j": spent},
            "nodes": [{key: node[key] for key in ("id", "tier", "slots")} for node in nodes],
            "tasks": rows,
            **_network(dice, nodes, _joints(dice, count)),
        }
    )


def _nodes(dice: Random) -> list[dict[str, Any]]:
    few = dice.random() < 0.3
    tiers = ["local", "peer", "mec", "cloud"] if few else ["local", "peer", "peer", "mec", "mec", "cloud"]
    if not few and dice.random() < 0.4:
        tiers.remove(dice.choice(("peer", "mec")))
    ranges = {"local": (1.0, 1.0), "peer": (0.6, 1.3), "mec": (2.5, 8.0), "cloud": (4.0, 16.0)}
    slots = {"local": 1, "peer": 1, "mec": 2, "cloud": None}
    return [
        {
            "id": "gateway" if tier == "local" else f"{tier}{number}",
            "tier": tier,
            "slots": slots[tier],
            "speed": _between(dice, *ranges[tier]),
            "watts": _between(dice, 2.5, 20.0),
        }
        for number, tier in enumerate(tiers)
    ]


def _joints(dice: Random, count: int) -> list[tuple[int, int]]:
    layers: list[list[int]] = []
    placed = 0
    while placed < count:
        size = min(count - placed, dice.randint(1, WIDEST))
        layers.append(list(range(placed + 1, placed + size + 1)))
        placed += size
    joints = set()
    for number, layer in enumerate(layers[1:], 1):
        for task in layer:
            near = layers[number - 1] + (layers[number - 2] if number > 1 and dice.random() < 0.3 else [])
            joints |= {(a, task) for a in dice.sample(near, min(len(near), dice.randint(1, 3)))}
    begun, ended = {b for _, b in joints}, {a for a, _ in joints}
    joints |= {(0, task) for task in range(1, count + 1) if task not in begun}
    joints |= {(task, count + 1) for task in range(1, count + 1) if task not in ended}
    return sorted(joints)


def _network(dice: Random, nodes: list[dict[str, Any]], joints: list[tuple[int, int]]) -> dict[str, Any]:
    up = _between(dice, 1.5e3, 3e4)
    rates = {"lan": _between(dice, 5e4, 1.6e5), "wan_up": up, "wan_down": up * dice.uniform(1.3, 3.5)}
    rates["backbone"] = 1e6
    radio = {"lan": _between(dice, 8e-9, 4e-8), "wan_up": _between(dice, 3e-8, 1.5e-7), "backbone": 2e-9}
    radio["wan_down"] = radio["wan_up"] * dice.uniform(0.15, 0.4)
    late = {"lan": dice.randint(1, 3), "mec": dice.randint(6, 15), "cloud": dice.randint(40, 80)}
    middle = dice.gauss(13.8, 0.7)
    edges = []
    for a, b in joints:
        bits = dice.lognormvariate(middle, 1.5)
        sent = {name: float(round(bits / rate)) for name, rate in rates.items()}
        edges.append({"from": a, "to": b, "bits": bits, "transfer_ms": sent})
    ways = [[_way(a, b) for b in nodes] for a in nodes]
    return {
        "edges": edges,
        "channel": ways,
        "latency_ms": [[_late(a, b, late) for b in nodes] for a in nodes],
        "energy_j_per_bit": [[0.0 if way is None else radio[way] for way in row] for row in ways],
    }


def _way(a: dict[str, Any], b: dict[str, Any]) -> str | None:
    if a is b:
        return None
    near, there = (node["tier"] in ("local", "peer") for node in (a, b))
    if near and there:
        return "lan"
    return "wan_up" if near else "wan_down" if there else "backbone"


def _late(a: dict[str, Any], b: dict[str, Any], late: dict[str, int]) -> float:
    if a is b:
        return 0.0
    tiers = {a["tier"], b["tier"]}
    if tiers <= {"local", "peer"}:
        return float(late["lan"])
    if tiers == {"mec"}:
        return 2.0
    if "cloud" in tiers:
        return float(late["cloud"] - (late["mec"] if "mec" in tiers else 0))
    return float(late["mec"])


def _between(dice: Random, low: float, high: float) -> float:
    return exp(dice.uniform(log(low), log(high)))
