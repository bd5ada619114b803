"""What tasks leave in the state of an agent and of a coordinator, with what opens it at the next start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from common.clock import ManualClock
from common.errors import Corrupt
from common.kinds.kind import Cost
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.wire import TaskResult
from edge_agent import state_file
from edge_agent.config import TasksSection
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.deputy_files import Kept, KeptFiles
from edge_agent.tasks.job_store import JobRow, JobState, JobStore
from edge_agent.tasks.plan_record import PlanRecord
from edge_agent.tasks.planning import Plan, Planned
from edge_agent.tasks.service import TaskService
from tests.faults.damage import FINE, MENDED, StateFile

BLOB: Final = bytes(range(256)) * 4
CAP_BYTES: Final = 1 << 20
_DOCUMENT: Final = (
    b'{"name": "one", "tasks": [{"id": "a", "kind": "measure"}, {"id": "b", "kind": "measure"}]}'
)


def make_agent_state(folder: Path) -> None:
    """A job that is under way, one that is kept for a peer, a blob, and what was learned of costs."""
    digest = make_blobs(folder / "blobs")
    store = JobStore(folder / "jobs.db")
    store.add(JobRow("gw-1-one", "one", JobState.LIVE, 100.0, None, 4, tasks=2), _DOCUMENT)
    store.record(_result(digest))
    plan = Plan({"b": Planned("gw-1", 0.0, 1.0, 0)}, 1.0, 1.0, 1.0, "list", 0.0)
    store.keep_plans("gw-1-one", PlanRecord(plan, plan, 0.1).packed())
    store.close()
    costs = Costs()
    costs.learn("measure", "gw-1", Cost(0.1), 0.2, 0.1)
    state_file.save(folder / "costs.json", costs.document())
    KeptFiles(folder / "kept").write(Kept("gw-2-two", "gw-2", 1, digest, len(BLOB), 100.0))


def make_blobs(folder: Path) -> str:
    """A store with one blob; its digest."""
    return BlobStore(folder, CAP_BYTES).put(BLOB)


def _result(digest: str) -> TaskResult:
    return TaskResult(
        job="gw-1-one",
        task="a",
        attempt=1,
        machine="gw-1",
        outputs={"report": digest},
        output_bytes=len(BLOB),
        cpu_s=0.1,
        wall_s=0.1,
        energy_j=0.1,
    )


def _service(state: Path) -> str:
    """The start of the service, and all that it reads of its jobs."""
    told: list[str] = []

    def warn(event: str, **fields: Any) -> None:
        told.append(event)

    service = TaskService(TasksSection(), "gw-1", state / "tasks", ManualClock(), lambda name: None, warn)
    logging.disable()
    try:
        for row in service.store.rows():
            service.store.document(row.id)
            service.store.results(row.id)
            service.runner.book.of(row.id)
    finally:
        logging.disable(logging.NOTSET)
        service.store.close()
    return MENDED if told else FINE


def _blobs(folder: Path) -> str:
    """Everybody who reads a blob does so by `get`, or has a worker that checks it alike."""
    store = BlobStore(folder, CAP_BYTES)
    for path in sorted(folder.iterdir()):
        try:
            assert store.get(path.name) == BLOB
        except Corrupt:
            return MENDED  # Removed: it is fetched or made again.
    return FINE


def _kept(state: Path) -> str:
    """A job that is lost here is kept anew by its owner."""
    folder = state / "tasks" / "kept"
    before = len(list(folder.glob("*.job")))
    logging.disable()
    try:
        return FINE if len(KeptFiles(folder).read()) == before else MENDED
    finally:
        logging.disable(logging.NOTSET)


AGENT_TASKS = (
    StateFile(r"tasks/jobs\.db", _service, places=40),
    StateFile(r"tasks/jobs\.db-(wal|shm)", why="as the outbox's: SQLite mends or makes it anew"),
    StateFile(r"tasks/costs\.json", _service, places=50),
    StateFile(r"tasks/blobs/[0-9a-f]{64}", lambda state: _blobs(state / "tasks" / "blobs"), places=40),
    StateFile(r"tasks/blobs/\d+\.\d+\.part", why="on its way: removed at the next start"),
    StateFile(r"tasks/kept/[a-z0-9_.-]+\.job", _kept, places=50),
    StateFile(r"tasks/work/.*", why="files of tasks: removed at the next start"),
)
COORDINATOR_TASKS = (
    StateFile(r"tasks/[0-9a-f]{64}", lambda state: _blobs(state / "tasks"), places=40),
    StateFile(r"tasks/\d+\.\d+\.part", why="on its way: removed at the next start"),
)
