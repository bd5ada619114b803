"""The air as the process that it is, with plain sockets for nodes."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected, RejectReason, Unavailable
from tools.meshlab.commands import answer
from tools.meshlab.control import call
from tools.meshlab.poll import listens, until
from tools.meshlab.topology import Topology

ROOT = Path(__file__).resolve().parents[2]
NETWORK = b"\x2a" + bytes(range(20))
HEARD = b"\x15" + NETWORK


class FakeNode:
    """A node's two ends, as a daemon has them."""

    def __init__(self, folder: Path, index: int) -> None:
        self._air = str(folder / f"air.{index}")
        self._path = folder / f"node.{index}"
        self._socket = self._bound()

    def _bound(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.bind(str(self._path))
        return made

    def send(self, data: bytes = NETWORK) -> None:
        self._socket.sendto(data, self._air)

    def drain(self) -> list[bytes]:
        """All that has arrived."""
        heard = []
        while True:
            try:
                heard.append(self._socket.recv(64))
            except BlockingIOError:
                return heard

    def restart(self) -> None:
        self.close()
        self._path.unlink()
        self._socket = self._bound()

    def close(self) -> None:
        self._socket.close()


class RunningAir:
    """An air process and the nodes around it."""

    def __init__(self, folder: Path, topology: Topology, seed: int = 1) -> None:
        self.folder = folder
        file = folder / "topology.json"
        file.write_text(json.dumps(topology.to_json()))
        command = [sys.executable, "-m", "tools.meshlab.air", str(folder)]
        command += ["--topology", str(file), "--seed", str(seed)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE)
        self.nodes = [FakeNode(folder, index) for index in range(topology.nodes)]

    async def call(self, command: str, **arguments: Any) -> Any:
        return await call(self.folder / "air", command, **arguments)

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            await until(lambda: listens(self.folder / "air"))

    async def node(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = (await self.call("stats"))["nodes"][index]
        return row

    async def sent(self, index: int, count: int) -> None:
        """Return once the air has carried `count` datagrams of a node."""

        async def carried() -> bool:
            return bool((await self.node(index))["tx"] >= count)

        async with asyncio.timeout(20):
            await until(carried)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        for node in self.nodes:
            node.close()


@pytest.fixture
def line(sockets: Path) -> Iterator[RunningAir]:
    """Nodes 0 - 1 - 2."""
    air = RunningAir(sockets, Topology.line(3))
    yield air
    air.close()


async def test_a_datagram_reaches_the_neighbours_and_no_one_else(line: RunningAir) -> None:
    await line.ready()
    line.nodes[0].send()
    await line.sent(0, 1)
    assert [node.drain() for node in line.nodes] == [[], [HEARD], []]
    line.nodes[1].send()
    await line.sent(1, 1)
    assert [node.drain() for node in line.nodes] == [[HEARD], [], [HEARD]]


async def test_everything_is_counted(line: RunningAir) -> None:
    await line.ready()
    await line.call("loss", **{"from": 1, "to": 0, "loss": 1.0})
    line.nodes[2].close()
    for datagram in (NETWORK, b"\x2b" + bytes(22)):
        line.nodes[1].send(datagram)
    await line.sent(1, 2)
    none = {"tx": 0, "rx": 0, "lost": 0, "full": 0, "gone": 0, "types": {}}
    assert await line.node(0) == none | {"lost": 2}
    assert await line.node(1) == none | {"tx": 2, "types": {"0x2a": 1, "0x2b": 1}}
    assert await line.node(2) == none | {"gone": 2}
    stats = await line.call("stats")
    assert stats["seed"] == 1
    assert stats["cpu_s"] > 0


async def test_a_node_that_does_not_read_fills_its_own_queue_alone(line: RunningAir) -> None:
    await line.ready()
    for count in range(1, 31):
        line.nodes[1].send()
        await line.sent(1, count)
        line.nodes[2].drain()
    deaf, reading = await line.node(0), await line.node(2)
    assert deaf["rx"] + deaf["full"] == 30
    assert deaf["full"] > 0
    assert reading["rx"] == 30


async def test_a_node_that_was_started_again_hears_again(line: RunningAir) -> None:
    await line.ready()
    line.nodes[1].send()
    await line.sent(1, 1)
    line.nodes[0].restart()
    line.nodes[1].send()
    await line.sent(1, 2)
    assert line.nodes[0].drain() == [HEARD]
    line.nodes[0].send()
    await line.sent(0, 1)
    assert line.nodes[1].drain() == [HEARD]


async def test_links_change_while_it_runs(line: RunningAir) -> None:
    await line.ready()
    changed = Topology.from_links(3, [(0, 2)])
    assert Topology.from_json(await line.call("topology", topology=changed.to_json())) == changed
    line.nodes[0].send()
    await line.sent(0, 1)
    assert [node.drain() for node in line.nodes] == [[], [], [HEARD]]


async def test_a_silent_node_neither_hears_nor_is_heard(line: RunningAir) -> None:
    await line.ready()
    await line.call("silence", node=1)
    line.nodes[0].send()
    line.nodes[1].send()
    await line.sent(0, 1)
    await line.sent(1, 1)
    assert [node.drain() for node in line.nodes] == [[], [], []]
    await line.call("unsilence", node=1)
    line.nodes[0].send()
    await line.sent(0, 2)
    assert line.nodes[1].drain() == [HEARD]


async def test_daemons_are_asked_for_their_bus_names(line: RunningAir) -> None:
    await line.ready()
    assert await line.call("names") == [None, None, None]
    assert line.nodes[1].drain() == [b"\0"]
    line.nodes[1].send(b"\0:1.42\0")

    async def named() -> bool:
        return bool(await line.call("names") == [None, ":1.42", None])

    async with asyncio.timeout(20):
        await until(named)
    await line.call("forget", node=1)
    assert (await line.call("names"))[1] is None


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        ("fly", {}, RejectReason.UNKNOWN_KIND),
        ("silence", {"node": 3}, RejectReason.OUT_OF_RANGE),
        ("silence", {"node": "1"}, RejectReason.MALFORMED),
        ("loss", {"from": 0, "to": 1, "loss": 2}, RejectReason.OUT_OF_RANGE),
        ("loss", {"from": 0, "to": 1}, RejectReason.MALFORMED),
        ("topology", {"topology": {"nodes": 3}}, RejectReason.MALFORMED),
        ("topology", {"topology": {"nodes": 4, "links": []}}, RejectReason.INVALID),
    ],
)
async def test_a_wrong_command_is_refused_and_the_air_goes_on(
    line: RunningAir, command: str, arguments: dict[str, Any], reason: RejectReason
) -> None:
    await line.ready()
    with pytest.raises(Rejected) as refused:
        await line.call(command, **arguments)
    assert refused.value.reason is reason
    line.nodes[0].send()
    await line.sent(0, 1)


