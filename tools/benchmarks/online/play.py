"""The online play: graphs arrive, tasks queue and run, data waits for channels, machines fail and return.

The truth. Schedulers see of it only what heartbeats carry (`view.py`): loads up to 100 ms old, expected
durations instead of real ones, deaths 300 ms late. A machine that fails loses what runs and waits on it; its
disk keeps what had been made, out of reach until it is back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from random import Random
from typing import Any, Final, TypeVar

from tools.benchmarks.online import deputies
from tools.benchmarks.online.fleet import (
    CHANNELS,
    FREE,
    MACHINES,
    RADIO_J_PER_BIT,
    Fate,
    channel_between,
    latency_ms,
)
from tools.benchmarks.online.graphs import Graph
from tools.benchmarks.online.job import Job, Place, Run, Transfer
from tools.benchmarks.online.strategies import Strategy
from tools.benchmarks.online.view import HEARTBEAT_MS, View

Waiting = TypeVar("Waiting", Run, Transfer)

SEEN_AFTER_MS: Final = 300.0
NOISE: Final = 0.15


class Play:
    """One strategy through one fate."""

    def __init__(self, graphs: Sequence[Graph], fate: Fate, strategy: Strategy, seed: int) -> None:
        self.now_ms = 0.0
        self.jobs: list[Job] = []
        self.up = [True] * len(MACHINES)
        self.seen_up = [True] * len(MACHINES)
        self.running: list[list[Run]] = [[] for _ in MACHINES]
        self.waiting: list[list[tuple[Place, int, Run]]] = [[] for _ in MACHINES]
        self.queues: list[list[tuple[Place, int, Transfer]]] = [[] for _ in CHANNELS]
        self.sending: list[Transfer | None] = [None] * len(CHANNELS)
        self.view = View()
        self._fate = fate
        self._strategy = strategy
        self._seed = seed
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self.open: dict[Job, None] = {}
        for graph in graphs:
            self._later(graph.arrival_ms, self._arrive, graph)
        for outage in fate.outages:
            self._later(outage.begin_ms, self._fail, outage.machine)
            self._later(outage.begin_ms + SEEN_AFTER_MS, self._miss, outage.machine)
            self._later(outage.end_ms, self._return, outage.machine)
        self._later(0.0, self._beat)

    def run(self) -> list[Job]:
        """To the end of the last graph."""
        self._left = sum(event[2] == self._arrive for event in self._events)
        while self._left or self.open:
            self.now_ms, _, happen, given = heappop(self._events)
            happen(*given)
        return self.jobs

    def _later(self, at_ms: float, happen: Callable[..., None], *given: Any) -> None:
        self._count += 1
        heappush(self._events, (at_ms, self._count, happen, given))

    # ---- what comes from outside

    def _beat(self) -> None:
        before = self.view.wan_share
        self.view.refresh(self, self._fate.share(self.now_ms))
        self._later(self.now_ms + HEARTBEAT_MS, self._beat)
        if self._strategy.by_urgency:
            for job in list(self.open):
                self._put_last_if_hopeless(job)
        if self._strategy.reconsiders and self.view.wan_share != before:
            for job in self._by_urgency():
                self._replan(job)

    def _by_urgency(self) -> list[Job]:
        return sorted(self.open, key=lambda job: job.rank or 0.0)

    def _put_last_if_hopeless(self, job: Job) -> None:
        """What cannot but be lost no longer keeps others waiting."""
        if job.rank == inf or job.graph.gateway in self.view.dead:
            return
        if self.now_ms + job.least_left_ms(self.now_ms) > job.graph.lost_ms:
            job.rank = inf
            for waiting in self.waiting:
                _line_up_again(waiting, job)
            for queue in self.queues:
                _line_up_again(queue, job)

    def _arrive(self, graph: Graph) -> None:
        self._left -= 1
        if not self.up[graph.gateway]:
            # Whoever asks a dead gateway gets no answer, and asks the next: the first never fails.
            graph = graph.asked_at(0)
        job = Job(graph, rank=graph.lost_ms if self._strategy.by_urgency else None)
        self.jobs.append(job)
        self.open[job] = None
        self._later(graph.lost_ms, self._give_up, job)
        self._strategy.decide(job, self.view, self.now_ms)
        self._finish_task(job, 0)
        if self._strategy.deputies:
            deputies.name(job, self)

    def _give_up(self, job: Job) -> None:
        if not job.over:
            job.lost = True
            self._forget(job)

    def _fail(self, machine: int) -> None:
        self.up[machine] = False
        for run in [*self.running[machine], *(entry[2] for entry in self.waiting[machine])]:
            self._stop(run)
        self.running[machine].clear()
        self.waiting[machine].clear()
        for job in self.open:
            for transfer in list(job.moving.values()):
                if machine in (transfer.source, transfer.target):
                    self._drop(transfer)
            if any(copy.live and machine in (copy.source, copy.target) for copy in job.copies):
                deputies.forget(job, self)

    def _miss(self, machine: int) -> None:
        if not self.up[machine]:
            self.seen_up[machine] = False
            self.view.die(machine, self.now_ms)
            for job in self._by_urgency():
                moved = deputies.take_over(job, machine, self)
                if moved or self._touches(job, machine):
                    self._replan(job)

    def _return(self, machine: int) -> None:
        was_seen = not self.seen_up[machine]
        self.up[machine] = self.seen_up[machine] = True
        self.view.revive(machine)
        for job in list(self.open):
            if was_seen and job.graph.gateway == machine:
                self._replan(job)
            else:
                self._advance(job)

    def _touches(self, job: Job, machine: int) -> bool:
        unfinished = any(not done and job.node[task] == machine for task, done in enumerate(job.done))
        return unfinished or any(at == {machine} for at in job.at)

    # ---- a job's way

    def _replan(self, job: Job) -> None:
        job.undo(frozenset(machine for machine, up in enumerate(self.seen_up) if up))
        before = list(job.node)
        self._strategy.decide(job, self.view, self.now_ms)
        for task, run in list(job.runs.items()):
            if run.begun_ms is None and job.node[task] != before[task]:
                self._stop(run)
                self.waiting[run.machine] = [entry for entry in self.waiting[run.machine] if entry[2].live]
        for edge, transfer in list(job.moving.items()):
            if transfer.begun_ms is None and transfer.target != job.node[job.graph.edges[edge][1]]:
                self._drop(transfer)
        self._advance(job)

    def _advance(self, job: Job) -> None:
        for task in range(len(job.done)):
            if job.over:
                return
            self._advance_task(job, task)

    def _advance_task(self, job: Job, task: int) -> None:
        here = job.node[task]
        if job.done[task] or task in job.runs or not self.up[here]:
            return
        for edge in job.inputs(task):
            if here not in job.at[edge] and edge not in job.moving:
                self._send(job, edge, here)
        if job.complete(task):
            self._queue(job, task)

    def _finish_task(self, job: Job, task: int) -> None:
        job.done[task] = True
        if task == job.graph.sink:
            job.finished_ms = self.now_ms
            self._forget(job)
            return
        for edge in job.outputs(task):
            job.at[edge].add(job.node[task])
        for edge in job.outputs(task):
            self._advance_task(job, job.graph.edges[edge][1])

    def _forget(self, job: Job) -> None:
        for run in list(job.runs.values()):
            self._stop(run)
            if run.begun_ms is not None:
                self.running[run.machine].remove(run)
                self._fill(run.machine)
        for machine, waiting in enumerate(self.waiting):
            if any(not entry[2].live for entry in waiting):
                self.waiting[machine] = sorted(entry for entry in waiting if entry[2].live)
        for transfer in list(job.moving.values()):
            self._drop(transfer)
        deputies.forget(job, self)
        del self.open[job]

    # ---- machines

    def _queue(self, job: Job, task: int) -> None:
        machine = job.node[task]
        noise = Random(f"{self._seed} {job.graph.number} {task}").uniform(1.0 - NOISE, 1.0 + NOISE)
        run = job.runs[task] = Run(job, task, machine, noise)
        self._count += 1
        heappush(self.waiting[machine], (job.place(task), self._count, run))
        self._fill(machine)

    def _fill(self, machine: int) -> None:
        slots = MACHINES[machine].slots
        while self.waiting[machine] and (slots is None or len(self.running[machine]) < slots):
            run = heappop(self.waiting[machine])[2]
            if run.live:
                run.begun_ms = self.now_ms
                self.running[machine].append(run)
                self._later(self.now_ms + run.expected_ms * run.noise, self._end, run)

    def _end(self, run: Run) -> None:
        if run.live:
            self._stop(run)
            self.running[run.machine].remove(run)
            self._finish_task(run.job, run.task)
            self._fill(run.machine)

    def _stop(self, run: Run) -> None:
        run.live = False
        del run.job.runs[run.task]
        if run.begun_ms is not None:
            run.job.energy_j += (self.now_ms - run.begun_ms) / 1000.0 * MACHINES[run.machine].power_w

    # ---- channels

    def _send(self, job: Job, edge: int, target: int) -> None:
        source = next((at for at in sorted(job.at[edge]) if self.up[at]), None)
        if source is None:
            return
        channel = channel_between(source, target)
        transfer = job.moving[edge] = Transfer(job, edge, source, target, channel)
        if channel == FREE:
            self._begin(transfer)
        else:
            self.line_up(transfer, (self.now_ms, 0.0) if job.rank is None else _place(transfer))

    def line_up(self, transfer: Transfer, place: Place) -> None:
        """Let it wait for its channel."""
        self._count += 1
        heappush(self.queues[transfer.channel], (place, self._count, transfer))
        self._next(transfer.channel)

    def _next(self, channel: int) -> None:
        queue = self.queues[channel]
        while self.sending[channel] is None and queue:
            transfer = heappop(queue)[2]
            if transfer.live:
                self.sending[channel] = transfer
                self._begin(transfer)

    def _begin(self, transfer: Transfer) -> None:
        transfer.begun_ms = self.now_ms
        bits = transfer.job.graph.edges[transfer.edge][2]
        transfer.job.energy_j += bits * RADIO_J_PER_BIT[transfer.channel]
        self._later(self._fate.sent_by(transfer.channel, self.now_ms, bits), self._sent, transfer)

    def _sent(self, transfer: Transfer) -> None:
        if self.sending[transfer.channel] is transfer:
            self.sending[transfer.channel] = None
            self._next(transfer.channel)
        if transfer.live:
            later = self.now_ms + latency_ms(transfer.source, transfer.target)
            self._later(later, self._deliver, transfer)

    def _deliver(self, transfer: Transfer) -> None:
        job = transfer.job
        if transfer.live and transfer in job.copies:
            transfer.live = False
        elif transfer.live:
            transfer.live = False
            del job.moving[transfer.edge]
            job.at[transfer.edge].add(transfer.target)
            self._advance_task(job, job.graph.edges[transfer.edge][1])

    def _drop(self, transfer: Transfer) -> None:
        del transfer.job.moving[transfer.edge]
        self.cut(transfer)

    def cut(self, transfer: Transfer) -> None:
        """Whether it waits or is on its way, nothing of it arrives."""
        transfer.live = False
        if self.sending[transfer.channel] is transfer:
            self.sending[transfer.channel] = None
            self._next(transfer.channel)


def _line_up_again(line: list[tuple[Place, int, Waiting]], job: Job) -> None:
    """All of a job's where its present rank puts them."""
    line[:] = [(_place(one) if one.job is job else place, count, one) for place, count, one in line]
    heapify(line)


def _place(one: Run | Transfer) -> Place:
    task = one.task if isinstance(one, Run) else one.job.graph.edges[one.edge][1]
    return one.job.place(task)
