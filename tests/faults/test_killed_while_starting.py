"""SIGKILL again and again while agent and coordinator start: the next start finds its way."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent import state_file
from edge_agent.decide.agreement import HOMES_FILE
from tests.coordinator.conftest import ROOT, Serving, Site, site  # noqa: F401
from tests.coordinator.sender import measurement
from tests.faults.agent import AgentProcess
from tests.faults.disks import open_folder

pytestmark = pytest.mark.broker
KILLS = 10
HOMES = {"4": "gw-1"}


def killed_while_starting(spawn: Callable[[], subprocess.Popen[bytes]], longest_s: float, seed: int) -> None:
    """Kill it `KILLS` times, at moments spread over the time that a start takes."""
    dice = random.Random(seed)
    for number in range(KILLS):
        process = spawn()
        time.sleep((number + dice.random()) / KILLS * longest_s)
        process.kill()
        assert process.wait(10) == -signal.SIGKILL


def start_s(start: Callable[[], None]) -> float:
    begun = time.monotonic()
    start()
    return time.monotonic() - begun


def test_an_agent_that_is_killed_while_it_starts_comes_back_with_what_it_had() -> None:
    with open_folder() as folder:
        with AgentProcess(folder / "home", folder / "state", drop_rights=False) as agent:
            took = start_s(lambda: agent.wait_until(lambda status: status.get("mesh") == "up", "the start"))
            epoch = agent.status()["outbox"]["epoch"]
            assert agent.end() == 0
        state_file.save(folder / "state" / HOMES_FILE, HOMES)

        def spawn() -> subprocess.Popen[bytes]:
            agent.start()
            assert agent.process is not None
            return agent.process

        killed_while_starting(spawn, took, seed=7)
        with agent:
            agent.wait_until(lambda status: status.get("mesh") == "up", "the last start")
            assert agent.status()["outbox"]["epoch"] == epoch
            assert agent.end() == 0
        assert "Traceback" not in agent.said()
        assert state_file.load(folder / "state" / HOMES_FILE) == HOMES
        assert list((folder / "state").glob("*.corrupt*")) == []


def test_a_coordinator_that_is_killed_while_it_starts_comes_back_with_what_it_had(site: Site) -> None:  # noqa: F811
    serving = Serving(site.state)
    with site.sender() as sender:
        took = start_s(serving.start)
        sender.deliver([measurement(number) for number in range(1, 11)])
        serving.end(signal.SIGKILL)
        killed_while_starting(lambda: _spawn(site.state), took, seed=8)
        serving.start()
        try:
            sender.deliver([measurement(number) for number in range(1, 21)])
            (found,) = serving.get("gateways")
            assert found["stream"]["sequence"] == 20
        finally:
            serving.end(signal.SIGTERM)
    assert "Traceback" not in serving.log.read_text()


def test_a_coordinator_that_is_killed_while_it_is_made_can_be_made_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-m", "coordinator.cli", "init", "--state"]

    def init(folder: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, str(folder)], cwd=ROOT, stdout=subprocess.DEVNULL)

    took = start_s(lambda: check_ended(init(tmp_path / "measured")))
    for number in range(5):
        process = init(state)
        time.sleep((number + 1) / 6 * took)
        process.kill()
        process.wait(10)
    check_ended(init(state))


def check_ended(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(30) == 0


def _spawn(state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "coordinator.cli", "serve", "--state", str(state)]
    with (state / "serve.log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, stderr=log)
