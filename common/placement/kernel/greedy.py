"""List scheduling: task after task to the node that looks best, looking ahead at what must follow.

The order is the decoder's. What looks best: the earliest finish (Topcuoglu, Hariri, Wu 2002: HEFT), the same
with the optimistic cost table of PEFT (Arabnejad, Barbosa 2014), or J, energy and prices included, with both.
"""

from __future__ import annotations

from common.placement.kernel.decoder import Decoder
from common.placement.kernel.graph import Room


class Greedy:
    """Fills a decoder's assignment; `usable[j]` says which nodes may be chosen beside pinned ones."""

    def __init__(self, decoder: Decoder) -> None:
        self.d = decoder
        self._make_room()
        self.finish_weight = 1.0
        self.ahead_weight = 1.0
        self.price_weight = 0.0

    def _make_room(self) -> None:
        d = self.d
        given = Room(d.nodes + d.tasks, 4 * d.tasks * d.nodes)
        self.usable = given.whole(d.nodes)
        self.only = given.whole(d.tasks)
        self.time_ahead = given.real(d.tasks * d.nodes)
        self.cost_ahead = given.real(d.tasks * d.nodes)
        self.time_with = given.real(d.tasks * d.nodes)
        self.cost_with = given.real(d.tasks * d.nodes)
        for j in range(d.nodes):
            self.usable[j] = 1

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
                self.add_own(i, j)

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
            for b in range(d.nodes):
                c = d.channel[j * d.nodes + b]
                time = d.transfer[k * d.channels + c] + d.latency[j * d.nodes + b]
                time += self.time_with[s * d.nodes + b]
                cost = self.cost_with[s * d.nodes + b] + d.edge_cost(k, j, b)
                if time < shortest:
                    shortest = time
                if cost < cheapest:
                    cheapest = cost
            spent += cheapest
            if shortest > longest:
                longest = shortest
        self.time_ahead[i * d.nodes + j] = longest
        self.cost_ahead[i * d.nodes + j] = spent

    def add_own(self, i: int, j: int) -> None:
        """The entries with the task itself, its cost shared by those that it takes inputs from."""
        d = self.d
        x = i * d.nodes + j
        if not self.may(i, j):
            self.time_with[x] = d.never
            self.cost_with[x] = d.never
            return
        sharers = d.inputs[i + 1] - d.inputs[i]
        self.time_with[x] = d.duration[x] + self.time_ahead[x]
        self.cost_with[x] = (d.price[x] + self.cost_ahead[x]) / sharers if sharers > 0 else 0.0

    def assign(self) -> None:
        """Give every task its node, in the decoder's order."""
        d = self.d
        d.clear()
        for p in range(d.tasks):
            i = d.order[p]
            logged = d.logged
            best = -1
            least = d.never
            made = self.made(i)
            for j in range(d.nodes):
                if not self.may(i, j):
                    continue
                cost = self.cost(i, j)
                # It is placed there to see, unless it cannot win any more.
                if best >= 0 and self.score(i, j, cost, made + d.duration[i * d.nodes + j]) >= least:
                    continue
                d.node[i] = j
                score = self.score(i, j, cost, d.place(i))
                d.undo(logged)
                if best < 0 or score < least:
                    best = j
                    least = score
            d.node[i] = best
            d.place(i)

    def made(self, i: int) -> float:
        """When the last input of task i is made."""
        d = self.d
        made = d.release
        for k in range(d.inputs[i], d.inputs[i + 1]):
            if d.finish[d.source[k]] > made:
                made = d.finish[d.source[k]]
        return made

    def cost(self, i: int, j: int) -> float:
        """What task i on node j seems to cost beside time."""
        d = self.d
        if self.price_weight <= 0.0:
            return 0.0
        cost = d.price[i * d.nodes + j] + self.ahead_weight * self.cost_ahead[i * d.nodes + j]
        for k in range(d.inputs[i], d.inputs[i + 1]):
            cost += d.edge_cost(k, d.node[d.source[k]], j)
        return cost

    def score(self, i: int, j: int, cost: float, finish: float) -> float:
        """What task i on node j seems to cost when it is finished then."""
        time = self.finish_weight * finish + self.ahead_weight * self.time_ahead[i * self.d.nodes + j]
        if self.price_weight <= 0.0:
            return time
        return self.d.rate * time + self.price_weight * cost
