"""The graphs that arrive: layered, 8 to 24 tasks, with the sizes of the instances in `data/placement`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import inf
from random import Random
from typing import Final

from common.placement import Budget, Edge, Instance, Task, schedule
from tools.benchmarks.online.fleet import (
    CHANNELS,
    FADING,
    GATEWAYS,
    MACHINES,
    MBIT_S,
    NODES,
    RADIO_J_PER_BIT,
    channel_between,
    latency_ms,
)

TASKS: Final = (8, 24)
WEIGHTS: Final = (0.1, 0.5, 0.9, 1.0)
"""Of delay against energy, by service class; each as often as the others."""

GIGACYCLES: Final = (0.15, 0.8)
MEGABITS: Final = (0.8, 0.9)
"""Mean, and the sigma of the logarithm: of a task's work, of an edge's data. A graph takes about a second on
the first gateway; two a second are too many for all gateways together, and for the WAN where it fades."""

DEADLINE: Final = 2.0
LOST: Final = 3.0
"""Deadlines in best times of an empty fleet; a graph without a result after so many deadlines is lost."""

ALONE: Final = Budget(evaluations=3000)
COUNT: Final = len(MACHINES)
_CHANNEL: Final = tuple(
    tuple(None if a == b else channel_between(a, b) for b in range(COUNT)) for a in range(COUNT)
)
_LATENCY: Final = tuple(
    tuple(0.0 if a == b else latency_ms(a, b) for b in range(COUNT)) for a in range(COUNT)
)
_J_PER_BIT: Final = tuple(
    tuple(0.0 if a == b else RADIO_J_PER_BIT[channel_between(a, b)] for b in range(COUNT))
    for a in range(COUNT)
)


@dataclass(frozen=True, slots=True)
class Graph:
    """`gigacycles` per task, the first is the source, the last the sink, both at `gateway` and without work.

    `edges` are (from, to, bits), `inputs` and `outputs` of a task indices of them. The deadline counts from
    `arrival_ms`.
    """

    number: int
    arrival_ms: float
    gateway: int
    weight: float
    gigacycles: tuple[float, ...]
    edges: tuple[tuple[int, int, float], ...]
    deadline_ms: float = inf
    inputs: tuple[tuple[int, ...], ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()

    @property
    def sink(self) -> int:
        """The task whose finish is the graph's."""
        return len(self.gigacycles) - 1

    def asked_at(self, gateway: int) -> Graph:
        """The same graph at another gateway."""
        return replace(self, gateway=gateway)

    @property
    def lost_ms(self) -> float:
        """When the graph counts as lost, after the play's begin."""
        return self.arrival_ms + LOST * self.deadline_ms

    def duration_ms(self, task: int, machine: int) -> float:
        """Expected; what it takes in truth is drawn when it runs."""
        return self.gigacycles[task] / MACHINES[machine].speed_ghz * 1000.0

    def cost(self, elapsed_ms: float, energy_j: float) -> float:
        """J against all of it on the asking gateway."""
        time_ms = sum(self.gigacycles) / MACHINES[self.gateway].speed_ghz * 1000.0
        joule = time_ms / 1000.0 * MACHINES[self.gateway].power_w
        return self.weight * elapsed_ms / time_ms + (1.0 - self.weight) * energy_j / joule


@cache
def arrivals(seed: int, rate: float, duration_s: float) -> tuple[Graph, ...]:
    """Poisson arrivals of random graphs at the gateways, `rate` a second in all."""
    random = Random(f"graphs {seed} {rate}")
    graphs: list[Graph] = []
    now = random.expovariate(rate)
    while now < duration_s:
        graphs.append(_with_deadline(_graph(random, len(graphs), now * 1000.0)))
        now += random.expovariate(rate)
    return tuple(graphs)


