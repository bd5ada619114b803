"""An instance under a load, as the flat arrays that the kernel reads.

Everything beside time is folded into prices in units of J: of a task on a node (energy, and the congestion
price of its time there), of a bit between two nodes, of a channel's time. What no load changes is laid out
once per instance.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from math import inf

from common.placement.document import MAX_NUMBER
from common.placement.errors import Unplaceable
from common.placement.instance import BACKBONE, Instance, Node, Task
from common.placement.kernel.decoder import Decoder
from common.placement.kernel.graph import Graph
from common.placement.loads import Loads

_IDLE = Loads()


@dataclass(frozen=True, slots=True)
class Layout:
    """What no load changes, as arrays and, for those whom nothing loads, as the kernel's graph."""

    ints: dict[str, array[int]]
    reals: dict[str, array[float]]
    scalars: dict[str, float]
    graph: Graph


def lay_out(instance: Instance) -> Layout:
    """The arrays of an instance that nobody loads."""
    ints: dict[str, array[int]] = {}
    reals: dict[str, array[float]] = {}
    _set_tasks(reals, instance)
    _set_edges(ints, reals, instance)
    _set_ways(ints, reals, instance)
    _set_resources(ints, reals, instance, _IDLE)
    scalars = {
        "tasks": len(instance.tasks),
        "nodes": len(instance.nodes),
        "channels": len(instance.channels) + 1,
        "sink": instance.sink,
        "rate": instance.weight / instance.local_time_ms,
        **_lateness(_IDLE),
    }
    ints["home_order"] = array("i", instance.order)
    ints["home_node"] = _home(instance, frozenset())
    return Layout(ints, reals, scalars, Graph(ints, reals, scalars))


def decoder(instance: Instance, loads: Loads | None = None) -> Decoder:
    """A decoder for the instance, its tasks in topological order, each at home.

    Raises Unplaceable when a task has no node that lives.
    """
    laid = instance.layout
    if loads is None or loads == _IDLE:
        return Decoder(laid.graph)
    ints, reals = dict(laid.ints), dict(laid.reals)
    _load_tasks(reals, instance, loads)
    ms = instance.weight / instance.local_time_ms
    reals["channel_price"] = array("d", [ms * loads.price(name) for name in instance.channels] + [0.0])
    _set_resources(ints, reals, instance, loads)
    ints["home_node"] = _home(instance, loads.dead)
    return Decoder(Graph(ints, reals, laid.scalars | _lateness(loads)))


def _lateness(loads: Loads) -> dict[str, float]:
    deadline = inf if loads.deadline_ms is None else loads.deadline_ms
    late_rate = loads.late_cost / deadline if 0.0 < deadline < inf else 0.0
    return {
        "release": loads.release_ms,
        "deadline": deadline,
        "late_rate": late_rate,
        "late_fixed": loads.late_cost,
    }


def _home(instance: Instance, dead: frozenset[str]) -> array[int]:
    """Where each task may be without asking: with the sink if that is possible. Raises Unplaceable."""
    nodes = range(len(instance.nodes))
    alive = [j for j in nodes if instance.nodes[j].id not in dead]
    sink = instance.tasks[instance.sink].pinned
    first = [sink, *alive] if sink in alive else alive
    return array("i", [_first_able(task, first) for task in instance.tasks])


def _first_able(task: Task, nodes: Sequence[int | None]) -> int:
    for j in nodes:
        if j is not None and task.may_run_on(j):
            return j
    raise Unplaceable(f"task {task.id}: no node that may run it is alive")


def _set_tasks(reals: dict[str, array[float]], instance: Instance) -> None:
    """`duration` and `price`, [task][node]; both are infinite where the task may not run."""
    duration = array("d", chain.from_iterable(task.duration_ms for task in instance.tasks))
    joule = (1.0 - instance.weight) / instance.local_energy_j
    energy = array("d", chain.from_iterable(task.energy_j for task in instance.tasks))
    price = array("d", [joule * spent for spent in energy])
    width = len(instance.nodes)
    for i, task in enumerate(instance.tasks):
        if task.pinned is not None or inf in task.duration_ms:
            for j in range(width):
                if not task.may_run_on(j):
                    duration[i * width + j] = price[i * width + j] = inf
    reals |= {"duration": duration, "price": price, "energy": energy}


