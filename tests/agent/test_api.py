"""The local interface: private, bounded, and unmoved by hostile input."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured, Rejected, TimedOut, Unavailable
from edge_agent.api import MAX_CLIENTS, MAX_LINE_BYTES, LocalApi
from edge_agent.client import ask


def broken() -> Any:
    raise RuntimeError("secret detail")


ANSWERS: dict[str, Callable[[], Any]] = {
    "status": lambda: {"gateway": "gw-1", "nodes": [1, 2]},
    "broken": broken,
    "large": lambda: "x" * 500_000,
}


async def echo(request: dict[str, Any]) -> Any:
    match request.get("word"):
        case "late":
            raise TimedOut("too late")
        case "bug":
            raise RuntimeError("secret detail")
    return request.get("word")


QUESTIONS = {"echo": echo}


@asynccontextmanager
async def serving(path: Path, idle_s: float = 30.0) -> AsyncIterator[LocalApi]:
    api = LocalApi(path, ANSWERS, idle_s, QUESTIONS)
    async with asyncio.TaskGroup() as owner:
        task = owner.create_task(api.run())
        await api.serving.wait()
        yield api
        task.cancel()
    assert path.name not in os.listdir(path.parent)


async def exchange(path: Path, *lines: bytes) -> list[Any]:
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
    try:
        writer.writelines(lines)
        writer.write_eof()
        return [json.loads(line) for line in (await reader.read()).splitlines()]
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_client_gets_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with serving(path):
        assert await asyncio.to_thread(ask, path, "status") == {"gateway": "gw-1", "nodes": [1, 2]}
        assert len(await asyncio.to_thread(ask, path, "large")) == 500_000
        with pytest.raises(Rejected, match="known: broken, echo, large, status"):
            await asyncio.to_thread(ask, path, "nothing")


async def test_the_socket_is_the_owners_alone_from_the_start(tmp_path: Path) -> None:
    async with serving(tmp_path / "agent.sock"):
        assert stat.S_IMODE((tmp_path / "agent.sock").stat().st_mode) == 0o600


async def test_several_requests_on_one_connection_are_answered_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path / "agent.sock"):
        request = b'{"v": 1, "ask": "status"}\n'
        answers = await exchange(tmp_path / "agent.sock", request, b"nonsense\n", request)
        assert ["answer" in a for a in answers] == [True, False, True]


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"v": 2, "ask": "status"}\n',
        b'{"v": true, "ask": "status"}\n',
        b'{"v": 1, "ask": 7}\n',
        b'{"v": 1, "ask": "../../etc"}\n',
        b"[" * 4000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_a_wrong_request_gets_an_error(line: bytes) -> None:
    api = LocalApi(Path("unused"), ANSWERS)
    answer = json.loads(api.respond(line))
    assert set(answer) == {"v", "error"}
    assert api.refused == 1


@given(st.binary(max_size=200))
def test_no_line_breaks_it(line: bytes) -> None:
    answer = LocalApi(Path("unused"), ANSWERS).respond(line)
    assert answer.count(b"\n") == 1
    json.loads(answer)


async def test_an_endless_line_ends_the_connection_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with serving(path) as api:
        answers = await exchange(path, b"x" * (MAX_LINE_BYTES * 2))
        assert "at most" in answers[0]["error"]
        assert api.refused == 1
        assert await asyncio.to_thread(ask, path, "status")


async def test_a_failing_answer_tells_no_details(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with serving(path):
        (answer,) = await exchange(path, b'{"v": 1, "ask": "broken"}\n')
        assert answer["error"] == "internal: RuntimeError"


async def test_a_question_takes_further_keys_and_tells_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with serving(path):
        assert await asyncio.to_thread(ask, path, "echo", 5.0, word="hello") == "hello"
        late, bug = await exchange(
            path,
            b'{"v": 1, "ask": "echo", "word": "late"}\n',
            b'{"v": 1, "ask": "echo", "word": "bug"}\n',
        )
        assert (late["error"], late["kind"]) == ("too late", "TimedOut")
        assert bug["error"] == "internal: RuntimeError"


async def test_an_idle_client_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with serving(path, idle_s=0.05):
        reader, writer = await asyncio.open_unix_connection(path)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await writer.wait_closed()


async def test_too_many_clients_are_turned_away(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    async with serving(path) as api:
        connections = [await asyncio.open_unix_connection(path) for _ in range(MAX_CLIENTS + 1)]
        assert await asyncio.wait_for(connections[-1][0].read(), 10) == b""
        assert api.refused == 1
        for _, writer in connections:
            writer.close()
            await writer.wait_closed()


async def test_the_socket_of_a_dead_agent_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    server = await asyncio.start_unix_server(lambda *_: None, path)
    server.close()
    async with serving(path):
        pass
    path.write_text("precious")
    with pytest.raises(Misconfigured) as caught:
        await LocalApi(path, ANSWERS).run()
    assert caught.value.fix == f"move {path} elsewhere"
    assert path.read_text() == "precious"


async def test_a_socket_that_cannot_be_made_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="shorter gateway.state_dir"):
        await LocalApi(tmp_path / ("x" * 120), ANSWERS).run()


def test_an_absent_agent_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        ask(tmp_path / "agent.sock", "status")


async def test_a_hanging_agent_times_out(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    done = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_unix_server(silent, path)
    with pytest.raises(TimedOut):
        await asyncio.to_thread(ask, path, "status", 0.05)
    done.set()
    server.close()
    await server.wait_closed()
