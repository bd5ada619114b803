"""The parts that run tasks on this gateway, put together. Made when tasks are first asked for, or were left
over; `reception` sees to that.

Other machines come in by `remotes`, and by `runner.witness` who keeps the jobs besides.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from common.clock import Clock
from common.errors import Corrupt, Misconfigured
from common.files import make_folder, write_file
from common.kinds import catalogue
from common.kinds.kind import MIB
from common.logs import get_logger
from common.messages import JobStanding, TaskLoad
from common.taskgraph.blob_store import BlobStore
from common.taskgraph.executor import Executor
from common.taskgraph.wire import TaskLimits
from common.tasks import together
from edge_agent import state_file
from edge_agent.config import TasksSection
from edge_agent.tasks.admission import Ceilings, Machine
from edge_agent.tasks.cost_model import CostModel, ModelledCosts
from edge_agent.tasks.cost_model_runs import RunRecords
from edge_agent.tasks.desk import Desk
from edge_agent.tasks.job_store import open_store
from edge_agent.tasks.local import Allowance, LocalExecutor
from edge_agent.tasks.reception import JOBS_FILE
from edge_agent.tasks.runner import Runner

SAVE_S: Final = 5.0
"""Between two looks whether what was learned of costs should be written down: an agent that was killed
foretells badly until it has learned them again."""

log = get_logger(__name__)


class TaskService:
    """Run `run()`. `gateway` is this machine's name, `folder` its own for tasks.

    Raises Misconfigured or Unavailable when the disk refuses.
    """

    def __init__(
        self,
        section: TasksSection,
        gateway: str,
        folder: Path,
        clock: Clock,
        announce: Callable[..., None],
        warn: Callable[..., None] = lambda event, **fields: None,
        host: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """`host` tells the last measurements of the machine, as `observe.host` names them."""
        self.clock = clock
        self._host = host
        self._warn = warn
        self._costs_file = make_folder(folder) / "costs.json"
        limits = TaskLimits(
            memory_bytes=section.memory_mib * MIB,
            cpu_s=section.cpu_s,
            wall_s=section.wall_s,
            output_bytes=section.output_mib * MIB,
        )
        self.gateway = gateway
        self.costs = self._costs_read()
        self.runs = RunRecords(folder / "runs.jsonl")
        self.costs.note = self.runs.note
        self._model_file = folder / "cost-model.tflite"
        self.cost_model = CostModel(catalogue.find, self.costs.forget_model)
        self.cost_model.use(self._model_read())
        self.blobs = BlobStore(folder / "blobs", section.store_mib * MIB)
        self.store, damaged = open_store(folder / JOBS_FILE)
        if damaged:
            warn("jobs-lost", reason="the file of jobs was damaged; it is kept as jobs.db.corrupt")
        allowance = Allowance(section.slots, limits, section.watts)
        self.local = LocalExecutor(gateway, self.blobs, folder / "work", allowance, clock)
        self.local.machine = self._machine
        self.local.ceilings = Ceilings(cpu_percent=section.refuse_cpu_percent)
        self.remotes: Callable[[], Sequence[Executor]] = tuple
        """The other machines that there are now."""
        self.beside: list[Callable[[], Coroutine[Any, Any, None]]] = []
        """What else runs for as long as the service does: the exchange with other machines."""
        self.runner = Runner(
            self.store,
            self.blobs,
            self.executors,
            self.costs,
            self.cost_model.find,
            limits,
            clock,
            announce,
            search=section.search,
        )
        self.desk = Desk(self)
        self.told_load: Callable[[], TaskLoad | None] = lambda: None
        """What the status tells others; None where nobody else's tasks are run."""
        self.told_jobs: Callable[[], list[JobStanding]] = list
        """The live jobs as the status tells them."""
        self.deputy_of: Callable[[str], str] = lambda job: ""
        """Who finishes a live job should this gateway die; empty when nobody would."""
        self.account: Callable[[], Mapping[str, Any]] = dict
        """How the exchange with other machines stands, for people."""

    def executors(self) -> list[Executor]:
        """All machines that there are now, this one first."""
        return [self.local, *self.remotes()]

    async def run(self) -> None:
        """Run jobs until cancelled; the workers end with it. Raises Unavailable or Corrupt (the file of jobs:
        make a new service)."""
        self._share_speeds()
        try:
            async with together() as group:
                group.create_task(self.runner.run())
                group.create_task(self.local.run_upkeep())
                group.create_task(self.desk.run())
                for part in self.beside:
                    group.create_task(part())
                while True:
                    await self.clock.sleep(SAVE_S)
                    self._save_costs()
        finally:
            await self.local.close()
            self._save_costs()
            self.store.close()

    def machine(self) -> Machine:
        """How this machine stands, for admission."""
        return self._machine()

    def summary(self) -> dict[str, Any]:
        """For `edge-agent status`."""
        load, tally = self.local.load(), self.runner.tally
        return {
            "live_jobs": len(self.runner.jobs),
            "slots": load.slots,
            "busy": load.busy,
            "queued": load.queued,
            "jobs_done": tally.jobs_done,
            "jobs_failed": tally.jobs_failed,
            "jobs_late": tally.jobs_late,
            "reruns": tally.reruns,
            "tasks_done": self.local.tally.done,
            "tasks_failed": dict(self.local.tally.failed),
            "store_mib": round(self.blobs.used_bytes / MIB, 1),
            **self.account(),
        }

    def _machine(self) -> Machine:
        host, load = self._host(), self.local.load()
        cpu = host.get("cpu_percent")
        if cpu is not None:
            # Tasks are not to keep tasks out: slots do that.
            cpu -= 100.0 * load.busy / (os.cpu_count() or 1)
        return Machine(
            cpu_percent=cpu,
            memory_percent=host.get("memory_percent"),
            slots=load.slots,
            queued=load.queued,
            live_jobs=len(self.runner.jobs),
            store_free_bytes=self.blobs.free_bytes,
        )

    def _share_speeds(self) -> None:
        self.local.speed = self.costs.speeds(self.gateway)

    def use_cost_model(self, bundle: bytes | None) -> None:
        """Follow a cost model from now on, over restarts; None: none. It was tried (`cost_model.prepare`).
        Raises Misconfigured when the disk refuses."""
        if bundle is None:
            self._model_file.unlink(missing_ok=True)
        else:
            write_file(self._model_file, bundle)
        self.cost_model.use(bundle)

    def cost_model_told(self) -> dict[str, Any]:
        """For people: whether there is a cost model, and by kind which is used, it or the estimate, and
        why."""
        kinds = {kind: duel.told() for kind, duel in sorted(self.costs.duels.items())}
        return {"present": self.cost_model.present, "failure": self.cost_model.failure, "kinds": kinds}

    def _model_read(self) -> bytes | None:
        try:
            return self._model_file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("cost-model-lost", reason=str(error.strerror))
            return None

    def _costs_read(self) -> ModelledCosts:
        try:
            return ModelledCosts.of(state_file.load(self._costs_file) or {})
        except Corrupt as error:
            self._warn("costs-lost", reason=str(error))
            return ModelledCosts()

    def _save_costs(self) -> None:
        if not self.costs.learned:
            return
        self._share_speeds()
        try:
            state_file.save(self._costs_file, self.costs.document())
            self.runs.save()
            self.costs.learned = 0
        except Misconfigured as error:
            log.warning("costs-not-saved", reason=error.problem)
