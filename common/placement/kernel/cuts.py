"""Graph cuts: which tasks had better move to a node together.

With the cost of time taken as a sum over tasks and transfers instead of the longest path, the cheapest set of
tasks to move to one node is a minimum cut (Boykov, Veksler, Zabih: Fast approximate energy minimization via
graph cuts, 2001: alpha expansion). Clusters that talk much move as one, which no change of single tasks does.
The flow is Dinic's, over the graph's edges.
"""

from __future__ import annotations

from common.placement.kernel.decoder import Decoder
from common.placement.kernel.graph import Room


class Cuts:
    """Moves sets of tasks of a decoder's assignment; `share` of their time is counted as the graph's."""

    def __init__(self, decoder: Decoder) -> None:
        self.d = decoder
        self.share = 1.0
        self.much = 1e18
        self.little = 1e-13
        self._make_room()

    def _make_room(self) -> None:
        tasks = self.d.tasks
        edges = len(self.d.source)
        given = Room(3 * tasks, 2 * edges + 2 * tasks)
        self.forth = given.real(edges)
        self.back = given.real(edges)
        self.excess = given.real(tasks)
        self.bias = given.real(tasks)
        self.level = given.whole(tasks)
        self.queue = given.whole(tasks)
        self.arc = given.whole(tasks)
        for i in range(tasks):
            self.bias[i] = 1.0

    def expand(self, alpha: int) -> int:
        """Move the tasks to node `alpha` whose moving together saves most. How many moved."""
        self.fill(alpha)
        while self.spread():
            self.push_all()
        moved = 0
        for i in range(self.d.tasks):
            if self.level[i] < 0 and self.d.node[i] != alpha:
                self.d.node[i] = alpha
                moved += 1
        return moved

    def fill(self, alpha: int) -> None:
        """Capacities: a task that stays is on the source's side, one that moves on the sink's."""
        d = self.d
        for i in range(d.tasks):
            here = i * d.nodes + d.node[i]
            there = i * d.nodes + alpha
            if d.node[i] == alpha:
                self.excess[i] = -self.much
            elif d.price[there] >= self.much:
                self.excess[i] = self.much
            else:
                slower = d.duration[there] - d.duration[here]
                self.excess[i] = d.price[there] - d.price[here] + self.share * self.bias[i] * d.rate * slower
        for k in range(len(d.source)):
            u = d.source[k]
            v = d.target[k]
            stay = self.sending(k, d.node[u], d.node[v])
            second = self.sending(k, d.node[u], alpha)
            first = self.sending(k, alpha, d.node[v])
            self.excess[u] += first - stay
            self.excess[v] -= first
            self.back[k] = 0.0
            # Below zero no cut would be minimal: such an edge is free. The result is weighed anyway.
            self.forth[k] = first + second - stay if first + second > stay else 0.0

    def sending(self, k: int, a: int, b: int) -> float:
        """What edge k costs between two nodes, its share of time included."""
        d = self.d
        c = d.channel[a * d.nodes + b]
        takes = d.transfer[k * d.channels + c] + d.latency[a * d.nodes + b]
        return d.edge_cost(k, a, b) + self.share * self.bias[d.target[k]] * d.rate * takes

    def spread(self) -> bool:
        """Levels of the tasks by distance from the source, -1 unreached. Whether the sink is reached."""
        d = self.d
        tail = 0
        for i in range(d.tasks):
            self.level[i] = -1
            self.arc[i] = 0
            if self.excess[i] > self.little:
                self.level[i] = 0
                self.queue[tail] = i
                tail += 1
        head = 0
        reached = False
        while head < tail:
            i = self.queue[head]
            head += 1
            if self.excess[i] < -self.little:
                reached = True
            for x in range(self.degree(i)):
                j = self.neighbour(i, x)
                if self.level[j] < 0 and self.room(i, x) > self.little:
                    self.level[j] = self.level[i] + 1
                    self.queue[tail] = j
                    tail += 1
        return reached

    def degree(self, i: int) -> int:
        """How many edges task i has."""
        d = self.d
        return d.outputs[i + 1] - d.outputs[i] + d.inputs[i + 1] - d.inputs[i]

    def neighbour(self, i: int, x: int) -> int:
        """The task at the other end of the x-th edge of task i: outputs first."""
        d = self.d
        out = d.outputs[i + 1] - d.outputs[i]
        if x < out:
            return d.target[d.output[d.outputs[i] + x]]
        return d.source[d.inputs[i] + x - out]

    def room(self, i: int, x: int) -> float:
        """What more can flow out of task i over its x-th edge."""
        d = self.d
        out = d.outputs[i + 1] - d.outputs[i]
        if x < out:
            return self.forth[d.output[d.outputs[i] + x]]
        return self.back[d.inputs[i] + x - out]

    def flow(self, i: int, x: int, amount: float) -> None:
        """Let that much flow out of task i over its x-th edge."""
        d = self.d
        out = d.outputs[i + 1] - d.outputs[i]
        if x < out:
            k = d.output[d.outputs[i] + x]
            self.forth[k] -= amount
            self.back[k] += amount
        else:
            k = d.inputs[i] + x - out
            self.back[k] -= amount
            self.forth[k] += amount

    def push_all(self) -> None:
        """A flow that blocks every path of the levels."""
        for i in range(self.d.tasks):
            if self.level[i] == 0:
                while self.excess[i] > self.little:
                    sent = self.push(i, self.excess[i])
                    if sent <= 0.0:
                        break
                    self.excess[i] -= sent

    def push(self, i: int, amount: float) -> float:
        """Send up to `amount` from task i on towards the sink. How much got there."""
        if self.excess[i] < -self.little:
            if amount > -self.excess[i]:
                amount = -self.excess[i]
            self.excess[i] += amount
            return amount
        while self.arc[i] < self.degree(i):
            x = self.arc[i]
            j = self.neighbour(i, x)
            if self.level[j] == self.level[i] + 1:
                space = self.room(i, x)
                if space > self.little:
                    sent = self.push(j, amount if amount < space else space)
                    if sent > 0.0:
                        self.flow(i, x, sent)
                        return sent
            self.arc[i] += 1
        return 0.0
