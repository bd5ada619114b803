"""Choosing a node for a task in the middle of a schedule, as a list scheduler would.

What is placed before it is known, what comes after is where it was. Nothing is booked: two inputs over one
channel may count on the same gap, which decoding then sets right.
"""

from __future__ import annotations

from common.placement.kernel.decoder import Decoder


class Choice:
    """For a decoder that has placed all tasks before the one to choose for.

    To finish before `enough` is worth nothing, but `haste` of it: what nobody waits for had better be cheap.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.d = decoder
        self.enough = 0.0
        self.haste = 0.05

    def arrival(self, i: int, j: int) -> float:
        """When the inputs of task i could be on node j; ms."""
        d = self.d
        ready = d.release
        for k in range(d.inputs[i], d.inputs[i + 1]):
            made = d.finish[d.source[k]]
            a = d.node[d.source[k]]
            c = d.channel[a * d.nodes + j]
            length = d.transfer[k * d.channels + c]
            if d.channel_resource[c] >= 0 and length > 0.0:
                d.gap(d.channel_resource[c], made, length)
                made = d.at
            made += length + d.latency[a * d.nodes + j]
            if made > ready:
                ready = made
        return ready

    def begin(self, i: int, j: int) -> float:
        """When task i could start on node j."""
        d = self.d
        ready = self.arrival(i, j)
        length = d.duration[i * d.nodes + j]
        if length <= 0.0 or d.slot_count[j] == 0:
            return ready
        earliest = d.never
        for r in range(d.slot_first[j], d.slot_first[j] + d.slot_count[j]):
            d.gap(r, ready, length)
            if d.at < earliest:
                earliest = d.at
            if earliest <= ready:
                break
        return earliest

    def rest(self, i: int, j: int) -> float:
        """What is to come after task i on node j, were nothing busy and its users where they are."""
        d = self.d
        longest = 0.0
        for y in range(d.outputs[i], d.outputs[i + 1]):
            k = d.output[y]
            t = d.target[k]
            b = d.node[t]
            c = d.channel[j * d.nodes + b]
            later = d.transfer[k * d.channels + c] + d.latency[j * d.nodes + b]
            later += d.duration[t * d.nodes + b] + d.tail[t]
            if later > longest:
                longest = later
        return longest

    def best(self, i: int) -> int:
        """The node where task i seems to cost least, of equals its own.

        What takes long to find out is left out where the node cannot win any more.
        """
        d = self.d
        own = d.node[i]
        made = d.release
        for k in range(d.inputs[i], d.inputs[i + 1]):
            if d.finish[d.source[k]] > made:
                made = d.finish[d.source[k]]
        best = own
        least = self.score(
            d.task_cost(i, own), self.begin(i, own) + d.duration[i * d.nodes + own] + self.rest(i, own)
        )
        for j in range(d.nodes):
            if j == own or d.price[i * d.nodes + j] >= d.never:
                continue
            cost = d.task_cost(i, j)
            length = d.duration[i * d.nodes + j]
            if self.score(cost, made + length) >= least:
                continue
            rest = self.rest(i, j)
            if self.score(cost, made + length + rest) >= least:
                continue
            score = self.score(cost, self.begin(i, j) + length + rest)
            if score < least:
                best = j
                least = score
        return best

    def score(self, cost: float, end: float) -> float:
        """What a node costs where the graph would end then."""
        d = self.d
        late = end if end > self.enough else self.enough
        cost += d.rate * (self.haste * end + late)
        if late > d.deadline:
            cost += d.late_fixed + d.late_rate * (late - d.deadline)
        return cost

    def go_through(self) -> None:
        """Choose for every task in the decoder's order, from what was decoded last."""
        d = self.d
        d.clear()
        for p in range(d.tasks):
            i = d.order[p]
            d.node[i] = self.best(i)
            d.place(i)
