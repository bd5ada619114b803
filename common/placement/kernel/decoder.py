"""Decoding: an order of the tasks and a node for each become start times, and those a cost.

The hot loop of placement. Plain Python over flat arrays, typed for a compiler in decoder.pxd: compiled and
interpreted it does the same operations in the same order, on IEEE doubles without contraction, so results
are equal to the last bit. What the numbers mean is told in `common/placement/problem.py`.
"""

from __future__ import annotations

from math import inf

from common.placement.kernel.graph import Graph, Room


class Decoder:
    """One graph under one load, an order and an assignment of its tasks, and the busy spans they lead to.

    Spans lie in `first` and `last`, those of a resource from `offset[r]` on, `count[r]` of them, sorted,
    disjoint. Every booking is logged, so that the last ones can be
    taken back: a search that changes what comes after a position begins from there.
    """

    def __init__(self, graph: Graph) -> None:
        self.never = inf
        self.at = 0.0
        self._read(graph)
        self._make_room(graph)

    def _read(self, graph: Graph) -> None:
        self.tasks = graph.tasks
        self.nodes = graph.nodes
        self.channels = graph.channels
        self.congested = graph.congested
        self.sink = graph.sink
        self.resources = graph.resources
        self.rate = graph.rate
        self.release = graph.release
        self.deadline = graph.deadline
        self.late_rate = graph.late_rate
        self.late_fixed = graph.late_fixed
        self.duration = graph.duration
        self.price = graph.price
        self.transfer = graph.transfer
        self.bits = graph.bits
        self.latency = graph.latency
        self.bit_price = graph.bit_price
        self.channel_price = graph.channel_price
        self.last0 = graph.last0
        self.energy = graph.energy
        self.bit_energy = graph.bit_energy
        self.source = graph.source
        self.target = graph.target
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        self.output = graph.output
        self.channel = graph.channel
        self.channel_resource = graph.channel_resource
        self.slot_first = graph.slot_first
        self.slot_count = graph.slot_count
        self.offset = graph.offset
        self.count0 = graph.count0

    def _make_room(self, graph: Graph) -> None:
        """All of what changes, from home on."""
        edges = len(self.source)
        spans = self.offset[self.resources]
        booked = self.tasks + edges
        given = Room(4 * self.tasks + edges + self.resources + 2 * booked, 3 * self.tasks + edges + 2 * spans)
        self.order = given.whole(self.tasks)
        self.position = given.whole(self.tasks)
        self.node = given.whole(self.tasks)
        self.queue = given.whole(edges)
        self.count = given.whole(self.resources)
        self.mark = given.whole(self.tasks)
        self.log_resource = given.whole(booked)
        self.log_place = given.whole(booked)
        self.start = given.real(self.tasks)
        self.finish = given.real(self.tasks)
        self.tail = given.real(self.tasks)
        self.sent = given.real(edges)
        self.first = given.real(spans)
        self.last = given.real(spans)
        self.logged = 0
        for k in range(edges):
            self.queue[k] = k
        for i in range(self.tasks):
            self.order[i] = graph.home_order[i]
            self.node[i] = graph.home_node[i]
            self.position[i] = i

    def clear(self) -> None:
        """No task has been placed: only what was busy before is."""
        self.logged = 0
        for r in range(self.resources):
            self.count[r] = self.count0[r]
            if self.count0[r] > 0:
                self.first[self.offset[r]] = -self.never
                self.last[self.offset[r]] = self.last0[r]

    def undo(self, logged: int) -> None:
        """Take bookings back, the last first, until so many are left."""
        while self.logged > logged:
            self.logged -= 1
            r = self.log_resource[self.logged]
            x = self.log_place[self.logged]
            self.count[r] -= 1
            high = self.offset[r] + self.count[r]
            while x < high:
                self.first[x] = self.first[x + 1]
                self.last[x] = self.last[x + 1]
                x += 1

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
        """Make a gap busy that `gap` found: a new span before `x`."""
        y = self.offset[r] + self.count[r]
        self.count[r] += 1
        self.log_resource[self.logged] = r
        self.log_place[self.logged] = x
        self.logged += 1
        while y > x:
            self.first[y] = self.first[y - 1]
            self.last[y] = self.last[y - 1]
            y -= 1
        self.first[x] = begin
        self.last[x] = end

    def place(self, i: int) -> float:
        """Task i on its node as early as it goes, its inputs sent as they are made. Its finish."""
        j = self.node[i]
        ready = self.release
        if self.inputs[i + 1] - self.inputs[i] > 1:
            self.queue_inputs(i)
        for y in range(self.inputs[i], self.inputs[i + 1]):
            k = self.queue[y]
            made = self.finish[self.source[k]]
            a = self.node[self.source[k]]
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
            self.mark[p] = self.logged
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
            c = self.channel[j * self.nodes + b]
            rest = self.transfer[k * self.channels + c] + self.latency[j * self.nodes + b]
            rest += self.duration[s * self.nodes + b] + self.tail[s]
            if rest > longest:
                longest = rest
        self.tail[i] = longest

    def edge_cost(self, k: int, a: int, b: int) -> float:
        """What sending edge k's data from node a to node b costs: energy, and use of a busy channel."""
        dear = self.bits[k] * self.bit_price[a * self.nodes + b]
        if self.congested:
            c = self.channel[a * self.nodes + b]
            dear += self.transfer[k * self.channels + c] * self.channel_price[c]
        return dear

    def task_cost(self, i: int, j: int) -> float:
        """What task i costs on node j beside time, its inputs and outputs included."""
        cost = self.price[i * self.nodes + j]
        for k in range(self.inputs[i], self.inputs[i + 1]):
            cost += self.edge_cost(k, self.node[self.source[k]], j)
        for y in range(self.outputs[i], self.outputs[i + 1]):
            k = self.output[y]
            cost += self.edge_cost(k, j, self.node[self.target[k]])
        return cost

    def move_cost(self, i: int, j: int) -> float:
        """What it costs beside time that task i leaves its node for node j."""
        was = self.node[i]
        cost = self.price[i * self.nodes + j] - self.price[i * self.nodes + was]
        for k in range(self.inputs[i], self.inputs[i + 1]):
            a = self.node[self.source[k]]
            cost += self.edge_cost(k, a, j) - self.edge_cost(k, a, was)
        for y in range(self.outputs[i], self.outputs[i + 1]):
            k = self.output[y]
            b = self.node[self.target[k]]
            cost += self.edge_cost(k, j, b) - self.edge_cost(k, was, b)
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

    def joules(self) -> float:
        """The energy of the assignment."""
        spent = 0.0
        for i in range(self.tasks):
            spent += self.energy[i * self.nodes + self.node[i]]
        for k in range(len(self.source)):
            a = self.node[self.source[k]]
            b = self.node[self.target[k]]
            spent += self.bits[k] * self.bit_energy[a * self.nodes + b]
        return spent

    def transfers(self) -> list[tuple[int, int, int, float, float, float]]:
        """Of each edge between two nodes: tasks, channel, when it is sent, how long, when it is there."""
        found = []
        for k in range(len(self.source)):
            u = self.source[k]
            v = self.target[k]
            x = self.node[u] * self.nodes + self.node[v]
            if self.node[u] != self.node[v]:
                c = self.channel[x]
                takes = self.transfer[k * self.channels + c]
                there = self.sent[k] + takes + self.latency[x]
                found.append((u, v, c, self.sent[k], takes, there))
        return found

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
