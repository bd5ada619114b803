"""No file that outlives a process of ours may be missing from the tables of the damage suite."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.coordinator.conftest import Serving, Site, serving, site  # noqa: F401
from tests.coordinator.sender import wait_for
from tests.faults.agent import AgentProcess
from tests.faults.agent_state import AGENT_STATE
from tests.faults.coordinator_state import COORDINATOR_STATE
from tests.faults.damage import StateFile
from tests.faults.disks import open_folder

pytestmark = pytest.mark.broker
_TEST_OWN = {"serve.log"}


def strangers(state: Path, table: tuple[StateFile, ...]) -> list[str]:
    names = [str(path.relative_to(state)) for path in state.rglob("*") if not path.is_dir()]
    return [name for name in names if name not in _TEST_OWN and not any(file.fits(name) for file in table)]


def test_every_file_of_a_coordinator_is_in_the_table(site: Site, serving: Serving) -> None:  # noqa: F811
    assert strangers(site.state, COORDINATOR_STATE) == []
    serving.end(signal.SIGKILL)
    assert strangers(site.state, COORDINATOR_STATE) == []


async def test_every_file_of_an_agent_is_in_the_table() -> None:
    with open_folder() as folder, AgentProcess(folder / "home", folder / "state", drop_rights=False) as agent:
        await asyncio.to_thread(agent.wait_until, lambda status: status.get("mesh") == "up", "the start")
        await asyncio.to_thread(
            wait_for, lambda: agent.status()["outbox"]["queued"] > 2, "the first envelopes"
        )
        assert strangers(agent.state, AGENT_STATE) == []
        assert agent.end() == 0
        assert strangers(agent.state, AGENT_STATE) == []
