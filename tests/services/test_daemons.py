"""Real agent and coordinator processes under a manager of the test: ready when they answer, silent when they
hang. Neither has a broker: that must not matter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from coordinator.broker.process import free_port
from coordinator.client import Client
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.client import ask
from tests.services.manager import Manager

ROOT = Path(__file__).parents[2]

# The decision loop waits as long as the file is there; everything else in the process goes on.
AGENT = """
import asyncio, sys
from pathlib import Path
from edge_agent.__main__ import main
from edge_agent.decide import loop
flag, config = Path(sys.argv[1]), sys.argv[2]

class Stuck:
    def __init__(self, event): self._event = event
    def __getattr__(self, name): return getattr(self._event, name)
    async def wait(self):
        await self._event.wait()
        while flag.exists(): await asyncio.sleep(0.02)

born = loop.DecisionLoop.__init__
def init(self, *arguments, **others):
    born(self, *arguments, **others)
    self._wake = Stuck(self._wake)
loop.DecisionLoop.__init__ = init
sys.exit(main(["--config", config]))
"""
# The storing thread waits as long as the file is there.
COORDINATOR = """
import sys, time
from pathlib import Path
from coordinator.app import serve
from coordinator.ingest.handover import HandOver
flag, state = Path(sys.argv[1]), Path(sys.argv[2])
real = HandOver.take
def take(*arguments):
    while flag.exists(): time.sleep(0.02)
    return real(*arguments)
HandOver.take = take
serve(state)
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """Not below the tests' own folder: the path of a socket in it would be too long."""
    with tempfile.TemporaryDirectory(prefix="meshtwin-") as folder:
        state = Path(folder) / "c"
        initialise(state, InitOptions(port=free_port(), gateways_port=0))
        yield state


@pytest.fixture
def config(state: Path) -> Path:
    folder = enrol(state, "hall", "gw-1", address=1).folder
    file = folder / "agent.toml"
    file.write_text(
        file.read_text().replace("[gateway]", '[gateway]\nstate_dir = "state"')
        + '\n[mesh]\nlink = "virtual"\nnodes = 6\n'
    )
    return file


@contextmanager
def daemon(code: str, flag: Path, subject: Path, manager: Manager) -> Iterator[Callable[[], None]]:
    """The process, running; what is yielded raises when it has ended."""
    log = flag.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(flag), str(subject)],
            cwd=ROOT,
            env={**os.environ, **manager.environment},
            stdout=output,
            stderr=output,
        )

    def check() -> None:
        assert process.poll() is None, log.read_text()

    try:
        yield check
        process.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert process.wait(30) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_an_agent_is_ready_when_it_answers_and_silent_when_decisions_hang(
    tmp_path: Path, config: Path
) -> None:
    flag, socket = tmp_path / "hang", config.parent / "state" / "agent.sock"
    with Manager(tmp_path / "notify", 2.0) as manager, daemon(AGENT, flag, config, manager) as check:
        assert "broker away" in manager.until("READY=1", alive=check)
        assert ask(socket, "status")["gateway"] == "gw-1"
        manager.until("WATCHDOG=1", alive=check)
        flag.touch()
        manager.until_silence(2.5)
        assert ask(socket, "status")["gateway"] == "gw-1", "only the decisions hang"
        flag.unlink()
        manager.until("WATCHDOG=1", alive=check)


def test_a_coordinator_is_ready_when_it_answers_and_silent_when_storing_hangs(
    tmp_path: Path, state: Path
) -> None:
    flag, socket = tmp_path / "hang", state / "run" / "coordinator.sock"
    with Manager(tmp_path / "notify", 2.0) as manager, daemon(COORDINATOR, flag, state, manager) as check:
        assert "broker away" in manager.until("READY=1", alive=check)
        with Client(socket) as client:
            assert client.get("health")["broker_connected"] is False
        manager.until("WATCHDOG=1", alive=check)
        flag.touch()
        manager.until_silence(2.5)
        with Client(socket) as client:
            assert client.get("health")["stored"] == 0, "only storing hangs"
        flag.unlink()
        manager.until("WATCHDOG=1", alive=check)
