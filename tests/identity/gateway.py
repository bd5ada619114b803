"""A gateway's own files, copied from its enrolment as an operator would, its configuration and its agent."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import MeshtwinError
from edge_agent.client import ask
from edge_agent.config import AgentConfig, load_config


def settle(
    state: Path, home: Path, gateway: str = "gw-1", port: int = 8443, broker: int = 8883
) -> AgentConfig:
    """Copy the identity of an enrolled gateway into `home` and write an agent.toml for it."""
    home.mkdir(exist_ok=True)
    copy_identity(state, home, gateway)
    path = home / "agent.toml"
    path.write_text(
        f"""
[gateway]
site = "hall"
id = "{gateway}"
address = "0x0001"
state_dir = "state"
[mesh]
link = "virtual"
[broker]
host = "127.0.0.1"
port = {broker}
ca = "ca.crt"
certificate = "gateway.crt"
key = "gateway.key"
[coordinator]
port = {port}
"""
    )
    (home / "state").mkdir(exist_ok=True)
    return load_config(path)


def copy_identity(state: Path, home: Path, gateway: str = "gw-1") -> None:
    """What an operator does after `gateways enrol`."""
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        shutil.copy(state / "gateways" / gateway / name, home / name)


def give_lives(state: Path, *, gateway_s: float | None = None, server_s: float | None = None) -> None:
    """Set the lives of certificates in `coordinator.toml`, in seconds."""
    lives = {"gateway_days": gateway_s, "server_days": server_s}
    lines = [f"{key} = {seconds / 86_400}" for key, seconds in lives.items() if seconds is not None]
    path = state / "coordinator.toml"
    head, table, tail = path.read_text().partition("[identity]\n")
    path.write_text("\n".join([head + table.rstrip(), *lines, tail]))


class RunningAgent:
    """An agent as a process of its own; `log` is what it has said."""

    def __init__(self, config: AgentConfig, process: subprocess.Popen[bytes], log: Path) -> None:
        self._config = config
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def status(self) -> dict[str, Any]:
        """Its answer to `edge-agent status`; empty while it does not answer."""
        assert self._process.poll() is None, self.log
        try:
            answer: dict[str, Any] = ask(self._config.socket, "status", 10.0)
        except MeshtwinError:
            return {}
        return answer

    def certificate(self, key: str) -> Any:
        """What its status says of its certificate."""
        return self.status().get("certificate", {}).get(key)

    def is_connected(self) -> bool:
        return self.status().get("broker") == "connected"


@contextmanager
def running_agent(config: AgentConfig) -> Iterator[RunningAgent]:
    """The agent of `settle`, stopped at the end."""
    home = config.broker.certificate.parent
    log = home / "agent.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "edge_agent", "--config", str(home / "agent.toml")]
        process = subprocess.Popen(command, stderr=output)
    try:
        yield RunningAgent(config, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
