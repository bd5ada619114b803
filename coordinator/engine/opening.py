"""Which engine the configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from coordinator.engine.engine import Engine
from coordinator.engine.processes import Processes, processors

if TYPE_CHECKING:  # Every worker loads this package, and needs no configuration.
    from coordinator.config import EngineSettings


def open_engine(settings: EngineSettings, style: Literal["line", "json"] = "line") -> Engine:
    """The engine; nothing is started or dialled before the first job. `style` is that of its logs.

    Raises Misconfigured for a cluster's URL without the package for it.
    """
    if settings.url is not None:
        from coordinator.engine.cluster import Cluster

        return Cluster(settings)
    return Processes(settings.workers or processors(), idle_s=60.0 * settings.idle_min, style=style)


def fresh_process() -> Engine:
    """One process for one long job, with all the machine's processors: nothing of it stays in memory."""
    return Processes(1, limit_s=None, single=False)
