"""A coordinator with a real broker: state folder, broker, `coordinator serve` as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from common.errors import Unavailable
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.client import Client
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from coordinator.repository.store import Repository
from tests.coordinator.sender import Sender, wait_for

ROOT = Path(__file__).parents[2]


class Serving:
    """`coordinator serve` of a state folder; `with` starts and stops it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.log = state / "serve.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, connected: bool = True) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "coordinator.cli", "serve", "--state", str(self.state)]
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log)
        wait_for(lambda: self._answers(connected), f"the coordinator; see {self.log}")

    def end(self, how: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(how)
        return process.wait(30)

    def get(self, path: str, **question: Any) -> Any:
        with Client(self.state / "run" / "coordinator.sock") as client:
            return client.get(path, **question)

    def __enter__(self) -> Serving:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.end(signal.SIGTERM)

    def _answers(self, connected: bool) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return bool(self.get("health")["broker_connected"]) or not connected
        except Unavailable:
            return False


class Site:
    """The state folder with its broker, one site and one gateway."""

    __test__ = False

    def __init__(self, state: Path, broker: BrokerProcess) -> None:
        self.state, self.broker = state, broker
        self.identity = state / "gateways" / "gw-1"

    def sender(self) -> Sender:
        return Sender(self.broker.port, self.identity)

    def repository(self) -> Repository:
        return Repository(f"sqlite:///{self.state}/repository.db")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    state = tmp_path / "state"
    initialise(state, InitOptions(port=free_port(), gateways_port=free_port()))
    enrol(state, "office", "gw-1")
    with BrokerProcess(state) as broker:
        yield Site(state, broker)


@pytest.fixture
def serving(site: Site) -> Iterator[Serving]:
    with Serving(site.state) as running:
        yield running


def command(*arguments: str, state: Path, seconds: float = 60.0) -> tuple[int, Any, str]:
    """Run `coordinator …`: exit code, standard output (parsed where it is JSON), standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "coordinator.cli", *arguments, "--state", str(state)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={"PATH": "/usr/bin:/usr/sbin:/bin", "COLUMNS": "200"},
    )
    output = json.loads(done.stdout) if "--json" in arguments and done.stdout else done.stdout
    return done.returncode, output, done.stderr
