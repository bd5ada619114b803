"""Local search over assignments and orders: simulated annealing that sweeps along the order.

At each position of the order one change is proposed that leaves everything before it as it is, so that only
the tasks after it are placed anew, and those only until it is clear that the change is too dear. Compiled
and interpreted it takes the same path; its budget is counted in changes that were decoded.
"""

from __future__ import annotations

from array import array
from math import inf, log

from common.placement.kernel.decoder import Decoder
from common.placement.kernel.graph import Room

_DIPS = array("d", [-log((k + 0.5) / 1024.0) for k in range(1024)])
"""How much worse, in temperatures, a change may be: drawn from an exponential distribution."""


class Search:
    """Improves what is in the decoder; the best found so far is in `best_*`."""

    def __init__(self, decoder: Decoder, seed: int) -> None:
        self.d = decoder
        self.state = (seed * 1103515245 + 12345) % 2147483646 + 1
        self.evaluations = 0
        self.proposals = 0
        self.best = inf
        self.cost = inf
        self.spent = 0.0
        self.dips = _DIPS
        self._make_room()

    def _make_room(self) -> None:
        tasks = self.d.tasks
        edges = len(self.d.source)
        given = Room(4 * tasks, 2 * tasks + edges)
        self.moved = given.whole(tasks)
        self.turn = given.whole(tasks)
        self.best_order = given.whole(tasks)
        self.best_node = given.whole(tasks)
        self.tail = given.real(tasks)
        self.start = given.real(tasks)
        self.sent = given.real(edges)

    def draw(self, below: int) -> int:
        """A whole number from 0 on below `below`: Lehmer's generator, whose products fit into 64 bits."""
        self.state = self.state * 48271 % 2147483647
        return (self.state >> 8) * below >> 23

    def weigh(self) -> float:
        """Decode all of what is in the decoder; the best is kept. Its cost. Tails stay as they are."""
        self.evaluations += 1
        self.d.clear()
        self.spent = self.d.spent()
        self.cost = self.spent + self.d.time_cost(self.d.decode(0, self.d.never))
        self.note()
        return self.cost

    def note(self) -> None:
        """Keep what is in the decoder if it is the best so far."""
        if self.cost < self.best:
            self.best = self.cost
            for x in range(self.d.tasks):
                self.best_order[x] = self.d.order[x]
                self.best_node[x] = self.d.node[x]

    def follow_tails(self) -> None:
        """Order the tasks by what is to come from their start on, the longest first."""
        d = self.d
        d.measure_tails()
        for x in range(d.tasks):
            i = d.order[x]
            mine = d.tail[i] + d.duration[i * d.nodes + d.node[i]]
            y = x
            # Strictly less: of equals the one that was first stays so, and no task passes one it depends on.
            while y > 0:
                before = d.order[y - 1]
                if d.tail[before] + d.duration[before * d.nodes + d.node[before]] >= mine:
                    break
                d.order[y] = before
                y -= 1
            d.order[y] = i

    def recall(self) -> None:
        """Put the best into the decoder."""
        for x in range(self.d.tasks):
            self.d.order[x] = self.best_order[x]
            self.d.node[x] = self.best_node[x]

    def anneal(self, budget: int, patience: int, hot: float, cold: float) -> None:
        """Sweep what was weighed last until `budget` changes were decoded, or `patience` of them in vain.

        Temperatures are shares of the cost.
        """
        self.hold()
        begun = self.evaluations
        started = self.proposals
        best = self.best
        gained = begun
        while self.evaluations - gained < patience:
            done = (self.evaluations - begun) / budget
            looked = (self.proposals - started) / (8.0 * budget)
            if looked > done:
                done = looked
            if done >= 1.0:
                break
            self.sweep((hot + (cold - hot) * done) * self.best, begun + budget)
            if self.best < best:
                best = self.best
                gained = self.evaluations

    def sweep(self, temperature: float, until: int) -> None:
        """One proposal at each position of the order."""
        d = self.d
        self.weigh_again()
        d.clear()
        for p in range(d.tasks):
            logged = d.logged
            if self.evaluations < until:
                self.propose(p, self.cost + temperature * self.dips[self.draw(1024)])
                d.undo(logged)
            d.place(d.order[p])

    def weigh_again(self) -> None:
        """Tails and what is spent, after a sweep that changed them."""
        self.d.measure_tails()
        self.spent = self.d.spent()

    def propose(self, p: int, limit: float) -> None:
        """One change from position p on, taken if it costs less than `limit`."""
        kind = self.draw(16)
        self.proposals += 1
        if kind < 7:
            self.move(p, limit)
        elif kind < 9:
            self.move_two(p, limit)
        elif kind < 11:
            self.move_run(p, limit)
        elif kind < 14:
            self.advance(p, limit)
        else:
            self.delay(p, limit)

    def other_node(self, i: int) -> int:
        """A node for task i other than its own; its own when there is no other."""
        d = self.d
        j = self.draw(d.nodes)
        for _ in range(d.nodes):
            if j != d.node[i] and d.price[i * d.nodes + j] < self.d.never:
                return j
            j += 1
            if j == d.nodes:
                j = 0
        return d.node[i]

    def next_node(self, i: int) -> int:
        """The same, each in its turn: what was tried lately is tried last."""
        d = self.d
        j = self.turn[i]
        for _ in range(d.nodes):
            j += 1
            if j >= d.nodes:
                j = 0
            if j != d.node[i] and d.price[i * d.nodes + j] < d.never:
                break
        self.turn[i] = j
        return j

    def too_late(self, i: int, latest: float) -> bool:
        """Whether task i would make the sink late even if no channel and no slot were busy."""
        d = self.d
        j = d.node[i]
        ready = d.release
        for k in range(d.inputs[i], d.inputs[i + 1]):
            a = d.node[d.source[k]]
            there = d.finish[d.source[k]]
            there += d.transfer[k * d.channels + d.channel[a * d.nodes + j]] + d.latency[a * d.nodes + j]
            if there > ready:
                ready = there
        return ready + d.duration[i * d.nodes + j] + d.tail[i] > latest

    def move(self, p: int, limit: float) -> None:
        """The task at p to another node."""
        d = self.d
        i = d.order[p]
        was = d.node[i]
        j = self.next_node(i)
        if j == was or d.price[i * d.nodes + j] >= d.never:
            return
        spent = self.spent + d.move_cost(i, j)
        latest = d.latest_for(limit - spent)
        before = d.tail[i]
        d.node[i] = j
        d.measure_tail(i)
        if self.too_late(i, latest) or not self.taken(p, spent, latest, limit):
            d.node[i] = was
            d.tail[i] = before

    def taken(self, p: int, spent: float, latest: float, limit: float) -> bool:
        """Decode from p on; keep the change if it costs less than `limit`."""
        self.evaluations += 1
        finish = self.d.decode(p, latest)
        if finish == self.d.never:
            return False
        cost = spent + self.d.time_cost(finish)
        if cost >= limit:
            return False
        self.cost = cost
        self.spent = spent
        self.hold()
        self.note()
        return True

    def hold(self) -> None:
        """What is decoded is what a change of the order may leave as it is."""
        d = self.d
        for i in range(d.tasks):
            self.start[i] = d.start[i]
        for k in range(len(self.sent)):
            self.sent[k] = d.sent[k]

    def reordered(self, p: int, q: int, limit: float) -> bool:
        """Whether the changed order from p to q is kept; decoded no further if nothing else has changed."""
        d = self.d
        latest = d.latest_for(limit - self.spent)
        same = True
        for x in range(p, q + 1):
            i = d.order[x]
            if d.place(i) + d.tail[i] > latest:
                self.evaluations += 1
                return False
            if same:
                same = d.start[i] == self.start[i]
                for k in range(d.inputs[i], d.inputs[i + 1]):
                    if d.sent[k] != self.sent[k]:
                        same = False
        return same or self.taken(q + 1, self.spent, latest, limit)

    def move_two(self, p: int, limit: float) -> None:
        """The task at p and one that uses its output, both to another node."""
        d = self.d
        i = d.order[p]
        fan = d.outputs[i + 1] - d.outputs[i]
        j = self.other_node(i)
        if j == d.node[i] or fan == 0:
            return
        s = d.target[d.output[d.outputs[i] + self.draw(fan)]]
        if d.price[s * d.nodes + j] == self.d.never:
            return
        was = d.node[i]
        then = d.node[s]
        spent = self.spent + d.move_cost(i, j)
        d.node[i] = j
        spent += d.move_cost(s, j)
        d.node[s] = j
        latest = d.latest_for(limit - spent)
        q = p
        while d.order[q] != s:
            q += 1
        self.tails_between(p, q)
        if self.too_late(i, latest) or not self.taken(p, spent, latest, limit):
            d.node[i] = was
            d.node[s] = then
            self.tails_back(p, q)

    def move_run(self, p: int, limit: float) -> None:
        """The task at p and those of the next few that share its node, all to another one."""
        d = self.d
        i = d.order[p]
        was = d.node[i]
        j = self.other_node(i)
        if j == was:
            return
        q = p + 1 + self.draw(12)
        if q >= d.tasks:
            q = d.tasks - 1
        spent = self.spent
        for x in range(p, q + 1):
            i = d.order[x]
            self.moved[x] = 0
            if d.node[i] == was and d.price[i * d.nodes + j] < d.never:
                spent += d.move_cost(i, j)
                d.node[i] = j
                self.moved[x] = 1
        latest = d.latest_for(limit - spent)
        self.tails_between(p, q)
        if self.too_late(d.order[p], latest) or not self.taken(p, spent, latest, limit):
            for x in range(p, q + 1):
                if self.moved[x]:
                    d.node[d.order[x]] = was
            self.tails_back(p, q)

    def delay(self, p: int, limit: float) -> None:
        """The task at p after one of the next few, as far as nothing between needs it."""
        d = self.d
        i = d.order[p]
        q = p + 1 + self.draw(8)
        if q >= d.tasks:
            q = d.tasks - 1
        x = p + 1
        while x <= q and not self.needs(d.order[x], i):
            d.order[x - 1] = d.order[x]
            x += 1
        q = x - 1
        if q == p:
            return
        d.order[q] = i
        if not self.reordered(p, q, limit):
            while q > p:
                d.order[q] = d.order[q - 1]
                q -= 1
            d.order[p] = i

    def needs(self, s: int, i: int) -> bool:
        """Whether task s takes input from task i."""
        d = self.d
        k = d.inputs[s]
        while k < d.inputs[s + 1] and d.source[k] != i:
            k += 1
        return k < d.inputs[s + 1]

    def tails_between(self, p: int, q: int) -> None:
        """Measure anew the tails of the tasks from position p to q."""
        d = self.d
        while q >= p:
            self.tail[q] = d.tail[d.order[q]]
            d.measure_tail(d.order[q])
            q -= 1

    def tails_back(self, p: int, q: int) -> None:
        """Take back what was measured last of the tasks from position p to q."""
        d = self.d
        for x in range(p, q + 1):
            d.tail[d.order[x]] = self.tail[x]

    def advance(self, p: int, limit: float) -> None:
        """A later task, none of whose inputs is made at p or after, before the task at p."""
        d = self.d
        left = d.tasks - 1 - p
        if left < 1:
            return
        if left > 8:
            left = 8
        q = p + 1 + self.draw(left)
        i = d.order[q]
        for x in range(p, q):
            d.position[d.order[x]] = -1
        free = True
        for k in range(d.inputs[i], d.inputs[i + 1]):
            if d.position[d.source[k]] == -1:
                free = False
        for x in range(p, q):
            d.position[d.order[x]] = 0
        if not free:
            return
        x = q
        while x > p:
            d.order[x] = d.order[x - 1]
            x -= 1
        d.order[p] = i
        if not self.reordered(p, q, limit):
            for x in range(p, q):
                d.order[x] = d.order[x + 1]
            d.order[q] = i
