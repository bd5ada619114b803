"""From the kernel's arrays to a schedule."""

from __future__ import annotations

from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.timetable import Assignment, Schedule, Transfer


def read_out(instance: Instance, placed: Decoder, method: str, evaluations: int) -> Schedule:
    """What a decoder holds, once all of it is decoded."""
    # As lists: the items of a compiled decoder's arrays are made anew at each access.
    nodes, order = memoryview(placed.node).tolist(), memoryview(placed.order).tolist()
    start, finish = memoryview(placed.start).tolist(), memoryview(placed.finish).tolist()
    ids, names = [task.id for task in instance.tasks], [node.id for node in instance.nodes]
    channels = instance.channels
    end, spent = finish[instance.sink], placed.joules()
    tasks = [(ids[i], names[nodes[i]], start[i], finish[i]) for i in order]
    sent = [(ids[u], ids[v], channels[c], at, ms, there) for u, v, c, at, ms, there in placed.transfers()]
    return Schedule(
        assignments=tuple(map(Assignment._make, tasks)),
        transfers=tuple(map(Transfer._make, sent)),
        finish_ms=end,
        energy_j=spent,
        cost=instance.cost(end, spent),
        method=method,
        searched=placed.spent() + placed.time_cost(end),
        evaluations=evaluations,
    )
