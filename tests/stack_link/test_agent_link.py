"""The agent's configuration leads to a link over our own stack, on the bearer that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.clock import SystemClock
from common.errors import Misconfigured, Unavailable
from common.mesh import cdb
from edge_agent.config import load_config
from edge_agent.mesh_link import make_link
from firmware_bridge.stack_mesh import StackMeshLink
from tests.agent.test_config import TEXT, write
from tests.bridge.real_site import site_document


def link_of(folder: Path, bearer: str) -> StackMeshLink:
    site = folder / "site.json"
    site.write_text(json.dumps(site_document(2)))
    text = TEXT.replace('link = "virtual"', f'link = "stack"\nsite_file = "site.json"\n{bearer}')
    link = make_link(load_config(write(folder, text)), cdb.read(site), SystemClock())
    assert isinstance(link, StackMeshLink)
    return link


async def test_an_air_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    link = link_of(tmp_path, 'bearer = "air"\nair = "nowhere"\nair_node = 3')
    with pytest.raises(Misconfigured):
        await link.open()
    await link.close()
    (lock,) = (tmp_path / "state" / "stack").glob("*/lock")
    assert lock.read_bytes() == b""


async def test_a_machine_without_bluetooth_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/no-bus")
    link = link_of(tmp_path, 'adapter = "hci7"')
    link._open_timeout_s = 0.5
    assert link.problem == ""
    with pytest.raises(Unavailable, match="apt-get install bluez"):
        await link.open()
    assert "no message bus" in link.problem
    await link.close()
    told = [line for line in caplog.messages if "mesh-away" in line]
    assert len(told) == 1
