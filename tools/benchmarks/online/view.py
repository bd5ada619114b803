"""What schedulers know of the fleet: the last heartbeats, and what their own gateway has decided since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import exp
from typing import TYPE_CHECKING, Final

from tools.benchmarks.online.fleet import CHANNELS, DOWN_S, FADING, FREE, MACHINES, MBIT_S
from tools.benchmarks.online.job import Job, Place

if TYPE_CHECKING:
    from tools.benchmarks.online.play import Play

HEARTBEAT_MS: Final = 100.0
AVERAGED_MS: Final = 5_000.0
"""Utilisation is averaged with this time constant."""

_FORGET: Final = exp(-HEARTBEAT_MS / AVERAGED_MS)
_USUALLY_DOWN_MS: Final = sum(DOWN_S) * 500.0


@dataclass(frozen=True, slots=True)
class Told:
    """What one job has on the fleet, as of a moment.

    `runs` are (machine, expected end), `tasks` those to come as (machine, place in line, expected duration),
    `bits` those in line for a channel, `sending` those on their way over it. Times are absolute, ms.
    """

    runs: tuple[tuple[int, float], ...]
    tasks: tuple[tuple[int, Place, float], ...]
    bits: tuple[tuple[int, float], ...]
    sending: tuple[tuple[int, float], ...]


def told(job: Job, now_ms: float) -> Told:
    """A job as its gateway tells it."""
    graph = job.graph
    begun = {task: run for task, run in job.runs.items() if run.begun_ms is not None}
    left = [task for task in range(1, graph.sink) if not job.done[task] and task not in begun]
    moving = [(t.channel, graph.edges[t.edge][2], t.begun_ms is None) for t in job.moving.values()]
    return Told(
        runs=tuple((run.machine, now_ms + run.left_ms(now_ms)) for run in begun.values()),
        tasks=tuple((job.node[i], job.place(i), graph.duration_ms(i, job.node[i])) for i in left),
        bits=tuple((channel, bits) for channel, bits, waits in moving if waits),
        sending=tuple((channel, bits) for channel, bits, waits in moving if not waits),
    )


class View:
    """Utilisations are averages."""

    def __init__(self) -> None:
        self.dead: dict[int, float] = {}
        self.used = [0.0] * len(MACHINES)
        self.channel_used = [0.0] * len(CHANNELS)
        self.wan_share = 1.0
        self._told: dict[Job, Told] = {}
        self._since: dict[Job, Told] = {}

    def refresh(self, play: Play, wan_share: float) -> None:
        """A heartbeat of everybody who lives."""
        self.wan_share = wan_share
        self._told, self._since = {job: told(job, play.now_ms) for job in play.open}, {}
        for machine, (slots, busy) in enumerate(zip((m.slots for m in MACHINES), play.running, strict=True)):
            if slots is not None and play.up[machine]:
                self.used[machine] += (1.0 - _FORGET) * (len(busy) / slots - self.used[machine])
        for channel in range(FREE):
            in_use = float(play.sending[channel] is not None)
            self.channel_used[channel] += (1.0 - _FORGET) * (in_use - self.channel_used[channel])

    def decided(self, job: Job, now_ms: float) -> None:
        """Its gateway knows at once, the others with the next heartbeat."""
        self._since[job] = told(job, now_ms)

    def die(self, machine: int, now_ms: float) -> None:
        """Heartbeats are missing."""
        self.dead[machine] = now_ms

    def revive(self, machine: int) -> None:
        """It is heard again."""
        self.dead.pop(machine, None)

    def back_ms(self, machine: int, now_ms: float) -> float:
        """In how many ms a dead machine may be back, by what is usual."""
        return max(self.dead[machine] + _USUALLY_DOWN_MS - now_ms, 1_000.0)

    def free_at(self, job: Job, now_ms: float) -> list[list[float]]:
        """Per machine, when each slot is through with what runs and with what goes before a job."""
        ends: list[list[float]] = [[] for _ in MACHINES]
        lines: list[list[tuple[Place, float]]] = [[] for _ in MACHINES]
        for other, known in self._others(job):
            for machine, end in known.runs:
                ends[machine].append(end)
            for machine, place, ms in known.tasks if other.goes_before(job) else ():
                lines[machine].append((place, ms))
        return [
            [] if machine in self.dead else _through(now_ms, MACHINES[machine].slots or 0, *of)
            for machine, of in enumerate(zip(ends, lines, strict=True))
        ]

    def channel_free_at(self, job: Job, now_ms: float) -> list[float]:
        """Per channel, when it has sent what goes before a job; half of what it sends now is still to go."""
        bits = [0.0] * len(CHANNELS)
        for other, known in self._others(job):
            for channel, some in known.sending:
                bits[channel] += some / 2.0
            for channel, some in known.bits if other.goes_before(job) else ():
                bits[channel] += some
        shares = [self.wan_share if channel in FADING else 1.0 for channel in range(len(CHANNELS))]
        return [now_ms + bits[c] / (MBIT_S[c] * 1000.0 * share) for c, share in enumerate(shares)]

    def _others(self, job: Job) -> Iterator[tuple[Job, Told]]:
        for other, known in (self._told | self._since).items():
            if other is not job:
                if other.graph.gateway == job.graph.gateway:
                    yield other, known
                elif other in self._told:
                    yield other, self._told[other]


def _through(now_ms: float, slots: int, ends: list[float], line: list[tuple[Place, float]]) -> list[float]:
    """When each slot is free: the latest `ends` run, and `line` follows in its order."""
    if not slots:
        return []
    free = [now_ms] * slots + [max(end, now_ms) for end in ends]
    free = sorted(free)[-slots:]
    heapify(free)
    for _, ms in sorted(line):
        heapreplace(free, free[0] + ms)
    return free
