"""The lab's processes: brought up, injured, watched, and gone with whoever ran them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.errors import Misconfigured, Rejected, Unavailable
from tools.meshlab.client import LabClient
from tools.meshlab.lab import Lab
from tools.meshlab.poll import until
from tools.meshlab.topology import Topology

pytestmark = pytest.mark.meshlab

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 30


async def test_every_daemon_is_up_on_one_bus_under_its_own_name(tmp_path: Path) -> None:
    async with Lab(tmp_path, 3) as lab:
        names = {await lab.bus_name(index) for index in range(3)}
        pids = {lab.daemon_pid(index) for index in range(3)}
        assert len(names) == len(pids) == 3
        assert lab.bus_address.startswith("unix:path=/")
        assert [node.state for node in lab.status()] == ["up", "up", "up"]
        assert all(_exists(pid) for pid in pids)
    assert not any(_exists(pid) for pid in pids)


async def test_nothing_but_storage_and_logs_is_left_behind(tmp_path: Path) -> None:
    async with Lab(tmp_path, 1) as lab:
        sockets = Path(lab.state()["sockets"])
        assert _mode(sockets) == 0o700
    assert not _is_there(sockets)
    assert set(os.listdir(tmp_path)) == {"0", "air.log", "bus.log", "lab.lock", "mesh-main.conf"}


async def test_a_killed_daemon_is_down_and_starts_again_under_another_name(tmp_path: Path) -> None:
    async with Lab(tmp_path, 2) as lab:
        name, pid = await lab.bus_name(1), lab.daemon_pid(1)
        await lab.kill(1)
        await lab.kill(1)
        assert not _exists(pid)
        assert lab.status()[1].state == "down"
        with pytest.raises(Unavailable):
            lab.daemon_pid(1)
        with pytest.raises(Unavailable):
            await lab.bus_name(1)
        with pytest.raises(Unavailable):
            await lab.pause(1)
        await lab.restart(1)
        assert await lab.bus_name(1) != name
        assert lab.daemon_pid(1) != pid


async def test_a_running_daemon_can_be_restarted_at_once(tmp_path: Path) -> None:
    async with Lab(tmp_path, 1) as lab:
        pid = lab.daemon_pid(0)
        await lab.restart(0)
        assert lab.daemon_pid(0) != pid


async def test_a_paused_daemon_stands_still_until_resumed(tmp_path: Path) -> None:
    async with Lab(tmp_path, 2) as lab:
        await lab.pause(0)
        assert _process_state(lab.daemon_pid(0)) == "T"
        assert [node.state for node in lab.status()] == ["paused", "up"]
        await lab.resume(0)
        assert _process_state(lab.daemon_pid(0)) != "T"
        await lab.pause(1)
        await lab.restart(1)
        assert lab.status()[1].state == "up"


async def test_a_node_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    async with Lab(tmp_path, 1) as lab:
        for wrong in (-1, 1):
            with pytest.raises(Rejected):
                await lab.kill(wrong)
            with pytest.raises(Rejected):
                await lab.set_loss(0, wrong, 0.5)
            with pytest.raises(Rejected):
                lab.daemon_pid(wrong)


async def test_usage_is_told_for_every_process(tmp_path: Path) -> None:
    async with Lab(tmp_path, 2) as lab:
        await lab.kill(1)
        usage = await lab.usage()
        assert usage.nodes[1] is None
        assert usage.nodes[0] is not None
        for process in (usage.air, usage.bus, usage.nodes[0]):
            assert process.rss_kib >= process.pss_kib > 0


async def test_links_are_changed_one_by_one_or_all_at_once(tmp_path: Path) -> None:
    async with Lab(tmp_path, 3, Topology.line(3)) as lab:
        await lab.set_loss(0, 1, 0.25, both_ways=True)
        await lab.set_loss(1, 2, 0.5)
        assert await lab.topology() == Topology(3, {(0, 1): 0.25, (1, 0): 0.25, (1, 2): 0.5, (2, 1): 0.0})
        await lab.set_topology(Topology.star(3))
        assert await lab.topology() == Topology.star(3)
        assert {(link.source, link.target) for link in await lab.link_stats()} >= set(Topology.star(3).links)


async def test_a_folder_has_one_lab_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        LabClient.attach(tmp_path)
    async with Lab(tmp_path, 1):
        with pytest.raises(Misconfigured) as refused:
            async with Lab(tmp_path, 1):
                pass
        assert "down" in refused.value.fix
        LabClient.attach(tmp_path)
    async with Lab(tmp_path, 1):
        pass


async def test_more_daemons_than_the_topology_has_nodes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        async with Lab(tmp_path, 3, Topology.line(2)):
            pass


async def test_run_returns_when_told_and_raises_when_the_air_ends(tmp_path: Path) -> None:
    async with Lab(tmp_path / "a", 1) as lab:
        lab.end()
        await lab.run()
    async with Lab(tmp_path / "b", 1) as lab:
        os.kill(lab.state()["air_pid"], signal.SIGKILL)
        with pytest.raises(Unavailable, match="air ended"):
            await lab.run()


class Foreground:
    """`python -m tools.meshlab up` in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "tools.meshlab",
            "up",
            "--count",
            "2",
            "--folder",
            str(folder),
            "--json",
        ]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.state = json.loads(self.process.stdout.readline())
        self.pids = [node["pid"] for node in self.state["nodes"]]
        self.pids += [self.state["air_pid"], self.state["bus_pid"]]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[Foreground]:
    lab = Foreground(tmp_path)
    yield lab
    lab.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_lab_in_order(
    foreground: Foreground, tmp_path: Path, number: signal.Signals
) -> None:
    foreground.process.send_signal(number)
    async with asyncio.timeout(SECONDS):
        await until(lambda: foreground.process.poll() is not None)
    assert foreground.process.returncode == 0
    assert not any(_exists(pid) for pid in foreground.pids)
    assert not (tmp_path / "lab.json").exists()