def _load_tasks(reals: dict[str, array[float]], instance: Instance, loads: Loads) -> None:
    """Dead nodes run nothing, busy ones are dear."""
    width = len(instance.nodes)
    ms = instance.weight / instance.local_time_ms
    for j, node in enumerate(instance.nodes):
        dear = ms * loads.price(node.id)
        if node.id in loads.dead:
            for name in ("duration", "price"):
                reals[name] = array("d", reals[name])
                reals[name][j::width] = array("d", [inf]) * len(instance.tasks)
        elif dear > 0.0:
            reals["price"] = array("d", reals["price"])
            for place in range(j, len(reals["price"]), width):
                if reals["duration"][place] < inf:
                    reals["price"][place] += dear * reals["duration"][place]


def _set_edges(ints: dict[str, array[int]], reals: dict[str, array[float]], instance: Instance) -> None:
    """Edges by target, then by source; `output` lists those of each source."""
    edges = sorted(instance.edges, key=lambda edge: (edge.target, edge.source))
    count = len(instance.tasks)
    into, out_of = [0] * count, [0] * count
    for edge in edges:
        into[edge.target] += 1
        out_of[edge.source] += 1
    output = sorted(range(len(edges)), key=lambda k: edges[k].source)
    ints["source"] = array("i", [edge.source for edge in edges])
    ints["target"] = array("i", [edge.target for edge in edges])
    ints["inputs"] = array("i", [0, *accumulate(into)])
    ints["outputs"] = array("i", [0, *accumulate(out_of)])
    ints["output"] = array("i", output)
    reals["bits"] = array("d", [edge.bits for edge in edges])
    reals["transfer"] = array("d", chain.from_iterable((*edge.transfer_ms, 0.0) for edge in edges))


def _set_ways(ints: dict[str, array[int]], reals: dict[str, array[float]], instance: Instance) -> None:
    """What lies between nodes, [from][to], and what a channel's time costs."""
    joule = (1.0 - instance.weight) / instance.local_energy_j
    width, within = len(instance.nodes), len(instance.channels)
    # Within a node the channel is one more than there are, which costs and takes nothing: nobody has to ask.
    channel = [within if c is None else c for c in chain.from_iterable(instance.channel)]
    latency = array("d", chain.from_iterable(instance.latency_ms))
    bit_energy = array("d", chain.from_iterable(instance.energy_j_per_bit))
    for place in range(0, width * width, width + 1):
        channel[place], latency[place], bit_energy[place] = within, 0.0, 0.0
    ints["channel"] = array("i", channel)
    reals |= {"latency": latency, "bit_energy": bit_energy}
    reals["bit_price"] = array("d", [joule * spent for spent in bit_energy])
    reals["channel_price"] = array("d", bytes(8 * (within + 1)))


def _set_resources(
    ints: dict[str, array[int]], reals: dict[str, array[float]], instance: Instance, loads: Loads
) -> None:
    """Slots of nodes, then channels of exclusive use: where their spans lie, until when they are busy."""
    slots = [node.slots or 0 for node in instance.nodes]
    until = [time for node in instance.nodes for time in _slots_until(node, loads)]
    room = [len(instance.tasks) + 2] * len(until)
    resource = []
    for name in instance.channels:
        resource.append(-1 if name == BACKBONE else len(until))
        if name != BACKBONE:
            until.append(_bounded(loads.channel_until_ms.get(name, 0.0)))
            room.append(len(instance.edges) + 2)
    ints["slot_first"] = array("i", [0, *accumulate(slots)][:-1])
    ints["slot_count"] = array("i", slots)
    ints["channel_resource"] = array("i", [*resource, -1])
    ints["offset"] = array("i", [0, *accumulate(room)])
    ints["count"] = array("i", [int(time > 0.0) for time in until])
    reals["busy_until"] = array("d", until)


def _slots_until(node: Node, loads: Loads) -> list[float]:
    given = loads.busy_until_ms.get(node.id, ())
    return [_bounded(time) for time in (*given, *[0.0] * (node.slots or 0))][: node.slots or 0]


def _bounded(time: float) -> float:
    """A time to be free again, from another machine's report; what is no number says nothing."""
    return min(float(time), MAX_NUMBER) if time > 0.0 else 0.0
