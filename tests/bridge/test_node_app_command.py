"""`python -m firmware_bridge.node_app`: mistakes are one line with a fix, and it stops when told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bridge.real_site import site_document


@contextmanager
def _started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "firmware_bridge.node_app", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(site_document(2)))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("node", "words"),
    [("0x0777", "no node 0x0777"), ("0x0101=x", "not a process id"), ("lamp", "not an address")],
)
def test_a_wrong_node_is_told_in_words(site_file: Path, tmp_path: Path, node: str, words: str) -> None:
    with _started("--site-file", str(site_file), "--state-dir", str(tmp_path), node) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode in (1, 2)
        assert words in errors
        assert "Traceback" not in errors


def test_it_waits_for_a_bus_that_is_away_and_stops_when_told(site_file: Path, tmp_path: Path) -> None:
    bus = f"unix:path={tmp_path}/no-bus"
    arguments = ["--site-file", str(site_file), "--state-dir", str(tmp_path), "--bus-address", bus]
    with _started(*arguments, "--log-level", "debug", "0x0101=1") as process:
        assert process.stderr is not None
        assert any("node-detached" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "node-app-stops" in errors
