"""A graph on its way through the fleet: what has run, where its data lies, where the rest shall run."""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.benchmarks.online.fleet import FADING, MBIT_S, channel_between, latency_ms
from tools.benchmarks.online.graphs import Graph

Place = tuple[float, float]
"""In a line of those that wait."""


@dataclass(slots=True, eq=False)
class Run:
    """One try to run a task on a machine. `noise` is the true duration over the expected one."""

    job: Job
    task: int
    machine: int
    noise: float
    begun_ms: float | None = None
    live: bool = True

    @property
    def expected_ms(self) -> float:
        """What everybody but the machine itself believes."""
        return self.job.graph.duration_ms(self.task, self.machine)

    def left_ms(self, now_ms: float) -> float:
        """What is believed to be left of it."""
        return (
            self.expected_ms if self.begun_ms is None else max(self.begun_ms + self.expected_ms - now_ms, 0.0)
        )


@dataclass(slots=True, eq=False)
class Transfer:
    """An edge's data on the way to a machine. It waits for its channel until `begun_ms`."""

    job: Job
    edge: int
    source: int
    target: int
    channel: int
    begun_ms: float | None = None
    live: bool = True


@dataclass(slots=True, eq=False)
class Job:
    """`node` and `start_ms` per task: the plan. `at` per edge: which machines hold its data.

    The lowest `rank` is first on machines and channels; where there is none, the plan says who. `asked` is
    the graph as it was asked for; should its gateway die, `graph` may go on at another one, the `deputy`, to
    which `copies` of its inputs go at the beginning.
    """

    graph: Graph
    node: list[int] = field(default_factory=list)
    start_ms: list[float] = field(default_factory=list)
    done: list[bool] = field(default_factory=list)
    runs: dict[int, Run] = field(default_factory=dict)
    moving: dict[int, Transfer] = field(default_factory=dict)
    at: list[set[int]] = field(default_factory=list)
    energy_j: float = 0.0
    finished_ms: float | None = None
    lost: bool = False
    rank: float | None = None
    asked: Graph = field(init=False)
    deputy: int | None = None
    copies: list[Transfer] = field(default_factory=list)
    tails_ms: list[float] = field(default_factory=list)
    """From each task's end to the sink's, if nothing has to wait, by the plan that was made last."""

    def __post_init__(self) -> None:
        count = len(self.graph.gigacycles)
        self.asked = self.graph
        self.node, self.start_ms = [self.graph.gateway] * count, [self.graph.arrival_ms] * count
        self.done = [False] * count
        self.at = [set() for _ in self.graph.edges]

    @property
    def over(self) -> bool:
        """Finished or lost."""
        return self.lost or self.finished_ms is not None

    def place(self, task: int) -> Place:
        """Its place in a line, the lowest is first: of one job what has the most to come after it."""
        if self.rank is None:
            return self.start_ms[task], 0.0
        return self.rank, -self.graph.duration_ms(task, self.node[task]) - self.tails_ms[task]

    def goes_before(self, other: Job) -> bool:
        """Whether its tasks and data are taken before another job's, as far as is known beforehand."""
        return self.rank is None or other.rank is None or self.rank <= other.rank

    def inputs(self, task: int) -> tuple[int, ...]:
        """The edges into a task."""
        return self.graph.inputs[task]

    def outputs(self, task: int) -> tuple[int, ...]:
        """The edges out of a task."""
        return self.graph.outputs[task]

    def complete(self, task: int) -> bool:
        """Whether all inputs of a task are where it is meant to run."""
        return all(self.node[task] in self.at[edge] for edge in self.inputs(task))

    def measure(self, wan_share: float) -> None:
        """Set `tails_ms`, with the WAN at a share of its rate."""
        self.tails_ms = [0.0] * len(self.done)
        for task in range(self.graph.sink - 1, -1, -1):
            self.tails_ms[task] = max(self._tail_ms(edge, wan_share) for edge in self.outputs(task))

    def _tail_ms(self, edge: int, wan_share: float) -> float:
        source, target, bits = self.graph.edges[edge]
        here, there = self.node[source], self.node[target]
        tail = self.graph.duration_ms(target, there) + self.tails_ms[target]
        if here != there:
            channel = channel_between(here, there)
            rate = MBIT_S[channel] * 1000.0 * (wan_share if channel in FADING else 1.0)
            tail += bits / rate + latency_ms(here, there)
        return tail

    def least_left_ms(self, now_ms: float) -> float:
        """What is to come at the least, as it is planned."""
        left = 0.0
        for task in range(1, self.graph.sink):
            if not self.done[task]:
                run = self.runs.get(task)
                mine = self.graph.duration_ms(task, self.node[task]) if run is None else run.left_ms(now_ms)
                left = max(left, mine + self.tails_ms[task])
        return left

    def undo(self, live: frozenset[int]) -> None:
        """Take back what has run where its data is on no live machine and is needed still.

        What lies at the asking gateway stays: it is on its disk, and the graph has to wait for it anyway.
        """
        reachable = live | {self.graph.gateway}
        edges = self.graph.edges
        for task in range(self.graph.sink, -1, -1):
            if self.done[task] and task != 0:
                wanted = [edge for edge in self.outputs(task) if not self.done[edges[edge][1]]]
                if any(self._unreachable(edge, reachable) for edge in wanted):
                    self.done[task] = False

    def _unreachable(self, edge: int, reachable: frozenset[int]) -> bool:
        target = self.graph.edges[edge][1]
        return target not in self.runs and not self.at[edge] & reachable
