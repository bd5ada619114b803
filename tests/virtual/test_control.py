"""The control socket: tools injure a running site; nobody else can, and nothing they say breaks it."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured, Rejected
from firmware_bridge.virtual import VirtualLink, VirtualSite
from firmware_bridge.virtual.control import MAX_LINE_BYTES, obey


def small_site() -> VirtualSite:
    return VirtualSite({(1, 2): 1.0, (2, 1): 1.0, (2, 3): 1.0, (3, 2): 1.0}, relays=[2], gateways=[1])


class Tool:
    """A tool's end of the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, line: bytes) -> dict[str, Any]:
        self.writer.write(line + b"\n")
        answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    async def order(self, **order: Any) -> dict[str, Any]:
        return await self.say(json.dumps(order).encode())


@pytest_asyncio.fixture
async def link(tmp_path: Path) -> AsyncIterator[VirtualLink]:
    link = VirtualLink(small_site(), 1, control=tmp_path / "control")
    await link.open()
    yield link
    await link.close()


@pytest_asyncio.fixture
async def tool(link: VirtualLink, tmp_path: Path) -> AsyncIterator[Tool]:
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "control"))
    yield Tool(reader, writer)
    writer.close()
    await writer.wait_closed()


async def test_only_the_owner_may_use_the_socket(link: VirtualLink, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "control").stat().st_mode) == 0o600


async def test_a_tool_is_told_that_the_simulation_broke(link: VirtualLink, tool: Tool) -> None:
    link.site.after(0.0, lambda: 1 // 0)
    for _ in range(2):
        assert "ZeroDivisionError" in (await tool.order(state=True))["error"]


async def test_nodes_die_and_return(link: VirtualLink, tool: Tool) -> None:
    assert await tool.order(down=2) == {"ok": True}
    assert not link.site.nodes[2].alive
    assert await tool.order(ping=[1, 3]) == {"round_trip_s": None}
    assert await tool.order(up=2) == {"ok": True}
    assert 0 < (await tool.order(ping=[1, 3]))["round_trip_s"] < 0.3


async def test_links_are_set_and_decay(link: VirtualLink, tool: Tool) -> None:
    await tool.order(pdr=[1, 2, 0.25])
    assert [1, 2, 0.25] in (await tool.order(links=True))["links"]
    assert await tool.order(decay=[2, 1, 0.5, 0]) == {"ok": True}
    assert link.site.links.pdr(2, 1) == 0.5


async def test_the_state_is_told(tool: Tool) -> None:
    state = await tool.order(state=True)
    assert state["gateways"] == [1]
    assert state["nodes"]["0x0002"] == {
        "alive": True, "relay": True, "relay_supported": True, "default_ttl": 7, "on": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"", b"{", b"[]", b"3", b"{}", b'{"down": 2, "up": 3}', b'{"explode": 1}', b'{"down": 9}',
        b'{"down": "2"}', b'{"down": true}', b'{"down": [2]}', b'{"pdr": [1, 2]}', b'{"pdr": [1, 2, 1.5]}',
        b'{"pdr": [1, 2, NaN]}', b'{"pdr": [1, 2, "x"]}', b'{"decay": [1, 2, 0.5, -1]}',
        b'{"decay": [1, 2, 0.5, NaN]}', b'{"state": false}', b"\xff\xfe", b"[" * 5000, b"9" * 6000,
    ],
    ids=lambda line: repr(line[:30]),
)  # fmt: skip
async def test_nonsense_is_answered_with_an_error(tool: Tool, line: bytes) -> None:
    assert list(await tool.say(line)) == ["error"]
    assert "nodes" in await tool.order(state=True)


@given(
    st.text(max_size=8) | st.sampled_from(["down", "up", "pdr", "decay", "ping", "links", "state"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
        max_leaves=8,
    ),
)
def test_any_order_is_obeyed_or_refused_by_name(name: str, argument: Any) -> None:
    try:
        answer = obey(small_site(), name, argument)
    except Rejected:
        return
    json.dumps(answer)


async def test_an_endless_line_ends_the_connection_and_no_other(link: VirtualLink, tool: Tool) -> None:
    tool.writer.write(b"x" * (2 * MAX_LINE_BYTES))
    assert await tool.reader.read() == b""


async def test_a_stale_socket_is_replaced_and_its_file_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control"
    for _ in range(2):
        link = VirtualLink(small_site(), 1, control=path)
        await link.open()
        assert path.is_socket()
        if _ == 0:
            # As after kill -9: the file stays.
            stale = tmp_path / "stale"
            path.rename(stale)
            await link.close()
            stale.rename(path)
    await link.close()
    assert not path.exists()


async def test_a_path_that_cannot_be_used_is_a_misconfiguration(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "none" / "control", tmp_path / ("x" * 200)):
        link = VirtualLink(small_site(), 1, control=path)
        with pytest.raises(Misconfigured):
            await link.open()
        await link.close()
    assert (tmp_path / "file").read_text() == "mine"
