"""Decoding: an order of the tasks and a node for each become start times, and those a cost.

The hot loop of placement. Plain Python over flat arrays, typed for a compiler in decoder.pxd: compiled and
interpreted it does the same operations in the same order, on IEEE doubles without contraction, so results
are equal to the last bit. What the numbers mean is told in `common/placement/problem.py`.
"""

from __future__ import annotations

from array import array
from math import inf


class Decoder:
    """One graph under one load, an order and an assignment of its tasks, and the busy spans they lead to.

    Spans lie in `first` and `last`, those of a resource from `offset[r]` on, `count[r]` of them, sorted,
    disjoint, never touching (spans that touch are one). A copy of those before some position is kept aside in
    `kept_*`: a search that changes what comes after begins from there.
    """

    def __init__(
        self, ints: dict[str, array[int]], reals: dict[str, array[float]], scalars: dict[str, float]
    ) -> None:
        self.tasks = int(scalars["tasks"])
        self.nodes = int(scalars["nodes"])
        self.channels = int(scalars["channels"])
        self.sink = int(scalars["sink"])
        self.rate = scalars["rate"]
        self.release = scalars["release"]
        self.deadline = scalars["deadline"]
        self.late_rate = scalars["late_rate"]
        self.late_fixed = scalars["late_fixed"]
        self.never = inf
        self.duration = reals["duration"]
        self.price = reals["price"]
        self.transfer = reals["transfer"]
        self.bits = reals["bits"]
        self.latency = reals["latency"]
        self.bit_price = reals["bit_price"]
        self.channel_price = reals["channel_price"]
        self.source = ints["source"]
        self.target = ints["target"]
        self.inputs = ints["inputs"]
        self.outputs = ints["outputs"]
        self.output = ints["output"]
        self.channel = ints["channel"]
        self.channel_resource = ints["channel_resource"]
        self.slot_first = ints["slot_first"]
        self.slot_count = ints["slot_count"]
        self.offset = ints["offset"]
        self.count0 = ints["count"]
        self.last0 = reals["busy_until"]
        self._make_room()

    def _make_room(self) -> None:
        edges, resources = len(self.source), len(self.count0)
        room = self.offset[resources]
        self.resources = resources
        self.order = array("i", range(self.tasks))
        self.position = array("i", range(self.tasks))
        self.node = array("i", bytes(4 * self.tasks))
        self.start = array("d", bytes(8 * self.tasks))
        self.finish = array("d", bytes(8 * self.tasks))
        self.tail = array("d", bytes(8 * self.tasks))
        self.queue = array("i", range(edges))
        self.sent = array("d", bytes(8 * max(edges, 1)))
        self.count = array("i", bytes(4 * max(resources, 1)))
        self.first = array("d", bytes(8 * max(room, 1)))
        self.last = array("d", bytes(8 * max(room, 1)))
        self.kept_count = array("i", bytes(4 * max(resources, 1)))
        self.kept_first = array("d", bytes(8 * max(room, 1)))
        self.kept_last = array("d", bytes(8 * max(room, 1)))

    def clear(self) -> None:
        """No task has been placed: only what was busy before is."""
        for r in range(self.resources):
            self.count[r] = self.count0[r]
            if self.count0[r] > 0:
                self.first[self.offset[r]] = -self.never
                self.last[self.offset[r]] = self.last0[r]

    def keep(self) -> None:
        """Put the spans aside."""
        for r in range(self.resources):
            low = self.offset[r]
            high = low + self.count[r]
            self.kept_count[r] = self.count[r]
            for x in range(low, high):
                self.kept_first[x] = self.first[x]
                self.kept_last[x] = self.last[x]

    def restore(self) -> None:
        """Take the spans back that were put aside."""
        for r in range(self.resources):
            low = self.offset[r]
            high = low + self.kept_count[r]
            self.count[r] = self.kept_count[r]
            for x in range(low, high):
                self.first[x] = self.kept_first[x]
                self.last[x] = self.kept_last[x]

    def gap(self, r: int, ready: float, length: float) -> int:
        """Before which span the first gap of `length` after `ready` lies; `at` is when it begins."""
        low = self.offset[r]
        high = low + self.count[r]
        x = high
        while x > low and self.last[x - 1] > ready:
            x -= 1
        begin = ready
        while x < high and self.first[x] < begin + length:
            begin = self.last[x]
            x += 1
        self.at = begin
        return x

    def book(self, r: int, x: int, begin: float, end: float) -> None:
        """Make a gap busy that `gap` found: a new span before `x`, or one of its neighbours longer."""
        low = self.offset[r]
        high = low + self.count[r]
        left = x > low and self.last[x - 1] >= begin
        right = x < high and self.first[x] <= end
        if left and right:
            self.last[x - 1] = self.last[x]
            for y in range(x, high - 1):
                self.first[y] = self.first[y + 1]
                self.last[y] = self.last[y + 1]
            self.count[r] -= 1
        elif left:
            self.last[x - 1] = end
        elif right:
            self.first[x] = begin
        else:
            y = high
            while y > x:
                self.first[y] = self.first[y - 1]
                self.last[y] = self.last[y - 1]
                y -= 1
            self.first[x] = begin
            self.last[x] = end
            self.count[r] += 1

    def place(self, i: int) -> float:
        """Task i on its node as early as it goes, its inputs sent as they are made. Its finish."""
        j = self.node[i]
        ready = self.release
        self.queue_inputs(i)
        for y in range(self.inputs[i], self.inputs[i + 1]):
            k = self.queue[y]
            made = self.finish[self.source[k]]
            a = self.node[self.source[k]]
            if a != j:
                c = self.channel[a * self.nodes + j]
                length = self.transfer[k * self.channels + c]
                r = self.channel_resource[c]
                if r >= 0 and length > 0.0:
                    x = self.gap(r, made, length)
                    made = self.at
                    self.book(r, x, made, made + length)
                self.sent[k] = made
                made = made + length + self.latency[a * self.nodes + j]
            if made > ready:
                ready = made
        length = self.duration[i * self.nodes + j]
        if length > 0.0 and self.slot_count[j] > 0:
            ready = self._take_slot(j, ready, length)
        self.start[i] = ready
        self.finish[i] = ready + length
        return ready + length

    def queue_inputs(self, i: int) -> None:
        """Put the inputs of task i in the order in which they are made, the lower edge first of equals."""
        low = self.inputs[i]
        for y in range(low + 1, self.inputs[i + 1]):
            k = self.queue[y]
            made = self.finish[self.source[k]]
            x = y
            while x > low:
                before = self.finish[self.source[self.queue[x - 1]]]
                if before < made or (before == made and self.queue[x - 1] < k):
                    break
                self.queue[x] = self.queue[x - 1]
                x -= 1
            self.queue[x] = k

    def _take_slot(self, j: int, ready: float, length: float) -> float:
        """Book the slot of node j that is free first, the lowest of equals. When it is."""
        best = self.slot_first[j]
        where = self.gap(best, ready, length)
        earliest = self.at
        for r in range(best + 1, self.slot_first[j] + self.slot_count[j]):
            if earliest <= ready:
                break
            x = self.gap(r, ready, length)
            if self.at < earliest:
                best = r
                where = x
                earliest = self.at
        self.book(best, where, earliest, earliest + length)
        return earliest

    def decode(self, begin: int, latest: float) -> float:
        """Place the tasks from a position on. The sink's finish; infinite once it must be after `latest`."""
        for p in range(begin, self.tasks):
            i = self.order[p]
            if self.place(i) + self.tail[i] > latest:
                return self.never
        return self.finish[self.sink]

    def measure_tails(self) -> None:
        """For each task the least time from its finish to the sink's, were no channel and no slot busy."""
        for i in range(self.tasks):
            self.tail[i] = -self.never
        self.tail[self.sink] = 0.0
        for p in range(self.tasks - 1, -1, -1):
            self.measure_tail(self.order[p])

    def measure_tail(self, i: int) -> None:
        """The same for one task, from those of its successors."""
        longest = -self.never
        if i == self.sink:
            longest = 0.0
        j = self.node[i]
        for y in range(self.outputs[i], self.outputs[i + 1]):
            k = self.output[y]
            s = self.target[k]
            b = self.node[s]
            rest = self.duration[s * self.nodes + b] + self.tail[s]
            if b != j:
                c = self.channel[j * self.nodes + b]
                rest += self.transfer[k * self.channels + c] + self.latency[j * self.nodes + b]
            if rest > longest:
                longest = rest
        self.tail[i] = longest

    def edge_cost(self, k: int, a: int, b: int) -> float:
        """What sending edge k's data from node a to node b costs: energy, and use of a busy channel."""
        if a == b:
            return 0.0
        c = self.channel[a * self.nodes + b]
        dear = self.bits[k] * self.bit_price[a * self.nodes + b]
        return dear + self.transfer[k * self.channels + c] * self.channel_price[c]

    def task_cost(self, i: int, j: int) -> float:
        """What task i costs on node j beside time, its inputs and outputs included."""
        cost = self.price[i * self.nodes + j]
        for k in range(self.inputs[i], self.inputs[i + 1]):
            cost += self.edge_cost(k, self.node[self.source[k]], j)
        for y in range(self.outputs[i], self.outputs[i + 1]):
            k = self.output[y]
            cost += self.edge_cost(k, j, self.node[self.target[k]])
        return cost

    def spent(self) -> float:
        """The cost of the whole assignment beside time."""
        cost = 0.0
        for i in range(self.tasks):
            j = self.node[i]
            cost += self.price[i * self.nodes + j]
            for k in range(self.inputs[i], self.inputs[i + 1]):
                cost += self.edge_cost(k, self.node[self.source[k]], j)
        return cost

    def time_cost(self, finish: float) -> float:
        """The cost of finishing then: the weighted time, and more past the deadline."""
        cost = self.rate * finish
        if finish > self.deadline:
            cost += self.late_fixed + self.late_rate * (finish - self.deadline)
        return cost

    def latest_for(self, cost: float) -> float:
        """The latest finish that costs no more; minus infinity when none does."""
        if cost < 0.0:
            return -self.never
        rate = self.rate
        latest = cost / rate if rate > 0.0 else self.never
        if latest <= self.deadline:
            return latest
        left = cost - self.late_fixed - rate * self.deadline
        if left <= 0.0:
            return self.deadline
        rate += self.late_rate
        return self.deadline + left / rate if rate > 0.0 else self.never
