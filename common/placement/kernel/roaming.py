"""Simulated annealing over assignments, the order of the tasks following from them.

A task that moves gets another urgency: what is to come after it takes longer or shorter. So the order is
that of the tails, the longest first, and what is searched is the assignment, with a bias for each task that
lets it pass others. Compiled and interpreted it takes the same path; its budget is changes looked at.
"""

from __future__ import annotations

from common.placement.kernel.cuts import Cuts
from common.placement.kernel.graph import Room
from common.placement.kernel.search import Search


class Roaming:
    """Changes what is in a search's decoder; the best found is the search's."""

    def __init__(self, search: Search, cuts: Cuts) -> None:
        self.s = search
        self.d = search.d
        self.cuts = cuts
        self.spent_was = 0.0
        self.end = 0.0
        self.placed = 0
        self.cut = False
        self.changes = 0
        self.biased = -1
        self.bias_was = 0.0
        self._make_room()

    def _make_room(self) -> None:
        tasks = self.d.tasks
        given = Room(6 * tasks, 4 * tasks)
        self.bias = given.real(tasks)
        self.head = given.real(tasks)
        self.tail = given.real(tasks)
        self.urgency = given.real(tasks)
        self.order = given.whole(tasks)
        self.place = given.whole(tasks)
        self.changed = given.whole(tasks)
        self.was = given.whole(tasks)
        self.saved = given.whole(tasks)
        self.dirty = given.whole(tasks)

    def begin(self) -> None:
        """From what is in the decoder; biases are the least that keep its order."""
        d = self.d
        d.measure_tails()
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
        self.hold(0)

    def hold(self, p: int) -> None:
        """What is in the decoder, all of it decoded, is where changes start; before position p it was."""
        d = self.d
        self.placed = d.tasks
        self.end = d.finish[d.sink]
        for i in range(d.tasks):
            self.tail[i] = d.tail[i]
        for x in range(p, d.tasks):
            i = d.order[x]
            self.order[x] = i
            self.place[i] = x
            self.head[i] = self.ready(i, d.node[i]) + d.duration[i * d.nodes + d.node[i]]

    def ready(self, i: int, j: int) -> float:
        """When task i could start on node j were nothing busy and its inputs where they are held."""
        d = self.d
        latest = d.release
        for k in range(d.inputs[i], d.inputs[i + 1]):
            there = self.head[d.source[k]]
            a = d.node[d.source[k]]
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
            c = d.channel[j * d.nodes + b]
            later = d.transfer[k * d.channels + c] + d.latency[j * d.nodes + b]
            later += d.duration[t * d.nodes + b] + self.tail[t]
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
        self.spent_was = s.spent
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
        cuts.share = (1 + s.draw(16)) / 8.0
        self.place_until(d.tasks)
        late = 0.7 * self.end
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
        return 0.25 * self.end

    def put(self, i: int, j: int) -> None:
        """Task i on node j, remembering where it was; the cost beside time follows."""
        d = self.d
        if d.node[i] == j or d.price[i * d.nodes + j] >= d.never:
            return
        self.s.spent += d.move_cost(i, j)
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
        if latest <= 0.0 or (self.changes == 1 and self.hopeless(latest)):
            self.take_back()
            return
        self.measure()
        if self.arrange() <= latest:
            p = self.first_change()
            if self.place_before(p, latest):
                finish = d.decode(p, latest)
                if finish < d.never:
                    cost = s.spent + d.time_cost(finish)
                    if cost < limit:
                        s.cost = cost
                        s.note()
                        self.hold(p)
                        return
                if p < d.tasks:
                    d.undo(d.mark[p])
                    self.placed = p
        for x in range(d.tasks):
            d.order[x] = self.order[x]
            d.tail[x] = self.tail[x]
        self.take_back()

    def measure(self) -> None:
        """Tails anew, of those alone whose tail the change may touch."""
        d = self.d
        if self.cut:
            d.measure_tails()
            return
        last = -1
        for y in range(self.changes):
            i = self.changed[y]
            self.dirty[i] = 1
            if self.place[i] > last:
                last = self.place[i]
            self.touch_sources(i)
        for x in range(last, -1, -1):
            i = self.order[x]
            if self.dirty[i] > 0:
                self.dirty[i] = 0
                d.measure_tail(i)
                if d.tail[i] != self.tail[i]:
                    self.touch_sources(i)

    def touch_sources(self, i: int) -> None:
        """The tails of those that task i takes inputs from are to be measured anew."""
        d = self.d
        for k in range(d.inputs[i], d.inputs[i + 1]):
            self.dirty[d.source[k]] = 1

    def first_change(self) -> int:
        """The first position where order or node are no longer those that are held."""
        d = self.d
        p = d.tasks
        for y in range(self.changes):
            if self.place[self.changed[y]] < p:
                p = self.place[self.changed[y]]
        x = 0
        while x < p and d.order[x] == self.order[x]:
            if self.cut and d.node[self.order[x]] != self.saved[self.order[x]]:
                break
            x += 1
        return x

    def place_before(self, p: int, latest: float) -> bool:
        """Leave placed what is held before position p, no more. Whether none of that is too late now."""
        d = self.d
        x = 0
        while x < p:
            if x >= self.placed:
                self.place_until(x + 1)
            i = self.order[x]
            if d.finish[i] + d.tail[i] > latest:
                return False
            x += 1
        if p < self.placed:
            d.undo(d.mark[p])
            self.placed = p
        return True

    def place_until(self, p: int) -> None:
        """Place what is held before position p, as far as it is not."""
        d = self.d
        while self.placed < p:
            d.mark[self.placed] = d.logged
            d.place(self.order[self.placed])
            self.placed += 1

    def take_back(self) -> None:
        """Undo the last change."""
        d = self.d
        self.s.spent = self.spent_was
        while self.changes > 0:
            self.changes -= 1
            d.node[self.changed[self.changes]] = self.was[self.changes]
        if self.biased >= 0:
            self.bias[self.biased] = self.bias_was
        if self.cut:
            for x in range(d.tasks):
                d.node[x] = self.saved[x]

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
