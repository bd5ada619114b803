"""List scheduling: task after task to the node that looks best, looking ahead at what must follow.

The order is the decoder's. What looks best: the earliest finish (Topcuoglu, Hariri, Wu 2002: HEFT), the same
with the optimistic cost table of PEFT (Arabnejad, Barbosa 2014), or J, energy and prices included, with both.
"""

from __future__ import annotations

from array import array

from common.placement.kernel.decoder import Decoder


class Greedy:
    """Fills a decoder's assignment; `usable[j]` says which nodes may be chosen beside pinned ones."""

    def __init__(self, decoder: Decoder) -> None:
        self.d = decoder
        self.usable = array("i", [1]) * decoder.nodes
        self.only = array("i", bytes(4 * decoder.tasks))
        self.time_ahead = array("d", bytes(8 * decoder.tasks * decoder.nodes))
        self.cost_ahead = array("d", bytes(8 * decoder.tasks * decoder.nodes))
        self.finish_weight = 1.0
        self.ahead_weight = 1.0
        self.price_weight = 0.0

    def may(self, i: int, j: int) -> bool:
        """Whether task i can be put on node j; where none of the usable ones serves, any that may run it."""
        d = self.d
        if d.price[i * d.nodes + j] >= d.never:
            return False
        return self.usable[j] > 0 or self.only[i] > 0

    def look_ahead(self) -> None:
        """For each task on each node, the least time and cost of all that must follow, contention apart."""
        d = self.d
        self.find_forced()
        for p in range(d.tasks - 1, -1, -1):
            i = d.order[p]
            for j in range(d.nodes):
                self.look_from(i, j)

    def find_forced(self) -> None:
        """Tasks that no usable node may run."""
        d = self.d
        for i in range(d.tasks):
            self.only[i] = 1
            for j in range(d.nodes):
                if self.usable[j] > 0 and d.price[i * d.nodes + j] < d.never:
                    self.only[i] = 0

    def look_from(self, i: int, j: int) -> None:
        """One entry of both tables, from those of the task's successors."""
        d = self.d
        longest = 0.0
        spent = 0.0
        for y in range(d.outputs[i], d.outputs[i + 1]):
            k = d.output[y]
            s = d.target[k]
            shortest = d.never
            cheapest = d.never
            sharers = d.inputs[s + 1] - d.inputs[s]
            for b in range(d.nodes):
                if not self.may(s, b):
                    continue
                time = d.duration[s * d.nodes + b] + self.time_ahead[s * d.nodes + b]
                cost = (d.price[s * d.nodes + b] + self.cost_ahead[s * d.nodes + b]) / sharers
                if b != j:
                    c = d.channel[j * d.nodes + b]
                    time += d.transfer[k * d.channels + c] + d.latency[j * d.nodes + b]
                    cost += d.edge_cost(k, j, b)
                if time < shortest:
                    shortest = time
                if cost < cheapest:
                    cheapest = cost
            spent += cheapest
            if shortest > longest:
                longest = shortest
        self.time_ahead[i * d.nodes + j] = longest
        self.cost_ahead[i * d.nodes + j] = spent

    def assign(self) -> None:
        """Give every task its node, in the decoder's order."""
        d = self.d
        d.clear()
        for p in range(d.tasks):
            i = d.order[p]
            d.keep()
            best = -1
            least = d.never
            for j in range(d.nodes):
                if self.may(i, j):
                    d.node[i] = j
                    score = self.score(i, j)
                    d.restore()
                    if best < 0 or score < least:
                        best = j
                        least = score
            d.node[i] = best
            d.place(i)

    def score(self, i: int, j: int) -> float:
        """What task i on node j seems to cost; it is placed there to see."""
        d = self.d
        time = self.finish_weight * d.place(i) + self.ahead_weight * self.time_ahead[i * d.nodes + j]
        if self.price_weight <= 0.0:
            return time
        cost = d.price[i * d.nodes + j] + self.ahead_weight * self.cost_ahead[i * d.nodes + j]
        for k in range(d.inputs[i], d.inputs[i + 1]):
            cost += d.edge_cost(k, d.node[d.source[k]], j)
        return d.rate * time + self.price_weight * cost
