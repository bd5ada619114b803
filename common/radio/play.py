"""One play of a scenario: packed, run by the kernel, and counted."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import Rejected, RejectReason
from common.radio import compilation, kernel, packing, tables, working
from common.radio.outcome import Outcome, Totals
from common.radio.parameters import RadioParameters
from common.radio.propagation import links
from common.radio.tally import Record, flow_outcomes
from common.radio.traffic import traffic
from common.scenario import Flow, Scenario

_SMALLEST_AIR: Final = 1 << 10


def play(
    scenario: Scenario,
    parameters: RadioParameters,
    *,
    seed: int | None = None,
    duration_s: float | None = None,
    only_flows: Sequence[int] | None = None,
) -> Outcome:
    """See `common.radio.simulate`."""
    flows = chosen(scenario, only_flows)
    record = run(scenario, parameters, flows, seed, duration_s)
    return Outcome(flow_outcomes([flow for _, flow in flows], record), record.totals)


def chosen(scenario: Scenario, only_flows: Sequence[int] | None) -> list[tuple[int, Flow]]:
    """Flows with their numbers. Raises Rejected for a number that does not exist."""
    numbers = range(len(scenario.flows)) if only_flows is None else only_flows
    for number in numbers:
        if not 0 <= number < len(scenario.flows):
            raise Rejected(RejectReason.OUT_OF_RANGE, f"flow {number}; there are {len(scenario.flows)}")
    return [(number, scenario.flows[number]) for number in numbers]


def run(
    scenario: Scenario,
    parameters: RadioParameters,
    flows: Sequence[tuple[int, Flow]],
    seed: int | None = None,
    duration_s: float | None = None,
) -> Record:
    """Play, and keep the single messages."""
    compilation.warm()
    begun = time.thread_time()
    seed = scenario.seed if seed is None else seed
    duration_s = scenario.duration_s if duration_s is None else duration_s
    alone = [flow for _, flow in flows]
    index = {node.address: place for place, node in enumerate(scenario.nodes)}
    who = packing.recipients(scenario, alone, index)
    weakest = packing.noise_floor_dbm(scenario, parameters) + parameters.interference_floor_db
    rotation = 3 * scenario.configuration.scan_interval_ms
    phases = rotation * np.random.default_rng((seed, 1 << 32)).random(len(scenario.nodes))
    listens = packing.listeners(scenario, alone, index, who)
    fixed = {
        **packing.network(scenario, links(scenario, weakest), listens, phases, parameters),
        **traffic(scenario, flows, index, who, duration_s, seed),
        "site": packing.site(scenario, parameters),
        "members": packing.members(who, len(index)),
    }
    world = until_it_fits(fixed, scenario.configuration.message_cache, parameters.queue_length, seed)
    return Record(world.flows, world.messages, world.rows, _totals(world, time.thread_time() - begun))


def until_it_fits(fixed: dict[str, NDArray[Any]], cache: int, queue: int, seed: int) -> tables.World:
    """Play to the end. Stores begin small, so that they stay in the processor's caches, and grow."""
    # The kernel writes into these; the rest it reads only.
    fresh = {name: fixed[name].copy() for name in ("nodes", "messages", "rows")}
    timers = 4 * int(fixed["site"]["nodes"][0]) + 1024
    working_tables = working.tables_of(fixed, cache, queue, timers, _SMALLEST_AIR, seed)
    world = tables.World(**(fixed | fresh | working_tables))
    while full := kernel.play(world, math.inf):
        world = working.wider(world, full)
    return world


def _totals(world: tables.World, cpu_s: float) -> Totals:
    status = world.status[0]
    return Totals(
        events=int(status["events"]),
        transmissions=int(status["transmissions"]),
        collisions=int(status["collisions"]),
        dropped=int(status["dropped"]),
        cpu_s=cpu_s,
        simulated_s=float(status["clock"]) / 1000,
    )
