"""A gateway comes into a network whose IV index it does not know yet, or no longer believes."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.mesh.cdb import SiteFile
from firmware_bridge.stack.beacons import NetworkBeacon, build_secure
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link import iv_keeper
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tests.bridge.real_site import site_document
from tests.stack_link.wired import GATEWAY, WiredAir, WiredBearer, new_link, until, wired

GUESTS = bytes(range(50, 66))


def with_guests(bearer: WiredBearer, folder: Path) -> StackMeshLink:
    """A link that holds a second network key beside the primary one."""
    document = site_document(3)
    document["netKeys"].append({**document["netKeys"][0], "index": 1, "key": GUESTS.hex()})
    return StackMeshLink(StackSettings(SiteFile.model_validate(document), GATEWAY, folder), bearer)


async def test_a_guest_key_does_not_teach_a_fresh_gateway_the_iv_index(tmp_path: Path) -> None:
    bearer = WiredAir(7)
    bearer._server.greets = False
    link = with_guests(bearer, tmp_path)
    await link.open()
    hostile = build_secure(NetworkBeacon(0xFFFF_FFFF), NetworkKey(GUESTS, 1))
    bearer.tell(PduType.BEACON, hostile)
    bearer.beacon(7)
    await until(lambda: link.iv_state() is not None)
    state = link.iv_state()
    await link.close()
    assert state is not None
    assert state.index == 7


async def test_a_gateway_that_joins_during_an_update_does_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iv_keeper, "BEACON_PERIOD_S", 0.01)
    bearer = WiredAir(7)
    bearer._server.greets = False
    link = new_link(bearer, tmp_path)
    await link.open()
    bearer.beacon(8, iv_update=True)
    # Its own beacons tell what it makes of it.
    await until(lambda: len([1 for kind, _, _ in bearer.sent if kind is PduType.BEACON]) > 3)
    state = link.iv_state()
    assert state is not None
    assert (state.index, state.updating) == (8, True)
    bearer.beacon(8)
    await until(lambda: (now := link.iv_state()) is not None and not now.updating)
    await link.close()


async def test_an_iv_index_that_is_not_believed_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with wired(tmp_path, WiredBearer(iv_index=70)) as here:
        for _ in range(3):
            here.bearer.beacon(70 + 43)
            here.bearer.beacon(60)
        await here.switch(True)
        assert here.link._own._parts is not None
        assert here.link._own._parts.node.ignored_beacons == {1: 3, -1: 3}
    told = [record for record in caplog.records if "iv-index-ignored" in record.getMessage()]
    assert len(told) == 2
