"""A list schedule for graphs too large to search: bounded by tasks, edges and nodes alone.

Nodes are chosen by the earliest finish and the price, with every channel and slot taken to be free from its
last use on; what comes of it is then decoded with its gaps.
"""

from __future__ import annotations

from math import inf

from common.placement.instance import Instance
from common.placement.kernel.decoder import Decoder
from common.placement.loads import Loads
from common.placement.problem import decoder
from common.placement.reading import read_out
from common.placement.timetable import Schedule


def hasty(instance: Instance, loads: Loads | None = None) -> Schedule:
    """One pass in topological order of urgency. Raises Unplaceable."""
    placed = decoder(instance, loads)
    _order_by_urgency(placed)
    _Choice(placed).make()
    placed.measure_tails()
    _decode(placed)
    return read_out(instance, placed, "hasty", 1)


def _order_by_urgency(placed: Decoder) -> None:
    """By what is to come after each task's start; sorting is stable, so no task passes one it needs."""
    placed.measure_tails()
    tail, duration, node = list(placed.tail), placed.duration, list(placed.node)
    width = placed.nodes
    urgency = [tail[i] + duration[i * width + node[i]] for i in range(placed.tasks)]
    for place, i in enumerate(sorted(placed.order, key=lambda i: -urgency[i])):
        placed.order[place] = i


def _decode(placed: Decoder) -> None:
    placed.clear()
    placed.decode(0, inf)


class _Choice:
    """When slots and channels are free again, and when tasks are done, as far as they are placed."""

    def __init__(self, placed: Decoder) -> None:
        self.placed = placed
        self.free = list(placed.last0)
        self.finish = [0.0] * placed.tasks
        # As lists: these are read millions of times without a compiler.
        self.duration, self.price = list(placed.duration), list(placed.price)
        self.transfer, self.latency = list(placed.transfer), list(placed.latency)
        self.channel, self.source = list(placed.channel), list(placed.source)
        self.inputs, self.resource = list(placed.inputs), list(placed.channel_resource)
        self.slots = [
            range(first, first + count)
            for first, count in zip(placed.slot_first, placed.slot_count, strict=True)
        ]
        self.node, self.width = list(placed.node), placed.nodes

    def make(self) -> None:
        """Choose a node for each task, in the decoder's order."""
        width = self.placed.nodes
        for i in list(self.placed.order):
            able = [j for j in range(width) if self.price[i * width + j] < inf]
            # The first of equals.
            self._take(i, min(able, key=lambda j: self._score(i, j)))

    def _score(self, i: int, j: int) -> float:
        placed = self.placed
        place = i * self.width + j
        begin, cost = max(self._arrival(i, j, None), self._slot(j)[0]), self.price[place]
        for k in range(self.inputs[i], self.inputs[i + 1]):
            cost += placed.edge_cost(k, self.node[self.source[k]], j)
        return placed.time_cost(begin + self.duration[place]) + cost

    def _arrival(self, i: int, j: int, book: list[float] | None) -> float:
        """When all inputs of task i are on node j; `book` is told how long channels are busy."""
        placed, ready = self.placed, self.placed.release
        for k in range(self.inputs[i], self.inputs[i + 1]):
            a, there = self.node[self.source[k]], self.finish[self.source[k]]
            if a != j:
                c = self.channel[a * self.width + j]
                length, r = self.transfer[k * placed.channels + c], self.resource[c]
                if r >= 0 and length > 0.0:
                    there = max(there, self.free[r])
                    if book is not None:
                        book[r] = there + length
                there += length + self.latency[a * self.width + j]
            ready = max(ready, there)
        return ready

    def _slot(self, j: int) -> tuple[float, int]:
        """When node j has a slot free, and which; -1: it has no limit."""
        return min(((self.free[r], r) for r in self.slots[j]), default=(0.0, -1))

    def _take(self, i: int, j: int) -> None:
        free, slot = self._slot(j)
        begin = max(self._arrival(i, j, self.free), free)
        self.placed.node[i] = self.node[i] = j
        self.finish[i] = begin + self.duration[i * self.width + j]
        if slot >= 0:
            self.free[slot] = self.finish[i]
