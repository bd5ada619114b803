"""Critical path on a processor (Topcuoglu, Hariri, Wu 2002): the critical path stays on one node."""

from __future__ import annotations

from math import inf

from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.listing import finished
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.ranks import by_rank, downward, upward
from common.placement.timetable import Schedule

_NEAR = 1e-9
"""Relative: ranks that differ by less are those of one path."""


def cpop(instance: Instance, loads: Loads | None = None) -> Schedule:
    """Tasks of the critical path on the node that runs them fastest, others where they finish first."""
    placed = decoder(instance, loads)
    rank = [up + down for up, down in zip(upward(placed), downward(placed), strict=True)]
    path = _critical_path(placed, rank)
    home = _fastest_for(placed, path)
    for place, i in enumerate(by_rank(placed, rank)):
        placed.order[place] = i
    placed.clear()
    for i in list(placed.order):
        able = [j for j in range(placed.nodes) if placed.price[i * placed.nodes + j] < inf]
        _put(placed, i, [home] if i in path and home in able else able)
    return finished(instance, placed, "cpop")


def _critical_path(placed: Decoder, rank: list[float]) -> set[int]:
    """From an entry of the highest rank on through successors of the same rank."""
    entries = [i for i in placed.order if placed.inputs[i] == placed.inputs[i + 1]]
    task = max(entries, key=lambda i: rank[i])
    highest, path = rank[task], {task}
    while True:
        after = [
            placed.target[placed.output[y]] for y in range(placed.outputs[task], placed.outputs[task + 1])
        ]
        after = [i for i in after if abs(rank[i] - highest) <= _NEAR * highest]
        if not after:
            return path
        task = after[0]
        path.add(task)


def _fastest_for(placed: Decoder, path: set[int]) -> int:
    """The node with the least sum of durations; infinite ones, of pinned tasks, do not count."""
    width = placed.nodes

    def total(j: int) -> tuple[int, float]:
        spent = [placed.duration[i * width + j] for i in sorted(path)]
        return sum(ms == inf for ms in spent), sum(ms for ms in spent if ms < inf)

    return min(range(width), key=total)


def _put(placed: Decoder, i: int, nodes: list[int]) -> None:
    """Task i where it finishes first, the lowest node of equals."""
    logged = placed.logged
    best, least = nodes[0], inf
    for j in nodes:
        placed.node[i] = j
        finish = placed.place(i)
        placed.undo(logged)
        if finish < least:
            best, least = j, finish
    placed.node[i] = best
    placed.place(i)
