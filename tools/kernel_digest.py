"""A digest of schedules: equal on every machine, compiled or interpreted. `tools/wheels` compares them.

python -m tools.kernel_digest
x86_64, Python 3.11.2, compiled kernel, 421 schedules: 0b1c…
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from typing import Final

from common.placement import (
    Budget,
    Instance,
    Loads,
    Schedule,
    best_static,
    cpop,
    heft,
    heft_j,
    peft,
    schedule,
)
from common.placement.kernel import is_compiled
from tests.placement.graphs import heft_paper, random_graph

GRAPHS: Final = 60
LOADS: Final = Loads(
    busy_until_ms={"mec": (40.0,)}, utilisation={"lan": 0.7, "mec": 0.9}, deadline_ms=500.0, late_cost=0.1
)


def schedules() -> Iterator[Schedule]:
    """By every scheduler, searched with few evaluations: an interpreter has to make them too."""
    yield heft(Instance.parse(heft_paper()))
    for seed in range(GRAPHS):
        instance = Instance.parse(random_graph(seed, 1 + seed % 17))
        yield from (make(instance) for make in (heft, heft_j, peft, cpop, best_static))
        for loads in (None, LOADS):
            yield schedule(instance, budget=Budget(40 + 37 * (seed % 9)), seed=seed, loads=loads)


def main() -> None:
    """One line: where, how, and the digest as its last word."""
    plans, digest = list(schedules()), hashlib.sha256()
    for plan in plans:
        costs = plan.cost.hex(), plan.searched.hex(), plan.evaluations
        digest.update(json.dumps([plan.as_json(), *costs]).encode())
    kernel = "compiled" if is_compiled() else "interpreted"
    where = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"{where}, {kernel} kernel, {len(plans)} schedules: {digest.hexdigest()}")


if __name__ == "__main__":
    main()