async def test_nothing_survives_a_lab_that_was_killed(foreground: Foreground, tmp_path: Path) -> None:
    client = LabClient.attach(tmp_path)
    await client.pause(1)
    foreground.process.kill()
    async with asyncio.timeout(SECONDS):
        await until(lambda: not any(_exists(pid) for pid in foreground.pids))
    with pytest.raises(Unavailable):
        LabClient.attach(tmp_path)
    async with Lab(tmp_path, 1):
        assert not _is_there(Path(foreground.state["sockets"]))


async def test_another_process_reaches_a_running_lab(foreground: Foreground, tmp_path: Path) -> None:
    client = LabClient.attach(tmp_path)
    assert client.bus_address == foreground.state["bus_address"]
    await client.kill(0)
    assert not _exists(foreground.pids[0])
    await client.restart(0)
    assert client.daemon_pid(0) != foreground.pids[0]
    await client.down()
    assert foreground.process.wait(SECONDS) == 0


def test_the_command_line_speaks_json_and_refuses_in_one_line(foreground: Foreground, tmp_path: Path) -> None:
    status = json.loads(_command(tmp_path, "status", "--json").stdout)
    assert [node["state"] for node in status["nodes"]] == ["up", "up"]
    assert _command(tmp_path, "loss", "0", "1", "0.5").returncode == 0
    assert [0, 1, 0.5] in json.loads(_command(tmp_path, "topology").stdout)["links"]
    assert len(json.loads(_command(tmp_path, "stats", "--json").stdout)["nodes"]) == 2
    refused = _command(tmp_path, "kill", "7")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert _command(tmp_path, "down").returncode == 0
    assert "no lab runs" in _command(tmp_path, "status").stderr


def _command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.meshlab", *arguments, "--folder", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _is_there(path: Path) -> bool:
    return path.exists()


def _exists(pid: int) -> bool:
    """Whether a process runs; one that nobody has collected yet does not."""
    return Path(f"/proc/{pid}").exists() and _process_state(pid) not in ("Z", "X")


def _process_state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
