"""The contract of whoever runs single tasks: this machine, a peer, a MEC server, the cloud.

`tests/tasks/executor_contract.py` holds every implementation to it. Which executor a task goes to is decided
elsewhere (`planning`); what becomes of failures as well (`progress`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from common.errors import Unavailable
from common.taskgraph.graph import Tier
from common.taskgraph.wire import TaskRequest, TaskResult

__all__ = ["Executor", "Load", "MachineLost", "Refusal", "Refused", "Tier"]


class Refusal(StrEnum):
    """Why a machine takes no task now. Counted, and told to whoever asked."""

    OFF = "off"
    """Tasks are switched off there."""
    QUEUE = "queue"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    KIND = "kind"
    """It does not know the kind, or lacks what it needs."""
    LIMITS = "limits"
    """The task may take more than this machine ever allows."""
    STOPPING = "stopping"


class Refused(Unavailable):
    """A machine takes no task now; nothing was begun."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"refused ({reason.value}): {detail}")
        self.reason = reason
        self.detail = detail


class MachineLost(Unavailable):
    """The machine went away while it had the task, or cannot be reached; run it elsewhere."""


@dataclass(frozen=True, slots=True)
class Load:
    """How a machine stands, as far as is known here. Times in seconds, rates in bits per second."""

    slots: int
    """Tasks that it runs at once; 0 while it takes none."""
    busy: int = 0
    queued: int = 0
    """Tasks that wait there, of whomever."""
    speed: Mapping[str, float] = field(default_factory=dict)
    """By kind: wall seconds there for one second of the kind's hint, as that machine has learned; the key ""
    is for kinds without a figure of their own. Empty: as the reference machine."""
    up_bps: float = float("inf")
    """From this gateway to it."""
    down_bps: float = float("inf")
    latency_s: float = 0.0
    start_s: float = 0.0
    """What the next task waits for a worker to be started; 0 while one is warm, or where nothing is known."""
    watts: float = 1.5
    """Active power of one busy slot: what energy is modelled from."""
    joules_per_bit: float = 0.0
    """Of a transfer, both ends and what is between."""
    memory_bytes: int = 1 << 62
    """The most that it allows a task."""


class Executor(Protocol):
    """Runs single tasks. `name` is the machine's: a gateway's id, or `cloud`; unique among executors."""

    name: str
    tier: Tier

    async def run(self, request: TaskRequest) -> TaskResult:
        """Run it, and return what came of it: a task's own failure is a result, too.

        The inputs are in the owner's blob store before, the outputs in it when this returns. Cancelling
        stops the task, as soon as that can be told to its machine. The same (job, task, attempt) is asked
        for once only; a slot is found free before (`load`), although others may have been quicker.

        Raises Refused (nothing was begun) or MachineLost (it may have been).
        """

    def load(self) -> Load:
        """What is known now; asks nobody and takes no time."""
