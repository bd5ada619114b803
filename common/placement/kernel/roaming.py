"""Simulated annealing over assignments, the order of the tasks following from them.

A task that moves gets another urgency: what is to come after it takes longer or shorter. So the order is
that of the tails, the longest first, and what is searched is the assignment, with a bias for each task that
lets it pass others. Compiled and interpreted it takes the same path; its budget is changes looked at.
"""

from __future__ import annotations

from array import array

from common.placement.kernel.cuts import Cuts
from common.placement.kernel.search import Search


class Roaming:
    """Changes what is in a search's decoder; the best found is the search's."""

    def __init__(self, search: Search) -> None:
        self.s = search
        self.d = search.d
        tasks = self.d.tasks
        self.bias = array("d", bytes(8 * tasks))
        self.head = array("d", bytes(8 * tasks))
        self.tail = array("d", bytes(8 * tasks))
        self.urgency = array("d", bytes(8 * tasks))
        self.order = array("i", bytes(4 * tasks))
        self.changed = array("i", bytes(4 * tasks))
        self.was = array("i", bytes(4 * tasks))
        self.cuts = Cuts(search.d)
        self.saved = array("i", bytes(4 * tasks))
        self.saved_spent = 0.0
        self.cut = False
        self.changes = 0
        self.biased = -1
        self.bias_was = 0.0

    def begin(self) -> None:
        """From what is in the decoder; biases are the least that keep its order."""
        d = self.d
        self.s.weigh()
        high = 0.0
        for x in range(d.tasks - 1, -1, -1):
            i = d.order[x]
            rest = d.tail[i] + d.duration[i * d.nodes + d.node[i]]
            self.bias[i] = 0.0
            if rest >= high:
                high = rest
            elif rest >= 0.0:
                self.bias[i] = high - rest
        self.hold()

    def hold(self) -> None:
        """What is in the decoder is where changes start: its order, its paths were nothing busy."""
        d = self.d
        for x in range(d.tasks):
            i = d.order[x]
            self.order[x] = i
            self.tail[x] = d.tail[x]
            self.head[i] = self.ready(i, d.node[i]) + d.duration[i * d.nodes + d.node[i]]

    def ready(self, i: int, j: int) -> float:
        """When task i could start on node j were nothing busy and its inputs where they are held."""
        d = self.d
        latest = d.release
        for k in range(d.inputs[i], d.inputs[i + 1]):
            there = self.head[d.source[k]]
            a = d.node[d.source[k]]
            if a != j:
                c = d.channel[a * d.nodes + j]
                there += d.transfer[k * d.channels + c] + d.latency[a * d.nodes + j]
            if there > latest:
                latest = there
        return latest

    def rest(self, i: int, j: int) -> float:
        """What is to come after task i on node j, were nothing busy and its users where they are held."""
        d = self.d
        longest = 0.0
        for y in range(d.outputs[i], d.outputs[i + 1]):
            k = d.output[y]
            t = d.target[k]
            b = d.node[t]
            later = d.duration[t * d.nodes + b] + self.tail[t]
            if b != j:
                c = d.channel[j * d.nodes + b]
                later += d.transfer[k * d.channels + c] + d.latency[j * d.nodes + b]
            if later > longest:
                longest = later
        return longest

    def hopeless(self, latest: float) -> bool:
        """Whether the one task that moved makes a path too long by itself."""
        i = self.changed[0]
        j = self.d.node[i]
        return self.ready(i, j) + self.d.duration[i * self.d.nodes + j] + self.rest(i, j) > latest

    def anneal(self, budget: int, hot: float, cold: float) -> None:
        """Look at `budget` changes; temperatures are shares of the best cost."""
        for x in range(budget):
            share = hot + (cold - hot) * x / budget
            self.s.evaluations += 1
            limit = self.s.cost + share * self.s.best * self.s.dips[self.s.draw(1024)]
            self.change()
            if self.changes > 0 or self.biased >= 0 or self.cut:
                self.look(limit)

    def change(self) -> None:
        """Change a task's node, those of two neighbours, of a neighbourhood, or a task's bias."""
        s = self.s
        d = self.d
        self.changes = 0
        self.biased = -1
        self.cut = False
        if s.draw(64) < 1:
            self.cut_out()
            return
        i = s.draw(d.tasks)
        kind = s.draw(16)
        if kind >= 15:
            self.biased = i
            self.bias_was = self.bias[i]
            self.bias[i] = (s.draw(65) - 32) * self.scale() / 32.0
            return
        j = self.choose(i)
        if j == d.node[i]:
            return
        self.put(i, j)
        if self.changes == 0:
            return
        if kind >= 13:
            self.put_around(i, j)
        elif kind >= 10:
            self.put_next(i, j)

    def cut_out(self) -> None:
        """A set of tasks to one node: the minimum cut with random weights of time."""
        s = self.s
        d = self.d
        cuts = self.cuts
        self.saved_spent = s.spent
        cuts.share = (1 + s.draw(16)) / 8.0
        late = 0.7 * d.finish[d.sink]
        critical = s.draw(2) == 0
        for i in range(d.tasks):
            self.saved[i] = d.node[i]
            cuts.bias[i] = s.draw(32) / 16.0
            if critical and d.finish[i] + d.tail[i] < late:
                cuts.bias[i] *= 0.2
        if cuts.expand(s.draw(d.nodes)) > 0:
            self.cut = True
            s.spent = d.spent()

    def choose(self, i: int) -> int:
        """A node for task i: as often that of a neighbour as any other."""
        d = self.d
        if self.s.draw(16) < 8:
            out = d.outputs[i + 1] - d.outputs[i]
            fan = out + d.inputs[i + 1] - d.inputs[i]
            if fan > 0:
                x = self.s.draw(fan)
                if x < out:
                    return d.node[d.target[d.output[d.outputs[i] + x]]]
                return d.node[d.source[d.inputs[i] + x - out]]
        return self.s.other_node(i)

    def scale(self) -> float:
        """How much urgency a bias may add or take, in ms: a quarter of the graph's."""
        return 0.25 * self.d.finish[self.d.sink]

    def put(self, i: int, j: int) -> None:
        """Task i on node j, remembering where it was; the cost beside time follows."""
        d = self.d
        if d.node[i] == j or d.price[i * d.nodes + j] >= d.never:
            return
        self.s.spent += d.task_cost(i, j) - d.task_cost(i, d.node[i])
        self.changed[self.changes] = i
        self.was[self.changes] = d.node[i]
        self.changes += 1
        d.node[i] = j

    def put_next(self, i: int, j: int) -> None:
        """One neighbour of task i too."""
        d = self.d
        out = d.outputs[i + 1] - d.outputs[i]
        fan = out + d.inputs[i + 1] - d.inputs[i]
        if fan == 0:
            return
        x = self.s.draw(fan)
        if x < out:
            self.put(d.target[d.output[d.outputs[i] + x]], j)
        else:
            self.put(d.source[d.inputs[i] + x - out], j)

    def put_around(self, i: int, j: int) -> None:
        """Neighbours of what was put, as long as they share its former node, each with even chance."""
        d = self.d
        home = self.was[0]
        x = 0
        while x < self.changes and self.changes < 16:
            i = self.changed[x]
            for y in range(d.outputs[i], d.outputs[i + 1]):
                t = d.target[d.output[y]]
                if d.node[t] == home and self.changes < 16 and self.s.draw(2) == 0:
                    self.put(t, j)
            for k in range(d.inputs[i], d.inputs[i + 1]):
                t = d.source[k]
                if d.node[t] == home and self.changes < 16 and self.s.draw(2) == 0:
                    self.put(t, j)
            x += 1

    def look(self, limit: float) -> None:
        """Decode the change and keep it if it costs less than `limit`; take it back otherwise."""
        s = self.s
        d = self.d
        latest = d.latest_for(limit - s.spent)
        if latest > 0.0 and not (self.changes == 1 and self.hopeless(latest)):
            d.measure_tails()
            if self.arrange() <= latest:
                d.clear()
                finish = d.decode(0, latest)
                if finish < d.never:
                    cost = s.spent + d.time_cost(finish)
                    if cost < limit:
                        s.cost = cost
                        s.note()
                        self.hold()
                        return
        self.take_back()

    def take_back(self) -> None:
        """Undo the last change."""
        d = self.d
        s = self.s
        while self.changes > 0:
            self.changes -= 1
            i = self.changed[self.changes]
            self.s.spent += d.task_cost(i, self.was[self.changes]) - d.task_cost(i, d.node[i])
            d.node[i] = self.was[self.changes]
        if self.biased >= 0:
            self.bias[self.biased] = self.bias_was
        if self.cut:
            s.spent = self.saved_spent
            for x in range(d.tasks):
                d.node[x] = self.saved[x]
        for x in range(d.tasks):
            d.order[x] = self.order[x]

    def arrange(self) -> float:
        """Sort the order by urgency, no task before one it needs. The longest path, release included."""
        d = self.d
        longest = 0.0
        for x in range(d.tasks):
            i = d.order[x]
            rest = d.tail[i] + d.duration[i * d.nodes + d.node[i]]
            if rest > longest:
                longest = rest
            mine = rest + self.bias[i]
            self.urgency[i] = mine
            y = x
            while y > 0 and self.urgency[d.order[y - 1]] < mine and not self.s.needs(i, d.order[y - 1]):
                d.order[y] = d.order[y - 1]
                y -= 1
            d.order[y] = i
        return d.release + longest
