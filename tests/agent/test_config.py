"""The agent's configuration file: defaults, paths, and errors that name key and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import Misconfigured
from edge_agent.config import check_files, load_config

TEXT = """
[gateway]
site = "hall"
id = "gw-1"
address = "0x0001"
state_dir = "state"

[mesh]
link = "virtual"

[broker]
host = "127.0.0.1"
ca = "ca.crt"
certificate = "gateway.crt"
key = "/elsewhere/gateway.key"
"""


def write(folder: Path, text: str = TEXT) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file_and_absolute_ones_stay(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    assert config.broker.ca == tmp_path / "ca.crt"
    assert config.broker.key == Path("/elsewhere/gateway.key")
    assert config.socket == tmp_path / "state" / "agent.sock"
    assert config.gateway.address == 1
    assert config.broker.port == 8883
    assert config.mesh.site_file is None


def test_an_address_may_be_a_number(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, TEXT.replace('"0x0001"', "261"))).gateway.address == 0x105


def test_a_machine_without_a_mesh_needs_neither_address_nor_site_file(tmp_path: Path) -> None:
    text = TEXT.replace('address = "0x0001"', "").replace('link = "virtual"', 'link = "none"')
    assert load_config(write(tmp_path, text)).tier == "mec"
    assert load_config(write(tmp_path)).tier == "gateway"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"0x0001"', '"0xc000"', "gateway.address"),
        ('"0x0001"', "true", "gateway.address"),
        ('address = "0x0001"', "", "gateway.address: field required"),
        ('"hall"', '"No Such/Name"', "gateway.site"),
        ("certificate =", "certificat =", "did you mean 'certificate'"),
        ('link = "virtual"', 'link = "bluez"', "mesh.site_file is missing"),
        ('link = "virtual"', 'link = "stack"', "mesh.site_file is missing"),
        ('link = "virtual"', 'link = "stack"\nsite_file = "s"\nbearer = "air"', "mesh.air is missing"),
        ('link = "virtual"', 'link = "stack"\nsite_file = "s"\nadapter = "eth0"', "mesh.adapter"),
        ('host = "127.0.0.1"', "", "broker.host"),
    ],
)
def test_a_mistake_is_told_by_its_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_config(write(tmp_path, TEXT.replace(old, new)))
    assert told in str(caught.value)


def test_missing_and_open_key_files_are_told(tmp_path: Path) -> None:
    text = TEXT.replace("/elsewhere/", "")
    config = load_config(write(tmp_path, text))
    with pytest.raises(Misconfigured) as caught:
        check_files(config)
    assert "broker.ca" in str(caught.value)
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        (tmp_path / name).write_text("x")
    (tmp_path / "gateway.key").chmod(0o644)
    with pytest.raises(Misconfigured) as caught:
        check_files(config)
    assert "chmod 600" in caught.value.fix
    (tmp_path / "gateway.key").chmod(0o600)
    assert check_files(config) == []


def test_a_site_file_that_is_not_there_is_named_for_a_virtual_site_too(tmp_path: Path) -> None:
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        (tmp_path / name).touch(0o600)
    text = TEXT.replace("/elsewhere/", "").replace('"virtual"', '"virtual"\nsite_file = "site.json"')
    with pytest.raises(Misconfigured, match=r"mesh\.site_file: .*site\.json does not exist"):
        check_files(load_config(write(tmp_path, text)))


@pytest.mark.parametrize(
    "pasted",
    [
        "-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----\\n",
        "-----BEGIN PRIVATE KEY----- c2VjcmV0",
        "\\nc2VjcmV0",
        "c2VjcmV0" * 200,
    ],
)
@pytest.mark.parametrize("old", ["/elsewhere/gateway.key", "gateway.crt", "state"])
def test_a_key_pasted_in_place_of_its_path_is_refused_and_not_repeated(
    tmp_path: Path, old: str, pasted: str
) -> None:
    with pytest.raises(Misconfigured, match="the path of a file is wanted") as caught:
        load_config(write(tmp_path, TEXT.replace(f'"{old}"', f'"{pasted}"')))
    assert "c2VjcmV0" not in str(caught.value)
