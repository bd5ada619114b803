"""Where heavy work is done: on processes of this machine, or on a Dask cluster."""

from coordinator.engine.engine import Engine, EngineStatus, JobTooLong, WorkerDied
from coordinator.engine.opening import fresh_process, open_engine

__all__ = ["Engine", "EngineStatus", "JobTooLong", "WorkerDied", "fresh_process", "open_engine"]
