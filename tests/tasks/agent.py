"""A whole agent that only runs tasks (no mesh, and a broker that is away), in a process of its own that can
be killed; and its command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from common.errors import Unavailable
from coordinator.broker.process import free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.cli.commands import app
from edge_agent.client import ask

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0


class AgentProcess:
    """Starts at once; `kill` and `start` as often as one likes; `stop` at the end."""

    def __init__(self, folder: Path, slots: int = 2) -> None:
        self.config = _configured(folder, slots)
        self.socket = folder / "state" / "agent.sock"
        self._log = (folder / "agent.log").open("ab")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_agent", "--config", str(self.config)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + DEADLINE_S
        while not self._answers():
            assert self.process.poll() is None, Path(self._log.name).read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self._log.close()

    def run(self, *words: str) -> Result:
        """`edge-agent tasks` with these words."""
        return CliRunner().invoke(app, ["tasks", *words, "--config", str(self.config)])

    def told(self, *words: str) -> Any:
        """What it prints with --json."""
        done = self.run(*words, "--json")
        assert done.exit_code == 0, (done.output, done.exception)
        return json.loads(done.stdout)

    def ended(self, job: str) -> Any:
        """The job once it is over."""
        deadline = time.monotonic() + DEADLINE_S
        while (told := self.told("show", job))["state"] == "live":
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return told

    def resident_kib(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

    def _answers(self) -> bool:
        try:
            ask(self.socket, "status")
        except Unavailable:
            return False
        return True


def _configured(folder: Path, slots: int) -> Path:
    state = folder / "coordinator"
    initialise(state, InitOptions(port=free_port()))
    enrol(state, "hall", "gw-1")
    identity = state / "gateways" / "gw-1"
    config = folder / "agent.toml"
    config.write_text(
        f"""[gateway]
site = "hall"
id = "gw-1"
state_dir = "{folder / "state"}"
[mesh]
link = "none"
[broker]
host = "127.0.0.1"
port = {free_port()}
ca = "{state / "pki" / "ca.crt"}"
certificate = "{identity / "gateway.crt"}"
key = "{identity / "gateway.key"}"
[tasks]
slots = {slots}
"""
    )
    return config


def graph_file(folder: Path, *tasks: dict[str, Any], **more: Any) -> str:
    path = folder / "graph.json"
    path.write_text(json.dumps({"name": "test", "tasks": list(tasks), **more}))
    return str(path)
