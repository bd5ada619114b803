"""The main job, played by real processes from beginning to end."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [pytest.mark.alone, pytest.mark.timeout(360)]


def play(*arguments: str) -> dict[str, Any]:
    """Run the demo; its summary."""
    ended = subprocess.run(
        [sys.executable, "-m", "tools.stage", "--once", *arguments],
        capture_output=True,
        text=True,
        timeout=330,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    summary: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return summary


def check(summary: dict[str, Any]) -> None:
    assert summary["ok"]
    assert set(summary["healed_s"]) == {"with_everything", "no_coordinator", "no_broker"}
    assert summary["changes"] == 3, "each death is mended by exactly one change"
    assert summary["waited"] > 0, "something happened while broker and coordinator were away"
    assert summary["holes"] == 0


@pytest.mark.meshlab
@pytest.mark.broker
def test_real_nodes_are_healed_with_everything_without_coordinator_and_without_broker() -> None:
    summary = play()
    check(summary)
    assert summary["nodes"] == {"site-a": 14, "site-b": 60}


@pytest.mark.broker
def test_simulated_nodes_are_healed_just_so() -> None:
    summary = play("--virtual", "40")
    check(summary)
    assert summary["nodes"] == {"site-a": 40}
