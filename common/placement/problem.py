"""An instance under a load, as the flat arrays that the kernel reads.

Everything beside time is folded into prices in units of J: of a task on a node (energy, and the congestion
price of its time there), of a bit between two nodes, of a channel's time.
"""

from __future__ import annotations

from array import array
from itertools import accumulate, chain
from math import inf

from common.placement.errors import Unplaceable
from common.placement.instance import BACKBONE, Instance, Node
from common.placement.kernel.decoder import Decoder
from common.placement.loads import Loads


def decoder(instance: Instance, loads: Loads | None = None) -> Decoder:
    """A decoder for the instance, its tasks in topological order, all on their first possible node.

    Raises Unplaceable when a task has none that lives.
    """
    loads = loads or Loads()
    ints: dict[str, array[int]] = {}
    reals: dict[str, array[float]] = {}
    _set_tasks(reals, instance, loads)
    _set_edges(ints, reals, instance)
    _set_ways(ints, reals, instance, loads)
    _set_resources(ints, reals, instance, loads)
    result = Decoder(ints, reals, _scalars(instance, loads))
    for position, task in enumerate(instance.order):
        result.order[position] = task
    return result


def _scalars(instance: Instance, loads: Loads) -> dict[str, float]:
    deadline = inf if loads.deadline_ms is None else loads.deadline_ms
    late_rate = loads.late_cost / deadline if 0.0 < deadline < inf else 0.0
    return {
        "tasks": len(instance.tasks),
        "nodes": len(instance.nodes),
        "channels": max(len(instance.channels), 1),
        "sink": instance.sink,
        "rate": instance.weight / instance.local_time_ms,
        "release": loads.release_ms,
        "deadline": deadline,
        "late_rate": late_rate,
        "late_fixed": loads.late_cost,
    }


def _set_tasks(reals: dict[str, array[float]], instance: Instance, loads: Loads) -> None:
    """`duration` and `price`, [task][node]; both are infinite where the task may not run."""
    duration = array("d", chain.from_iterable(task.duration_ms for task in instance.tasks))
    joule = (1.0 - instance.weight) / instance.local_energy_j
    price = array("d", [joule * spent for task in instance.tasks for spent in task.energy_j])
    busy = [loads.price(node.id) * instance.weight / instance.local_time_ms for node in instance.nodes]
    width = len(instance.nodes)
    if any(busy):
        for place in range(len(price)):
            price[place] += busy[place % width] * duration[place]
    _forbid(instance, loads, duration, price)
    reals |= {"duration": duration, "price": price}


def _forbid(instance: Instance, loads: Loads, duration: array[float], price: array[float]) -> None:
    width = len(instance.nodes)
    dead = {j for j, node in enumerate(instance.nodes) if node.id in loads.dead}
    unable = inf in duration
    for i, task in enumerate(instance.tasks):
        if task.pinned is None and not dead and not unable:
            continue
        able = [j for j in range(width) if task.may_run_on(j) and j not in dead]
        if not able:
            raise Unplaceable(f"task {task.id}: no node that may run it is alive")
        for j in set(range(width)).difference(able):
            duration[i * width + j] = price[i * width + j] = inf


def _set_edges(ints: dict[str, array[int]], reals: dict[str, array[float]], instance: Instance) -> None:
    """Edges by target, then by source, as they are sent; `output` lists those of each source."""
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
    ints["output"] = array("i", output or [0])
    reals["bits"] = array("d", [edge.bits for edge in edges] or [0.0])
    reals["transfer"] = array("d", [*chain.from_iterable(edge.transfer_ms for edge in edges)] or [0.0])


def _set_ways(
    ints: dict[str, array[int]], reals: dict[str, array[float]], instance: Instance, loads: Loads
) -> None:
    """What lies between nodes, [from][to], and what a channel's time costs."""
    joule = (1.0 - instance.weight) / instance.local_energy_j
    ms = instance.weight / instance.local_time_ms
    # Within a node nothing is looked up: any channel serves.
    channel = [0 if c is None else c for c in chain.from_iterable(instance.channel)]
    ints["channel"] = array("i", channel)
    reals["latency"] = array("d", chain.from_iterable(instance.latency_ms))
    reals["bit_price"] = array("d", [joule * x for x in chain.from_iterable(instance.energy_j_per_bit)])
    reals["channel_price"] = array("d", [ms * loads.price(name) for name in instance.channels] or [0.0])


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
            until.append(loads.channel_until_ms.get(name, 0.0))
            room.append(len(instance.edges) + 2)
    ints["slot_first"] = array("i", [0, *accumulate(slots)][:-1])
    ints["slot_count"] = array("i", slots)
    ints["channel_resource"] = array("i", resource or [-1])
    ints["offset"] = array("i", [0, *accumulate(room)])
    ints["count"] = array("i", [int(time > 0.0) for time in until])
    reals["busy_until"] = array("d", until or [0.0])


def _slots_until(node: Node, loads: Loads) -> list[float]:
    given = loads.busy_until_ms.get(node.id, ())
    return [float(time) for time in (*given, *[0.0] * (node.slots or 0))][: node.slots or 0]
