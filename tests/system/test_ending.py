"""However the stage is told to end, it leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ENDED_WITHIN_S = 20.0


def running(mark: str) -> list[str]:
    """Command lines of live processes whose environment carries `mark`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Short, for the paths of Unix sockets; cleared also of what a killed demo could not remove."""
    with tempfile.TemporaryDirectory(prefix="end-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.broker
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_demo_that_is_told_to_end_leaves_no_process(told: signal.Signals, short_folder: Path) -> None:
    mark = f"TMPDIR={short_folder}"
    demo = subprocess.Popen(
        [sys.executable, "-m", "tools.stage", "--once", "--virtual", "25"],
        env={**os.environ, "TMPDIR": str(short_folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert demo.stdout is not None
    with demo.stdout:
        assert any("gateway's agent" in line for line in demo.stdout), "the demo did not come so far"
        demo.send_signal(told)
        demo.wait(ENDED_WITHIN_S)
    deadline = time.monotonic() + ENDED_WITHIN_S
    while running(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(mark) == []
