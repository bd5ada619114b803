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


BUSY = """
import asyncio, sys, time
from tools.stage import ending

def compute():
    print("computing", flush=True)
    time.sleep(600.0)

async def work():
    try:
        await asyncio.to_thread(compute)
    finally:
        print("given back", flush=True)

try:
    ending.run(work())
except KeyboardInterrupt:
    sys.exit(ending.leave())
"""


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_nobody_waits_for_a_thread_that_computes(told: signal.Signals) -> None:
    stage = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert stage.stdout is not None
    with stage.stdout:
        assert stage.stdout.readline() == "computing\n"
        stage.send_signal(told)
        assert stage.stdout.read() == "given back\n"
    assert stage.wait(ENDED_WITHIN_S) == 130


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
