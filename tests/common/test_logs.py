"""Logs keep secrets in and forged lines out, whatever is logged."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from common.logs import JsonFormatter, LineFormatter, configure, get_logger
from common.mesh.cdb import Secret


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def logged(style: str, **fields: object) -> str:
    stream = io.StringIO()
    configure("debug", style, stream)
    get_logger("test", gateway="gw-1").info("something-happened", **fields)
    return stream.getvalue()


def test_a_line_has_time_level_event_and_fields() -> None:
    line = logged("line", nodes=3, seconds=0.2123456789)
    assert line.endswith("Z INFO    something-happened gateway=gw-1 nodes=3 seconds=0.212346\n")


def test_json_has_one_object_a_line() -> None:
    document = json.loads(logged("json", nodes=[1, 2], path=Path("/a"), error=ValueError("no")))
    assert document.pop("time") > 0
    assert document == {
        "level": "info", "event": "something-happened", "gateway": "gw-1", "nodes": [1, 2], "path": "/a",
        "error": "ValueError: no",
    }  # fmt: skip


SECRETS: list[object] = [
    SecretStr("hunter2"),
    SecretBytes(b"hunter2"),
    Secret(b"hunter2"),
    b"hunter2",
    bytearray(b"hunter2"),
    memoryview(b"hunter2"),
    {"key": SecretStr("hunter2"), "raw": b"hunter2"},
    [b"hunter2", (Secret(b"hunter2"), {SecretStr("hunter2")})],
]


@pytest.mark.parametrize("style", ["line", "json"])
@pytest.mark.parametrize("value", SECRETS, ids=lambda v: type(v).__name__)
def test_secrets_are_masked_however_deep(style: str, value: object) -> None:
    assert "hunter2" not in logged(style, value=value)


class Rude:
    def __str__(self) -> str:
        return "polite\n2030-01-01T00:00:00.000Z ERROR   forged"


@pytest.mark.parametrize("style", ["line", "json"])
@pytest.mark.parametrize(
    "value", ["a\nb", "a\r\nb", "a\x1b[2Jb", "\u2028", "\ud800", Rude(), ValueError("a\nb")]
)
def test_no_value_breaks_the_line(style: str, value: object) -> None:
    text = logged(style, value=value)
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text


def test_no_field_poses_as_the_event() -> None:
    document = json.loads(logged("json", level="error", time=0, **{"event ": "x"}))
    assert document["level"] == "info"
    assert document["time"] > 0


@given(st.dictionaries(st.text(max_size=5), st.floats() | st.text(max_size=5) | st.integers() | st.none()))
def test_any_fields_make_valid_json(fields: dict[str, Any]) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    record = logging.makeLogRecord({"msg": "x", "meshtwin_fields": {"value": fields}})
    json.loads(JsonFormatter().format(record), parse_constant=refuse)
    assert len(LineFormatter().format(record).splitlines()) == 1


def test_bound_fields_go_with_every_line_and_exceptions_bring_their_trace() -> None:
    stream = io.StringIO()
    configure("info", "line", stream)
    log = get_logger("test").bind(node="0x0005")
    log.debug("unseen")
    try:
        raise ValueError("because")
    except ValueError:
        log.exception("failed")
    assert "failed node=0x0005\nTraceback" in stream.getvalue()
    assert "unseen" not in stream.getvalue()