async def test_half_a_command_and_a_lost_client_disturb_nobody(line: RunningAir) -> None:
    await line.ready()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(line.folder / "air"))
        client.sendall(b'{"do": "sta')
        line.nodes[0].send()
        await line.sent(0, 1)
        client.sendall(b'ts"}\n{"do": "stats"}\n')
    assert line.nodes[1].drain() == [HEARD]


async def test_datagrams_that_are_no_advertisement_are_dropped(line: RunningAir) -> None:
    await line.ready()
    for wrong in (b"", b"\x2a", bytes(40), b"\x2a" + bytes(30)):
        line.nodes[0].send(wrong)
    line.nodes[0].send()
    await line.sent(0, 1)
    assert line.nodes[1].drain() == [HEARD]


async def test_the_same_seed_loses_the_same_datagrams_of_a_link(sockets: Path) -> None:
    fates = []
    for run, seed in enumerate((5, 5, 6)):
        folder = sockets / str(run)
        folder.mkdir()
        fates.append(await _fates(folder, seed))
    assert fates[0] == fates[1]
    assert fates[0] != fates[2]
    assert 40 < sum(fates[0]) < 80


async def test_losses_of_one_link_do_not_depend_on_the_others(sockets: Path) -> None:
    (sockets / "quiet").mkdir()
    (sockets / "busy").mkdir()
    assert await _fates(sockets / "quiet", 5) == await _fates(sockets / "busy", 5, also_sends=2)


async def test_nobody_answers_where_no_air_is(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await call(tmp_path / "air", "stats")


@given(
    line=st.binary(max_size=60) | st.from_regex(rb'\{"do": ?"(a|b)?"(, "x": (1|\{\}))?\}?', fullmatch=True)
)
def test_any_line_gets_an_answer(line: bytes) -> None:
    reply = json.loads(answer(line, {"a": lambda _: 1}))
    assert reply == {"result": 1} or set(reply["error"]) == {"kind", "reason", "detail"}


async def _fates(folder: Path, seed: int, also_sends: int | None = None) -> list[bool]:
    """Which of 120 datagrams from node 0 to node 1 arrive at half loss."""
    air = RunningAir(folder, Topology.line(3, 0.5), seed)
    try:
        await air.ready()
        arrived = []
        for count in range(1, 121):
            if also_sends is not None:
                air.nodes[also_sends].send()
                await air.sent(also_sends, count)
                air.nodes[1].drain()
            air.nodes[0].send()
            await air.sent(0, count)
            arrived.append(bool(air.nodes[1].drain()))
        return arrived
    finally:
        air.close()
