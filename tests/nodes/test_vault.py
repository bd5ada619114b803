"""The sealed site file: nothing readable on disk, damage and wrong keys named, crashes harmless."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from common.errors import Misconfigured
from common.mesh.cdb_document import SiteDocument
from edge_agent.nodes.store import SealedSite
from edge_agent.nodes.vault import CREDENTIAL, KEY_FILE, Vault
from tests.common.test_cdb import APP_KEY, DEVICE_KEY, NET_KEY, document

TEXT = json.dumps(document())


def vault(folder: Path, **environment: str) -> Vault:
    return Vault(folder, environment)


def test_what_was_sealed_is_read_back_and_nothing_of_it_is_on_disk(tmp_path: Path) -> None:
    kept = vault(tmp_path / "state")
    kept.seal(TEXT)
    assert kept.text() == TEXT
    for path in (tmp_path / "state").iterdir():
        assert os.stat(path).st_mode & 0o777 == 0o600
        data = path.read_bytes()
        for key in (NET_KEY, APP_KEY, DEVICE_KEY):
            assert key.encode() not in data
            assert bytes.fromhex(key) not in data
    assert os.stat(tmp_path / "state").st_mode & 0o777 == 0o700


def test_each_sealing_has_its_own_nonce_and_the_same_key(tmp_path: Path) -> None:
    kept = vault(tmp_path)
    kept.seal(TEXT)
    first, key = kept.path.read_bytes(), (tmp_path / KEY_FILE).read_bytes()
    kept.seal(TEXT)
    assert kept.path.read_bytes() != first
    assert (tmp_path / KEY_FILE).read_bytes() == key


def test_a_cut_at_any_byte_is_a_named_error(tmp_path: Path) -> None:
    kept = vault(tmp_path)
    kept.seal(TEXT)
    whole = kept.path.read_bytes()
    for cut in [*range(60), len(whole) - 1]:
        kept.path.write_bytes(whole[:cut])
        with pytest.raises(Misconfigured, match="nodes import"):
            kept.text()


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    kept = vault(tmp_path)
    kept.seal(TEXT)
    whole = kept.path.read_bytes()
    for place in range(0, len(whole), 7):
        kept.path.write_bytes(whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :])
        with pytest.raises(Misconfigured):
            kept.text()


def test_another_machines_key_is_named_as_such(tmp_path: Path) -> None:
    kept = vault(tmp_path)
    kept.seal(TEXT)
    (tmp_path / KEY_FILE).write_bytes(bytes(32))
    with pytest.raises(Misconfigured, match="another key"):
        kept.text()


@pytest.mark.parametrize("size", [0, 31])
def test_a_key_that_was_cut_is_named(tmp_path: Path, size: int) -> None:
    kept = vault(tmp_path)
    kept.seal(TEXT)
    path = tmp_path / KEY_FILE
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Misconfigured, match=f"{size} bytes"):
        kept.text()
    with pytest.raises(Misconfigured, match=f"{size} bytes"):
        kept.seal(TEXT)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    kept = vault(tmp_path)
    kept.seal(TEXT)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        kept.text()


def test_nothing_imported_is_told_with_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nodes import FILE"):
        vault(tmp_path).text()


def test_a_credential_of_the_service_manager_goes_first(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / CREDENTIAL).write_bytes(bytes(range(32)))
    kept = vault(tmp_path / "state", CREDENTIALS_DIRECTORY=str(credentials))
    kept.seal(TEXT)
    assert kept.text() == TEXT
    assert not (tmp_path / "state" / KEY_FILE).exists()
    with pytest.raises(Misconfigured, match=KEY_FILE):
        vault(tmp_path / "state").text()


def test_a_sealed_site_is_a_site(tmp_path: Path) -> None:
    store = SealedSite(vault(tmp_path))
    store.write(SiteDocument.parse(TEXT))
    assert store.read().site.mesh_name == "Hall"
    assert NET_KEY not in repr((store, store.read()))
