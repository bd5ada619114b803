"""Task graphs of real work, drawn from a seed: logs to be packed, vibrations to be analysed, and what is to
be reckoned after them."""

from __future__ import annotations

import array
import math
import random
from typing import Any

LOG_BYTES = (60_000, 400_000)
SAMPLES = (60_000, 300_000)
ROUNDS = (100_000, 600_000)
"""A fifth of a second for the longest, with a whole processor: about a second on a gateway with its quota."""


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A graph's document, and the files that it names."""
    chance = random.Random(seed)
    files: dict[str, bytes] = {}
    tasks: list[dict[str, Any]] = []
    for number in range(chance.randint(1, 4)):
        name = f"part{number}"
        if chance.random() < 0.5:
            files[f"{name}.log"] = _log(chance, chance.randint(*LOG_BYTES))
            method = chance.choice(("zlib", "lzma"))
            tasks.append(_task(name, "compress", {"method": method}, {"data": {"file": f"{name}.log"}}))
        else:
            files[f"{name}.f32"] = _vibration(chance, chance.randint(*SAMPLES))
            tasks.append(_task(name, "spectrum", {"format": "f32"}, {"block": {"file": f"{name}.f32"}}))
    rounds = chance.randint(*ROUNDS)
    first = [task["id"] for task in tasks]
    tasks.append(_task("model", "measure", {"rounds": rounds}, {}) | {"after": first})
    for number in range(chance.randint(0, 2)):
        rounds = chance.randint(*ROUNDS) // 2
        tasks.append(_task(f"case{number}", "measure", {"rounds": rounds}, {}) | {"after": ["model"]})
    service = chance.choice(("urgent", "standard", "thrifty"))
    return {"name": f"graph {seed}", "service": service, "tasks": tasks}, files


def _task(name: str, kind: str, parameters: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "kind": kind, "parameters": parameters, "inputs": inputs}


def _log(chance: random.Random, size: int) -> bytes:
    lines, length = [], 0
    while length < size:
        node, level = chance.randint(1, 200), chance.choice(("info", "warning", "error"))
        lines.append(
            f"2024-05-01T12:{chance.randint(0, 59):02d} {level} node 0x{node:04x} heard {chance.random()}\n"
        )
        length += len(lines[-1])
    return "".join(lines).encode()


def _vibration(chance: random.Random, samples: int) -> bytes:
    speed, noise = chance.uniform(0.01, 0.2), chance.uniform(0.01, 0.5)
    block = array.array("f", (math.sin(speed * n) + noise * chance.random() for n in range(samples)))
    return block.tobytes()
