"""Broker, coordinator and agents of a fleet below one folder, each a process that can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from common.errors import MeshtwinError, Unavailable
from coordinator.broker.process import free_port
from coordinator.client import Client
from edge_agent import client as agent_client
from tools.stage.daemon import Daemon

TABLE_COLUMNS = 130
"""Wide enough for the tables of our commands, wherever the stage's own output goes."""


class Fleet:
    """`async with Fleet(folder) as fleet`: initialised, nothing started yet; all stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "coordinator"
        self.port = free_port()
        self.https_port = free_port()
        self.agents: dict[str, Daemon] = {}
        self._logs = folder / "logs"
        self._states: dict[str, Path] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        where = ["--state", str(self.state)]
        ports = ["--port", str(self.port), "--gateways-port", str(self.https_port)]
        await command("coordinator", "init", *where, *ports)
        self.broker = self._daemon("broker", ["coordinator", "broker", "run", *where], self._broker_listens)
        self.coordinator = self._daemon(
            "coordinator", ["coordinator", "serve", *where], self._coordinator_answers
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Start broker and coordinator."""
        await self.broker.start()
        await self.coordinator.start()

    async def add_agent(
        self,
        site: str,
        gateway: str,
        address: int,
        tables: dict[str, dict[str, Any]],
        state: Path | None = None,
    ) -> None:
        """Enrol a gateway, write its configuration and start its agent. `tables` are further TOML tables,
        `state` its state folder when it brings one."""
        await command("coordinator", "gateways", "enrol", site, gateway, "--state", str(self.state), "--json")
        identity = self.state / "gateways" / gateway
        home = self.folder / "agents" / gateway
        home.mkdir(parents=True)
        self._states[gateway] = state or home / "state"
        config: dict[str, dict[str, Any]] = {
            "gateway": {
                "site": site,
                "id": gateway,
                "address": address,
                "state_dir": str(self._states[gateway]),
            },
            "broker": {
                "host": "127.0.0.1",
                "port": self.port,
                "ca": str(identity / "ca.crt"),
                "certificate": str(identity / "gateway.crt"),
                "key": str(identity / "gateway.key"),
            },
            "coordinator": {"port": self.https_port},
            **tables,
        }
        path = home / "agent.toml"
        path.write_text(toml(config))

        async def answers() -> bool:
            return await self._agent_is_up(gateway)

        self.agents[gateway] = self._daemon(gateway, ["edge-agent", "run", "--config", str(path)], answers)
        await self.agents[gateway].start()

    def config_of(self, gateway: str) -> Path:
        """Where an agent's configuration file is."""
        return self.folder / "agents" / gateway / "agent.toml"

    async def ask_agent(
        self, gateway: str, question: str, within_s: float = 30.0, **fields: Any
    ) -> dict[str, Any]:
        """One question on the agent's Unix socket."""
        path = self._states[gateway] / "agent.sock"
        answer: dict[str, Any] = await asyncio.to_thread(agent_client.ask, path, question, within_s, **fields)
        return answer

    async def ask_coordinator(self, path: str, **question: Any) -> Any:
        """GET on the coordinator's API."""
        return await asyncio.to_thread(self._get, path, question)

    def _get(self, path: str, question: dict[str, Any]) -> Any:
        with Client(self.state / "run" / "coordinator.sock", timeout_s=10.0) as client:
            return client.get(path, **question)

    def _daemon(self, name: str, words: list[str], ready: Any) -> Daemon:
        daemon = Daemon(name, program(*words), self._logs / f"{name}.log", ready)
        self._stack.push_async_callback(daemon.stop)
        return daemon

    async def _broker_listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _coordinator_answers(self) -> bool:
        try:
            health = await self.ask_coordinator("health")
        except MeshtwinError:
            return False
        return bool(health["broker_connected"])

    async def _agent_is_up(self, gateway: str) -> bool:
        try:
            status = await self.ask_agent(gateway, "status")
        except MeshtwinError:
            return False
        return status.get("mesh") in ("up", "none")


def program(name: str, *arguments: str) -> list[str]:
    """The command line of one of our entry points, in this environment."""
    return [str(Path(sys.executable).with_name(name)), *arguments]


async def command(name: str, *arguments: str) -> str:
    """Run one of our commands to its end; its output. Raises Unavailable with what it printed."""
    process = await asyncio.create_subprocess_exec(
        *program(name, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": str(TABLE_COLUMNS)},
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise Unavailable(f"{name} {' '.join(arguments[:2])} failed:\n{errors.decode()}{output.decode()}")
    return output.decode()


def toml(document: dict[str, dict[str, Any]]) -> str:
    """Tables of strings, numbers, booleans and lists as TOML; JSON's notation of these is TOML's."""
    lines = []
    for name, table in document.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"