def _graph(random: Random, number: int, arrival_ms: float) -> Graph:
    count = random.randint(*TASKS)
    layers = _layers(random, count)
    joints = set()
    for earlier, later in pairwise(layers):
        for task in later:
            joints |= {
                (parent, task) for parent in random.sample(earlier, min(len(earlier), random.randint(1, 3)))
            }
    parents, children = {b for _, b in joints}, {a for a, _ in joints}
    joints |= {(0, task) for task in range(1, count + 1) if task not in parents}
    joints |= {(task, count + 1) for task in range(1, count + 1) if task not in children}
    work = (0.0, *(_lognormal(random, GIGACYCLES) for _ in range(count)), 0.0)
    edges = tuple((a, b, _lognormal(random, MEGABITS) * 1e6) for a, b in sorted(joints))
    return Graph(
        number=number,
        arrival_ms=arrival_ms,
        gateway=random.randrange(GATEWAYS),
        weight=random.choice(WEIGHTS),
        gigacycles=work,
        edges=edges,
        inputs=tuple(tuple(k for k, e in enumerate(edges) if e[1] == task) for task in range(count + 2)),
        outputs=tuple(tuple(k for k, e in enumerate(edges) if e[0] == task) for task in range(count + 2)),
    )


def _layers(random: Random, count: int) -> list[list[int]]:
    layers, first = [], 1
    while first <= count:
        width = min(random.randint(1, 5), count - first + 1)
        layers.append(list(range(first, first + width)))
        first += width
    return layers


def _lognormal(random: Random, of: tuple[float, float]) -> float:
    mean, sigma = of
    return mean * random.lognormvariate(-sigma * sigma / 2.0, sigma)


def _with_deadline(graph: Graph) -> Graph:
    best = schedule(instance(replace(graph, weight=1.0), 1.0), budget=ALONE).finish_ms
    return replace(graph, deadline_ms=DEADLINE * best)


def instance(graph: Graph, wan_share: float, tasks: Sequence[Task] | None = None) -> Instance:
    """The graph as a placement problem, with the WAN at a share of its rate; `tasks` instead of its own."""
    local_ms = sum(graph.gigacycles) / MACHINES[graph.gateway].speed_ghz * 1000.0
    rates = [rate * 1000.0 * (wan_share if c in FADING else 1.0) for c, rate in enumerate(MBIT_S)]
    return Instance(
        name=str(graph.number),
        weight=graph.weight,
        local_time_ms=local_ms,
        local_energy_j=local_ms / 1000.0 * MACHINES[graph.gateway].power_w,
        nodes=NODES[graph.gateway],
        tasks=tuple(tasks or whole(graph)),
        edges=tuple(Edge(a, b, bits, tuple(bits / rate for rate in rates)) for a, b, bits in graph.edges),
        channels=CHANNELS,
        channel=_CHANNEL,
        latency_ms=_LATENCY,
        energy_j_per_bit=_J_PER_BIT,
        order=tuple(range(len(graph.gigacycles))),
        sink=graph.sink,
    )


def whole(graph: Graph) -> list[Task]:
    """All tasks of a graph of which nothing has run: source and sink at the gateway that asks."""
    ends = {0: graph.gateway, graph.sink: graph.gateway}
    return [free(graph, task, ends.get(task)) for task in range(len(graph.gigacycles))]


def free(graph: Graph, task: int, pinned: int | None = None) -> Task:
    """A task that may run anywhere, or on one machine only."""
    took = tuple(graph.duration_ms(task, machine) for machine in range(COUNT))
    spent = tuple(ms / 1000.0 * MACHINES[machine].power_w for machine, ms in enumerate(took))
    return Task(_name(graph, task), pinned, took, spent)


def standing(graph: Graph, task: int, machine: int, left_ms: float) -> Task:
    """A task that runs, or has run, on a machine: its result is there after a time, and costs no more."""
    return Task(_name(graph, task), machine, (left_ms,) * COUNT, (0.0,) * COUNT)


def _name(graph: Graph, task: int) -> str:
    return {0: "source", graph.sink: "sink"}.get(task, f"t{task}")
