"""From the kernel's arrays to a schedule, and what a schedule's assignment spends."""

from __future__ import annotations

from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.timetable import Assignment, Schedule, Transfer


def read_out(instance: Instance, placed: Decoder, method: str, evaluations: int) -> Schedule:
    """What a decoder holds, once all of it is decoded."""
    nodes, start, finish = list(placed.node), list(placed.start), list(placed.finish)
    ids, names = [task.id for task in instance.tasks], [node.id for node in instance.nodes]
    end, spent = finish[instance.sink], energy(instance, nodes)
    return Schedule(
        assignments=tuple([Assignment(ids[i], names[nodes[i]], start[i], finish[i]) for i in placed.order]),
        transfers=tuple(_transfers(instance, placed, ids, nodes)),
        finish_ms=end,
        energy_j=spent,
        cost=instance.cost(end, spent),
        method=method,
        searched=placed.spent() + placed.time_cost(end),
        evaluations=evaluations,
    )


def _transfers(instance: Instance, placed: Decoder, ids: list[str], nodes: list[int]) -> list[Transfer]:
    found = []
    sent, length = list(placed.sent), placed.transfer
    for k, (source, target) in enumerate(zip(placed.source, placed.target, strict=True)):
        a, b = nodes[source], nodes[target]
        if a != b:
            channel = instance.channel[a][b] or 0
            takes = length[k * placed.channels + channel]
            there = sent[k] + takes + instance.latency_ms[a][b]
            name = instance.channels[channel]
            found.append(Transfer(ids[source], ids[target], name, sent[k], takes, there))
    return found


def energy(instance: Instance, nodes: list[int]) -> float:
    """Joules of an assignment: the tasks', and those of the bits between nodes."""
    spent = 0.0
    for task, node in zip(instance.tasks, nodes, strict=True):
        spent += task.energy_j[node]
    for edge in instance.edges:
        a, b = nodes[edge.source], nodes[edge.target]
        if a != b:
            spent += edge.bits * instance.energy_j_per_bit[a][b]
    return spent
