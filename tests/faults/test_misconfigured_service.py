"""A service that only a person can mend: the coordinator's and the broker's stay down; the agent waits a
minute before it ends, so that it comes back by itself without a start every two seconds.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest

from edge_agent.retry import PAUSE_S, Pause
from tests.coordinator.conftest import ROOT


@contextmanager
def misconfigured_agent(environment: dict[str, str], shell: str) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon with a configuration that does not exist, started by a shell that becomes it."""
    command = f"{shell} exec {sys.executable} -m edge_agent --config /nonexistent/agent.toml"
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        stderr=subprocess.PIPE,
    )
    with process:
        yield process


def test_an_agent_as_a_service_says_what_is_wrong_and_waits_until_it_is_stopped(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with misconfigured_agent(environment, "SYSTEMD_EXEC_PID=$$") as process:
            heard = manager.recv(4096)
            assert process.stderr is not None
            assert b"/nonexistent/agent.toml" in process.stderr.readline()
            assert process.poll() is None
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == -signal.SIGTERM
    assert heard.startswith(b"WATCHDOG=1\nSTATUS=cannot run as it is configured")


def test_an_agent_in_a_terminal_ends_at_once() -> None:
    with misconfigured_agent({"SYSTEMD_EXEC_PID": "1"}, "") as process:
        assert process.wait(30) == 2


def test_the_pause_is_a_minute_in_steps_shorter_than_the_watchdog() -> None:
    slept: list[float] = []
    Pause({"SYSTEMD_EXEC_PID": str(os.getpid())}, slept.append).take()
    assert (sum(slept), max(slept) < 30.0) == (PAUSE_S, True)


@pytest.mark.parametrize(
    ("package", "unit", "stays_down"),
    [
        ("coordinator.service", "meshtwin-coordinator.service", True),
        ("coordinator.service", "meshtwin-broker.service", True),
        ("edge_agent.service", "meshtwin-agent.service", False),
    ],
)
def test_the_units_agree(package: str, unit: str, stays_down: bool) -> None:
    text = resources.files(package).joinpath("files", unit).read_text()
    assert ("RestartPreventExitStatus=2\n" in text) is stays_down
    assert "Restart=always\n" in text
    # A command before the main one has no exit code that keeps a unit down: its failure must not count.
    assert all(line.startswith("ExecStartPre=-") for line in text.splitlines() if "ExecStartPre=" in line)
