"""The desk is opened by the first question about nodes, and not before: in a real daemon, too."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from common.clock import SystemClock
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.nodes.desk import Desk
from edge_agent.nodes.reception import QUESTIONS, Reception
from firmware_bridge.provisioning.pdus import Capabilities
from tests.agent.test_config import TEXT, write
from tests.nodes.site import Site

DAEMON = """
import asyncio, os, signal, sys
from pathlib import Path
from common.errors import NotSupported
from edge_agent import app
from edge_agent.client import ask
from edge_agent.config import load_config

NEEDED = {"edge_agent.nodes", *(f"edge_agent.nodes.{name}" for name in ("reception", "store", "vault"))}

def loaded():
    below = ("edge_agent.nodes", "firmware_bridge.provisioning")
    return sorted(name for name in sys.modules if name.startswith(below) and name not in NEEDED)

async def asked(config):
    while not config.socket.exists():
        await asyncio.sleep(0.02)
    await asyncio.to_thread(ask, config.socket, "status")
    print(*loaded())
    try:
        await asyncio.to_thread(ask, config.socket, "nodes-add", uuid="00" * 16)
    except NotSupported as error:
        print(error)
    print("edge_agent.nodes.desk" in loaded())
    os.kill(os.getpid(), signal.SIGTERM)

async def main():
    config = load_config(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app.run(config))
        tasks.create_task(asked(config))

asyncio.run(main())
"""


def test_a_running_daemon_has_loaded_nothing_about_nodes_until_it_is_asked(tmp_path: Path) -> None:
    initialise(tmp_path / "c", InitOptions())
    identity = enrol(tmp_path / "c", "hall", "gw-1").folder
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        (identity / name).rename(tmp_path / name)
    config = write(tmp_path, TEXT.replace("/elsewhere/", "").replace('"virtual"', '"virtual"\nnodes = 4'))
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    before, refusal, after = done.stdout.splitlines()
    assert (before, after) == ("", "True")
    assert "can neither add nor remove nodes" in refusal


def test_the_reception_takes_every_question_of_the_desk(tmp_path: Path) -> None:
    desk = object.__new__(Desk)
    assert set(desk.questions()) == set(QUESTIONS)


async def test_the_first_question_may_begin_a_job(tmp_path: Path) -> None:
    site = Site(tmp_path, Capabilities(1), None, SystemClock())
    opened: list[Desk] = []

    def open_desk() -> Desk:
        opened.append(site.desk)
        return site.desk

    reception = Reception(open_desk)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reception.run())
        await asyncio.sleep(0)
        assert not opened
        begun = await reception.questions()["nodes-add"]({"uuid": "00" * 16})
        await reception.questions()["nodes-follow"]({"job": begun["job"], "seen": 0})
        running.cancel()
    assert len(opened) == 1
