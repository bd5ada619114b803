"""An agent's process on a small simulated site, with or without root's rights, and without a broker."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from common.errors import MeshtwinError
from coordinator.enrolment import enrol
from coordinator.installation import initialise
from edge_agent import client
from tests.coordinator.sender import wait_for
from tests.faults.disks import NOBODY
from tests.healing.test_healing import PAIRS
from tools.stage.virtual import VirtualStage

ROOT = Path(__file__).parents[2]
GATEWAY, RELAYS, SPARE = 1, (2, 3), 5
LEARN_S = 90.0


@cache
def compiled_for_nobody() -> Path:
    """Where nobody finds the simulator compiled, made once for a machine by whoever comes first.

    It cannot write where root's is kept, and would compile it at every start.
    """
    mine = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"meshtwin-compiled-{NOBODY}-{mine}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid in (0, NOBODY), f"{folder} belongs to somebody else"
    os.chown(folder, NOBODY, NOBODY)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        who = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        subprocess.run(
            [*who, sys.executable, "-m", "common.radio.compilation"],
            cwd=ROOT,
            env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
            stderr=subprocess.DEVNULL,
            check=True,
        )
    finally:
        os.close(descriptor)
    return folder


class AgentProcess:
    """`python -m edge_agent` as nobody; `home` holds what it is given, `state` is its state folder."""

    def __init__(self, home: Path, state: Path, drop_rights: bool = True) -> None:
        home.mkdir()
        self.state = state
        self.log = home / "agent.log"
        self.config = write_config(home, state)
        self.stage = VirtualStage("site", home / "control.sock")
        self._command = [sys.executable, "-m", "edge_agent", "--config", str(self.config)]
        self._environment = dict(os.environ)
        if drop_rights:
            for path in (home, *home.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
            who = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--pdeathsig", "KILL"]
            self._command = ["setpriv", *who, *self._command]
            self._environment = os.environ | {"NUMBA_CACHE_DIR": str(compiled_for_nobody())}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it needs not live for long."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=log, env=self._environment)

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        process.terminate()
        return process.wait(30)

    def run_to_its_end(self) -> int:
        """Start it where it cannot run; its exit code."""
        self.start()
        assert self.process is not None
        process, self.process = self.process, None
        return process.wait(30)

    def status(self) -> dict[str, Any]:
        """What `edge-agent status` would be told; empty while nobody answers."""
        try:
            answer: dict[str, Any] = client.ask(self.state / "agent.sock", "status")
        except MeshtwinError:
            return {}
        return answer

    def wait_until(self, holds: Callable[[dict[str, Any]], bool], what: str, seconds: float = 30.0) -> None:
        """Poll the status until `holds`."""

        def settled() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the agent has ended:\n{self.said()}"
            return holds(self.status())

        wait_for(settled, f"{what}:\n{self.said()[-3000:]}", seconds)

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text()

    def heals(self) -> None:
        """A relay dies, and the spare one carries on."""
        before = self.status()["actions_confirmed"]
        asyncio.run(self.stage.kill(RELAYS[0]))
        self.wait_until(lambda status: status.get("actions_confirmed", 0) > before, "the healing")
        assert SPARE in asyncio.run(self.stage.relays())

    def __enter__(self) -> AgentProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def write_config(home: Path, state: Path) -> Path:
    """An identity, a site of nine nodes and a configuration below `home`. Nobody listens on its port."""
    initialise(home / "coordinator")
    identity = enrol(home / "coordinator", "hall", "gw-1").folder
    addresses = sorted({address for pair in PAIRS for address in pair})
    scenario = {
        "nodes": [{"address": address, "relay": address in RELAYS} for address in addresses],
        "links": [[a, b, 60.0] for pair in PAIRS for a, b in (pair, pair[::-1])],
        "duration_s": 3600,
    }
    (home / "scenario.json").write_text(json.dumps(scenario))
    path = home / "agent.toml"
    path.write_text(f"""
[gateway]
site = "hall"
id = "gw-1"
address = {GATEWAY}
state_dir = "{state}"
[mesh]
link = "virtual"
scenario = "scenario.json"
control = "control.sock"
[broker]
host = "127.0.0.1"
port = 1
ca = "{identity}/ca.crt"
certificate = "{identity}/gateway.crt"
key = "{identity}/gateway.key"
[monitoring]
host_period_s = 1.0
""")
    return path
