"""A gateway's state belongs to one address in one network, and to one link."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from common.errors import Misconfigured
from common.logs import get_logger
from common.mesh.cdb import SiteFile
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack_link.state import StackState
from firmware_bridge.stack_link.state_folder import StateFolder
from firmware_bridge.stack_mesh import StackMeshLink, StackSettings
from tests.bridge.real_site import site_document
from tests.stack_link.wired import GATEWAY, LAMP, SITE, WiredAir, new_link, wired

LOG = get_logger(__name__)


def site(**changes: Any) -> SiteFile:
    return SiteFile.model_validate(site_document(3) | changes)


ELSEWHERE = site(meshUUID="0f0e0d0c-0b0a-4908-8706-050403020100")


def folder(state_dir: Path, at: SiteFile = SITE, address: int = GATEWAY) -> StateFolder:
    return StateFolder(state_dir, at, address)


def sent(where: StateFolder, limit: int) -> None:
    """A node that sent there, up to `limit`."""
    state = StackState(where.path, LOG)
    state.open()
    state.save(IvState(7), limit)
    state.close()


def lose(where: StateFolder) -> None:
    for slot in ("numbers.a", "numbers.b"):
        (where.path / slot).unlink()


def token_of(state_dir: Path, at: SiteFile, address: int) -> None:
    uuid = bytes.fromhex(at.node(address).uuid.replace("-", ""))
    TokenStore(state_dir / "tokens").write(uuid, 0x1234)


def test_a_network_is_the_same_however_its_uuid_is_written(tmp_path: Path) -> None:
    plain = SITE.mesh_uuid.replace("-", "")
    assert folder(tmp_path, site(meshUUID=plain.upper())).path == folder(tmp_path).path
    assert folder(tmp_path, ELSEWHERE).path != folder(tmp_path).path
    assert folder(tmp_path, address=LAMP).path != folder(tmp_path).path


@pytest.mark.parametrize("name", ["../../x", "/etc", "", "é" * 30])
def test_a_hostile_mesh_uuid_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    assert folder(tmp_path, site(meshUUID=name)).path.parent == tmp_path / "stack"


def test_the_fix_for_lost_numbers_works(tmp_path: Path) -> None:
    sent(folder(tmp_path), 512)
    lose(folder(tmp_path))
    with pytest.raises(Misconfigured) as lost:
        folder(tmp_path).check(LOG)
    assert "another unicast address" in lost.value.fix
    folder(tmp_path, address=LAMP).check(LOG)
    assert folder(tmp_path, address=LAMP).first_number(LOG) == 0


def test_the_same_address_in_another_network_begins_above_all_its_numbers(tmp_path: Path) -> None:
    sent(folder(tmp_path), 4096)
    sent(folder(tmp_path, site(meshUUID="x")), 1024)
    assert folder(tmp_path, ELSEWHERE).first_number(LOG) == 4096
    assert folder(tmp_path, ELSEWHERE, LAMP).first_number(LOG) == 0


def test_numbers_that_were_lost_elsewhere_keep_the_address_from_a_new_state(tmp_path: Path) -> None:
    sent(folder(tmp_path), 4096)
    lose(folder(tmp_path))
    with pytest.raises(Misconfigured):
        folder(tmp_path, ELSEWHERE).check(LOG)


async def test_a_link_moved_to_another_network_uses_no_number_again(tmp_path: Path) -> None:
    sent(folder(tmp_path, ELSEWHERE), 4096)
    async with wired(tmp_path, WiredAir()) as here:
        await here.switch(True)
        assert min(here.numbers()) >= 4096


async def test_a_node_of_the_mesh_daemon_does_not_send_over_our_own_stack(tmp_path: Path) -> None:
    token_of(tmp_path, SITE, GATEWAY)
    with pytest.raises(Misconfigured, match="mesh daemon") as refused:
        await new_link(WiredAir(), tmp_path).open()
    assert "new node" in refused.value.fix
    with pytest.raises(Misconfigured, match="mesh daemon"):
        folder(tmp_path).check(LOG)
    # A new node is what the fix names: the token is another one's.
    link = StackMeshLink(StackSettings(SITE, LAMP, tmp_path), WiredAir())
    await link.open()
    await link.close()
