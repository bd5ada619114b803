"""Whether this machine takes more tasks: of its own operator's jobs, and single ones of other gateways.

Pure: (what is asked, how the machine stands) to a refusal with a reason, or none. Healing comes first: a
machine that is busy with anything else says no rather than being slow at everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from common.taskgraph.executor import Refusal, Refused

LIVE_JOBS: Final = 64
MEMORY_LEFT_MIB: Final = 64.0
"""Kept free for the agent and the rest of the machine."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Where this machine begins to refuse. Percentages are of the whole machine."""

    cpu_percent: float = 95.0
    memory_percent: float = 90.0
    queue: int = 64
    """Tasks of others that wait here."""
    live_jobs: int = LIVE_JOBS


@dataclass(frozen=True, slots=True)
class Machine:
    """How it stands, as measured lately; None where it cannot be told."""

    cpu_percent: float | None = None
    """Of all that is not tasks: a machine that only runs tasks is not overloaded by them."""
    memory_percent: float | None = None
    slots: int = 1
    queued: int = 0
    live_jobs: int = 0
    store_free_bytes: int = 1 << 40
    stopping: bool = False


def check_job(size_bytes: int, machine: Machine, ceilings: Ceilings) -> None:
    """Whether a job may be submitted. It may wait for machines, so little keeps it out. Raises Refused."""
    if machine.stopping:
        raise Refused(Refusal.STOPPING, "the agent is stopping")
    if machine.live_jobs >= ceilings.live_jobs:
        raise Refused(Refusal.QUEUE, f"{machine.live_jobs} jobs are under way; wait, or cancel one")
    if size_bytes > machine.store_free_bytes:
        raise Refused(Refusal.DISK, f"{size_bytes} bytes do not fit beside what other jobs need")


def check_task(memory_bytes: int, most_memory_bytes: int, machine: Machine, ceilings: Ceilings) -> None:
    """Whether another gateway's task may come here now. Raises Refused."""
    if machine.stopping:
        raise Refused(Refusal.STOPPING, "the agent is stopping")
    if machine.slots == 0:
        raise Refused(Refusal.OFF, "it runs no tasks")
    if memory_bytes > most_memory_bytes:
        raise Refused(
            Refusal.LIMITS, f"{memory_bytes >> 20} MiB wanted, {most_memory_bytes >> 20} are allowed here"
        )
    if machine.queued >= ceilings.queue:
        raise Refused(Refusal.QUEUE, f"{machine.queued} tasks wait already")
    if machine.cpu_percent is not None and machine.cpu_percent > ceilings.cpu_percent:
        raise Refused(Refusal.CPU, f"the processor is {machine.cpu_percent:.0f} % busy")
    if machine.memory_percent is not None and machine.memory_percent > ceilings.memory_percent:
        raise Refused(Refusal.MEMORY, f"{machine.memory_percent:.0f} % of the memory is in use")
