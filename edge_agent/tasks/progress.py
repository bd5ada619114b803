"""How far a job is, and what is to be done next: pure decisions over what has come in.

Knows tasks, attempts and machines' names; starts nothing and stores nothing. `runner` asks it after every
event and carries out what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from common.taskgraph.checks import Kind, output_of
from common.taskgraph.graph import Task, TaskGraph
from common.taskgraph.wire import Failure, FailureReason, TaskResult

MAX_FAILURES: Final = 3
"""Of one task, for reasons that another try may not meet."""

FAILED_S: Final = 3.0
"""A machine on which a task has failed gets it no more for so long, times the failures."""

MAX_LOSSES: Final = 50
"""Of one task's machines: they are nobody's fault, but somewhere it has to end."""

NO_ROOM_S: Final = 300.0
"""For so long a task is tried again although nowhere was room for its blobs: other jobs may end and leave
some, and operators may make some."""

FindKind = Callable[[str], Kind]
_INPUT_GONE: Final = (FailureReason.CORRUPT_INPUT, FailureReason.MISSING_INPUT)


class TaskState(StrEnum):
    """How one task stands."""

    WAITING = "waiting"
    """For tasks before it."""
    READY = "ready"
    """For a machine."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Standing:
    """One task's."""

    task: Task
    state: TaskState = TaskState.WAITING
    attempt: int = 0
    machine: str = ""
    """Where it runs or ran."""
    began: float = 0.0
    """Monotonic, of the last start."""
    ended: float = 0.0
    failures: int = 0
    losses: int = 0
    no_room_since: float | None = None
    """Monotonic, of the first refusal for want of room since its last run."""
    barred: dict[str, float] = field(default_factory=dict)
    """Machines that it shall not go to, until when (monotonic)."""
    result: TaskResult | None = None
    trouble: str = ""
    """What went wrong last, for people."""


