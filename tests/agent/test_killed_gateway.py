"""A gateway process killed with -9 at seeded moments, its broker too: nothing lost, nothing stored twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from common.messages import Event, decode
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from tests.agent.consumer import Consumer
from tests.agent.gateway import LAST, SITE

pytestmark = pytest.mark.broker
ROOT = Path(__file__).parents[2]
LIVES = 6


def live(state: Path, port: int, folder: Path, life: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.agent.gateway", str(state), str(port), str(folder), life]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def confirmed_until_killed(process: subprocess.Popen[str], count: int, seconds: float) -> list[str]:
    """Kill the process some time after its `count`-th line; every whole line that it printed."""
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(count)]
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return [line.strip() for line in lines if line.endswith("\n")]


def test_a_killed_gateway_loses_and_doubles_nothing(tmp_path: Path) -> None:
    dice = random.Random(20)
    state, folder = tmp_path / "coordinator", tmp_path / "gateway"
    initialise(state, InitOptions(port=free_port()))
    enrol(state, SITE, "gw-1")
    confirmed: list[str] = []
    with BrokerProcess(state) as broker, Consumer(state, broker.port) as consumer:
        for life in range(LIVES):
            process = live(state, broker.port, folder, str(life))
            if life % 3 == 2:
                broker.kill()
            confirmed += confirmed_until_killed(process, dice.randint(1, 60), dice.uniform(0, 0.3))
            if life % 3 == 2:
                broker.start()
        last = live(state, broker.port, folder, LAST)
        last.communicate(timeout=60)
        assert last.returncode == 0
        told = [decode(Event, envelope.body) for envelope in consumer.stored.values()]
    stored = Counter(f"{event.fields['life']} {event.fields['number']}" for event in told)
    assert consumer.conflicts == 0
    assert set(confirmed) <= set(stored)
    assert set(stored.values()) == {1}
    assert {event.name for event in told} == {"told"}
