"""The gateway's own desk as deputies and owners need it: `Jobs` over the runner and its file."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from common.errors import Rejected, Unavailable
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.graph import TaskGraph, parse
from common.taskgraph.wire import TaskResult
from edge_agent.tasks.job_store import JobState, JobStore
from edge_agent.tasks.replica import Replica, owner_of
from edge_agent.tasks.runner import Runner


class DeskJobs:
    """Implements `Jobs`. `runner` is asked for late: it is built after whoever witnesses its jobs."""

    def __init__(self, gateway: str, store: JobStore, blobs: BlobStore, runner: Callable[[], Runner]) -> None:
        self._gateway = gateway
        self._store = store
        self._blobs = blobs
        self._runner = runner

    def own(self) -> Iterable[str]:
        """The live jobs that were submitted here."""
        return [row.id for row in self._store.rows(live=True) if owner_of(row.id) == self._gateway]

    def state(self, job: str) -> str | None:
        """A job's JobState; None where it is not known."""
        row = self._store.row(job)
        return None if row is None else row.state.value

    def replica(self, job: str) -> Replica | None:
        """A job as it stands, with the blobs of it that are here."""
        row = self._store.row(job)
        if row is None:
            return None
        document = self._store.document(job)
        graph, results = self._known(job, document)
        digests = {digest for result in results.values() for digest in result.outputs.values()}
        sizes = {d: self._blobs.size(d) for d in graph.blobs() | digests}
        return Replica(
            job,
            document,
            row.submitted,
            row.deadline,
            results,
            {digest: size for digest, size in sizes.items() if size is not None},
            row.state.value,
            row.reason,
        )

    def _known(self, job: str, document: bytes) -> tuple[TaskGraph, dict[str, TaskResult]]:
        """Its graph and results: of a live job as the runner holds them, for reading thousands takes long."""
        held = self._runner().jobs.get(job)
        if held is None:
            return parse(document), self._store.results(job)
        standings = held.progress.standings.items()
        return held.progress.graph, {name: one.result for name, one in standings if one.result is not None}

    def adopt(self, replica: Replica, owner: str) -> None:
        """Store another gateway's job and run what is left of it."""
        self._take(replica)

    def merge(self, replica: Replica) -> None:
        """Take over what became of an own job elsewhere."""
        is_live = self._take(replica)
        if is_live and replica.state == JobState.FAILED.value:
            self._runner().jobs[replica.job].progress.fail(replica.reason)
        elif is_live and replica.state == JobState.CANCELLED.value:
            self._runner().cancel(replica.job, replica.reason)

    def withdraw(self, job: str) -> None:
        """Stop an adopted job and forget it."""
        if owner_of(job) != self._gateway:
            self._runner().withdraw(job)

    def _take(self, replica: Replica) -> bool:
        """Whether it is live here now."""
        try:
            took = self._runner().take_over(
                replica.job, replica.document, replica.submitted, replica.deadline, replica.results
            )
        except Rejected as error:
            raise Unavailable(f"{replica.job} cannot be run here: {error}") from error
        if took and replica.job not in self._runner().jobs:
            raise Unavailable("the runner is not running")
        return took