class Progress:
    """One job's. `first_attempt` is where the numbers of this life begin."""

    def __init__(self, graph: TaskGraph, order: Iterable[Task], first_attempt: int = 1) -> None:
        self.graph = graph
        self.order = [task.id for task in order]
        self.standings = {task.id: Standing(task, attempt=first_attempt - 1) for task in graph.tasks}
        self._followers: dict[str, list[str]] = {}
        for task in graph.tasks:
            for needed in task.needs():
                self._followers.setdefault(needed, []).append(task.id)
        self._unmet = {task.id: len(task.needs()) for task in graph.tasks}
        self.done = 0
        self.failure: str = ""
        """Why the job has failed, naming the task; empty while it has not."""
        self._ready: dict[str, None] = {}
        for name in self.order:
            if self._unmet[name] == 0:
                self._make_ready(name)

    @property
    def finished(self) -> bool:
        """Whether every task is done."""
        return self.done == len(self.standings)

    def ready(self) -> list[str]:
        """Tasks that could start now, in topological order of their becoming so."""
        return list(self._ready)

    def running(self) -> list[Standing]:
        """Tasks that are somewhere."""
        return [one for one in self.standings.values() if one.state is TaskState.RUNNING]

    def counts(self) -> dict[str, int]:
        """Tasks by state."""
        found = dict.fromkeys((state.value for state in TaskState), 0)
        for standing in self.standings.values():
            found[standing.state.value] += 1
        return found

    def terminal(self) -> list[str]:
        """Tasks that no other takes from: the job's results are theirs."""
        taken = {source.task for task in self.graph.tasks for source in task.inputs.values()}
        return [name for name in self.order if name not in taken]

    def inputs(self, name: str, find: FindKind) -> dict[str, str]:
        """Digests of a ready task's inputs by name."""
        tasks = {key: standing.task for key, standing in self.standings.items()}
        digests: dict[str, str] = {}
        for key, source in self.standings[name].task.inputs.items():
            if source.blob is not None:
                digests[key] = source.blob
            elif source.task is not None:
                result = self.standings[source.task].result
                assert result is not None
                digests[key] = result.outputs[output_of(source, tasks, find)]
        return digests

    def start(self, name: str, machine: str, now: float) -> int:
        """A ready task goes to a machine; the number of the attempt."""
        standing = self.standings[name]
        standing.state, standing.machine, standing.began = TaskState.RUNNING, machine, now
        standing.attempt += 1
        self._ready.pop(name, None)
        return standing.attempt

    def restore(self, result: TaskResult) -> None:
        """Take over a result of a former life."""
        standing = self.standings.get(result.task)
        if standing is not None and standing.state is not TaskState.DONE and result.failure is None:
            self._ready.pop(result.task, None)
            standing.machine = result.machine
            self._complete(standing, result)

    def take(self, result: TaskResult, now: float, hopeless: bool = False) -> bool:
        """A result came. False when it is not wanted: of an attempt that was given up, or there already.

        `hopeless` says of a failure that no machine there is would meet another end.
        """
        standing = self.standings.get(result.task)
        if standing is None or standing.state is not TaskState.RUNNING or standing.attempt != result.attempt:
            return False
        standing.ended, standing.no_room_since = now, None
        if result.failure is None:
            self._complete(standing, result)
        else:
            self._fail(standing, result.failure, now, hopeless)
        return True

    def refused(self, name: str, attempt: int, text: str, until: float) -> None:
        """The machine took it not; it is tried elsewhere, and there again after `until`."""
        standing = self.standings[name]
        if standing.state is TaskState.RUNNING and standing.attempt == attempt:
            standing.barred[standing.machine] = until
            standing.trouble = f"{standing.machine}: {text}"[:300]
            self._make_ready(name)

    def no_room(self, name: str, attempt: int, text: str, now: float, until: float) -> None:
        """As `refused`, for want of room for its blobs: after some time that is the end of the job."""
        standing = self.standings[name]
        if standing.state is not TaskState.RUNNING or standing.attempt != attempt:
            return
        if standing.no_room_since is None:
            standing.no_room_since = now
        self.refused(name, attempt, text, until)
        if now - standing.no_room_since >= NO_ROOM_S:
            self._give_up(standing, Failure(reason=FailureReason.DISK.value, text=text[:300]))

    def lost(self, name: str, attempt: int, text: str, until: float) -> None:
        """The machine went away with it; it runs elsewhere."""
        standing = self.standings[name]
        if standing.state is not TaskState.RUNNING or standing.attempt != attempt:
            return
        standing.losses += 1
        self.refused(name, attempt, text, until)
        if standing.losses >= MAX_LOSSES:
            self._give_up(standing, Failure(reason=FailureReason.LOST.value, text=text[:300]))

    def outputs_gone(self, names: Iterable[str]) -> None:
        """Outputs of done tasks are lost: those tasks run again, and what needs them waits."""
        for name in names:
            standing = self.standings[name]
            if standing.state is not TaskState.DONE:
                continue
            standing.result = None
            self.done -= 1
            self._make_ready(name)
            for follower in self._followers.get(name, ()):
                self._unmet[follower] += 1
                held = self.standings[follower]
                if held.state is TaskState.READY:
                    held.state = TaskState.WAITING
                    self._ready.pop(follower, None)

    def producers(self, name: str) -> list[str]:
        """The tasks whose outputs a task takes."""
        sources = self.standings[name].task.inputs.values()
        return list(dict.fromkeys(source.task for source in sources if source.task is not None))

    def fail(self, text: str) -> None:
        """The job as a whole has failed."""
        self.failure = self.failure or text

    def _complete(self, standing: Standing, result: TaskResult) -> None:
        standing.state, standing.result, standing.trouble = TaskState.DONE, result, ""
        self.done += 1
        for follower in self._followers.get(result.task, ()):
            self._unmet[follower] -= 1
            if self._unmet[follower] == 0 and self.standings[follower].state is TaskState.WAITING:
                self._make_ready(follower)

    def _fail(self, standing: Standing, failure: Failure, now: float, hopeless: bool) -> None:
        standing.trouble = f"{standing.machine}: {failure.reason}: {failure.text}"[:300]
        standing.failures += 1
        if failure.why.final or hopeless or standing.failures >= MAX_FAILURES:
            self._give_up(standing, failure)
            return
        if failure.why not in _INPUT_GONE:
            standing.barred[standing.machine] = now + FAILED_S * standing.failures
        self._make_ready(standing.task.id)

    def _give_up(self, standing: Standing, failure: Failure) -> None:
        standing.state = TaskState.FAILED
        self._ready.pop(standing.task.id, None)
        self.fail(f"task {standing.task.id} failed on {standing.machine}: {failure.reason}: {failure.text}")

    def _make_ready(self, name: str) -> None:
        standing = self.standings[name]
        if self._unmet[name] == 0:
            standing.state = TaskState.READY
            self._ready[name] = None
        else:
            standing.state = TaskState.WAITING
            self._ready.pop(name, None)


def input_gone(result: TaskResult) -> bool:
    """Whether a run failed because an input was not what it should be."""
    return result.failure is not None and result.failure.why in _INPUT_GONE


def barred(standing: Standing, machine: str, now: float) -> bool:
    """Whether a task shall not go to a machine for now."""
    return standing.barred.get(machine, 0.0) > now
