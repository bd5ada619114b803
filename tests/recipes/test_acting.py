"""Whom orders go to: the gateway that acts, and never a machine without a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from common.clock import ManualClock
from common.errors import Unavailable
from common.messages import Status, encode
from coordinator.recipes.commanding import CommandDesk
from coordinator.repository.batch import Batch, StatusHeard
from coordinator.repository.store import Repository


class Silent:
    """A line that nothing is sent over."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        return True


def status(name: str, tier: Literal["gateway", "mec", "cloud"], acting: bool = False) -> StatusHeard:
    told = Status(site="hall", gateway=name, time=0.0, online=True, address=None, epoch=7, tier=tier,
                  acting=acting)  # fmt: skip
    return StatusHeard(name, "hall", True, True, 7, 0, encode(told))


def desk(folder: Path, *statuses: StatusHeard) -> tuple[Repository, CommandDesk]:
    repository = Repository(f"sqlite:///{folder / 'repository.db'}")
    repository.store(Batch(0.0, [], {one.gateway: one for one in statuses}))
    return repository, CommandDesk(Silent(), repository, lambda _: "hall", ManualClock(0.0, 0.0))


async def test_a_machine_that_only_runs_tasks_gets_no_orders(tmp_path: Path) -> None:
    repository, asked = desk(tmp_path, status("a-mec", "mec", acting=True), status("gw-1", "gateway"))
    with repository:
        assert await asked.acting("hall") == "gw-1"


async def test_a_site_with_such_machines_alone_has_nobody_to_act(tmp_path: Path) -> None:
    repository, asked = desk(tmp_path, status("a-mec", "mec"), status("a-cloud", "cloud"))
    with repository, pytest.raises(Unavailable, match="no gateway"):
        await asked.acting("hall")
