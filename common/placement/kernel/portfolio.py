"""The portfolio: schedules made in several ways, the best of them improved by search.

What is made: everything at home, minimum cuts, list schedules over several sets of nodes, and each of these
made again with what it left after every task known. Where it goes on from depends on costs alone, so equal
budgets give equal schedules, compiled or not.
"""

from __future__ import annotations

from common.placement.kernel.choosing import Choice
from common.placement.kernel.cuts import Cuts
from common.placement.kernel.decoder import Decoder
from common.placement.kernel.graph import Room
from common.placement.kernel.greedy import Greedy
from common.placement.kernel.roaming import Roaming
from common.placement.kernel.search import Search


class Portfolio:
    """Candidates for one decoder, the `kept` best of them, and the search that goes on from these.

    `home` is an order and an assignment that is always possible.
    """

    def __init__(self, decoder: Decoder, seed: int, kept: int) -> None:
        self.d = decoder
        self.s = Search(decoder, seed)
        self.cuts = Cuts(decoder)
        self.greedy = Greedy(decoder)
        self.roaming = Roaming(self.s, self.cuts)
        self.choice = Choice(decoder)
        self.room = kept
        self.size = 0
        self.most = 64
        self.passes = 0
        self.looked = 0
        self._make_room()

    def _make_room(self) -> None:
        d = self.d
        given = Room(4 * d.tasks + 2 * self.room * d.tasks, self.room + 2 * self.most)
        self.home_order = given.whole(d.tasks)
        self.home_node = given.whole(d.tasks)
        self.last_order = given.whole(d.tasks)
        self.last_node = given.whole(d.tasks)
        self.orders = given.whole(self.room * d.tasks)
        self.nodes = given.whole(self.room * d.tasks)
        self.costs = given.real(self.room)
        self.pass_share = given.real(self.most)
        self.pass_cost = given.real(self.most)
        for i in range(d.tasks):
            self.home_order[i] = self.last_order[i] = d.order[i]
            self.home_node[i] = self.last_node[i] = d.node[i]

    def go_home(self) -> None:
        """Everything at home, in the order of what is to come there."""
        d = self.d
        for x in range(d.tasks):
            d.order[x] = self.home_order[x]
            d.node[x] = self.home_node[x]

    def try_home(self) -> None:
        """The first candidate; its order is where the others start."""
        self.go_home()
        self.s.follow_tails()
        for x in range(self.d.tasks):
            self.home_order[x] = self.d.order[x]
        self.s.weigh()
        self.offer()
        self.remember()

    def try_cuts(self, share: float) -> None:
        """Minimum cuts from home to each node in turn, with a share of all time in the price."""
        self.go_home()
        self.cuts.share = share
        for j in range(self.d.nodes):
            self.cuts.expand(j)
        self.s.follow_tails()
        self.s.weigh()
        self.offer()

    def try_list(self, mask: int, price: float, ahead: float) -> None:
        """A list schedule over the nodes whose bits are in `mask`, in its order and in that of its tails."""
        self.go_home()
        g = self.greedy
        g.finish_weight = 1.0
        g.price_weight = price
        g.ahead_weight = ahead
        if mask != self.looked:
            self.looked = mask
            for j in range(self.d.nodes):
                g.usable[j] = (mask >> j) & 1
            g.look_ahead()
        g.assign()
        # Every task was placed on every node.
        self.s.evaluations += self.d.nodes
        self.s.weigh()
        self.offer()
        self.s.follow_tails()
        self.s.weigh()
        self.offer()
        self.remember()

    def remember(self) -> None:
        """What is in the decoder is what list schedules are made again from."""
        for x in range(self.d.tasks):
            self.last_order[x] = self.d.order[x]
            self.last_node[x] = self.d.node[x]

    def try_again(self, share: float, times: int) -> None:
        """List schedules from the last, each from the one before: what comes after a task is where it was.

        Tasks that let the graph finish within `share` of its time before are placed where it is cheap.
        """
        s = self.s
        d = self.d
        for x in range(d.tasks):
            d.order[x] = self.last_order[x]
            d.node[x] = self.last_node[x]
        d.measure_tails()
        s.weigh()
        for _ in range(times):
            # They often go round in circles, and where another list has come from.
            if self.passed(share, s.cost):
                return
            self.choice.enough = share * d.finish[d.sink]
            self.choice.go_through()
            s.evaluations += d.nodes
            s.follow_tails()
            s.weigh()
            self.offer()

    def passed(self, share: float, cost: float) -> bool:
        """Whether a list schedule was made from one of that cost before; remembers it."""
        for x in range(self.passes):
            if self.pass_cost[x] == cost and self.pass_share[x] == share:
                return True
        if self.passes < self.most:
            self.pass_share[self.passes] = share
            self.pass_cost[self.passes] = cost
            self.passes += 1
        return False

    def offer(self) -> None:
        """Keep what is in the decoder among the best; of equal costs the first."""
        cost = self.s.cost
        place = self.size
        for x in range(self.size):
            if self.costs[x] == cost:
                return
        while place > 0 and self.costs[place - 1] > cost:
            place -= 1
        if place == self.room:
            return
        if self.size < self.room:
            self.size += 1
        x = self.size - 1
        while x > place:
            self.shift(x - 1, x)
            x -= 1
        self.store(place, cost)

    def shift(self, x: int, y: int) -> None:
        """Copy candidate x over candidate y."""
        self.costs[y] = self.costs[x]
        for i in range(self.d.tasks):
            self.orders[y * self.d.tasks + i] = self.orders[x * self.d.tasks + i]
            self.nodes[y * self.d.tasks + i] = self.nodes[x * self.d.tasks + i]

    def store(self, x: int, cost: float) -> None:
        """What is in the decoder becomes candidate x."""
        self.costs[x] = cost
        for i in range(self.d.tasks):
            self.orders[x * self.d.tasks + i] = self.d.order[i]
            self.nodes[x * self.d.tasks + i] = self.d.node[i]

    def distance(self, x: int, y: int) -> int:
        """How many tasks two candidates put on different nodes."""
        apart = 0
        for i in range(self.d.tasks):
            if self.nodes[x * self.d.tasks + i] != self.nodes[y * self.d.tasks + i]:
                apart += 1
        return apart

    def take(self, x: int) -> None:
        """Candidate x into the decoder, where search goes on from."""
        for i in range(self.d.tasks):
            self.d.order[i] = self.orders[x * self.d.tasks + i]
            self.d.node[i] = self.nodes[x * self.d.tasks + i]

    def improve(self, x: int, budget: int, hot: float, cold: float) -> None:
        """Roam from candidate x; what is found takes its place."""
        s = self.s
        kept = s.best
        self.take(x)
        s.best = self.d.never
        self.roaming.begin()
        self.roaming.anneal(budget, hot, cold)
        s.recall()
        self.store(x, s.best)
        if kept < s.best:
            s.best = kept

    def polish(self, x: int, budget: int, patience: int, hot: float, cold: float) -> None:
        """Sweep candidate x; what is found takes its place and stays in the decoder, decoded."""
        s = self.s
        self.take(x)
        s.best = self.d.never
        s.weigh()
        if budget > 0:
            s.anneal(budget, patience, hot, cold)
        s.recall()
        s.weigh()
        self.store(x, s.best)
