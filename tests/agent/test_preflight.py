"""What `check-config` finds before anything runs, with an identity as the coordinator issues it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import Misconfigured
from common.mesh.cdb import SiteFile
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.config import AgentConfig, load_config
from edge_agent.preflight import MAX_SOCKET_PATH, examine
from firmware_bridge.bluez.tokens import TokenStore
from firmware_bridge.stack_link.state_folder import StateFolder
from tests.agent.test_config import TEXT, write
from tests.common.test_cdb import document, node

YEARS_S = 100 * 365 * 86_400.0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coordinator")
    initialise(folder, InitOptions())
    for gateway in ("gw-1", "gw-2"):
        enrol(folder, "hall", gateway)
    return folder


@pytest.fixture
def folder(state: Path, tmp_path: Path) -> Path:
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_bytes((state / "gateways" / "gw-1" / name).read_bytes())
    return tmp_path


def configured(folder: Path, *changes: tuple[str, str]) -> AgentConfig:
    text = TEXT.replace("/elsewhere/", "")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return load_config(write(folder, text))


def with_site_file(folder: Path, text: str) -> AgentConfig:
    (folder / "site.json").touch(0o600)
    (folder / "site.json").write_text(text)
    return configured(folder, ('"virtual"', '"bluez"\nsite_file = "site.json"'))


def problem(config: AgentConfig) -> str:
    with pytest.raises(Misconfigured) as caught:
        examine(config)
    assert caught.value.fix
    return caught.value.problem


def test_what_the_coordinator_issued_is_good(folder: Path) -> None:
    assert examine(configured(folder)) == []


def test_the_site_file_is_read_and_has_to_know_the_gateway(folder: Path) -> None:
    assert examine(with_site_file(folder, json.dumps(document(nodes=[node("0001")])))) == []
    assert "site.json is not JSON" in problem(with_site_file(folder, "no"))
    told = problem(with_site_file(folder, json.dumps(document(nodes=[node("0105")]))))
    assert told == "gateway.address: the site file has no node 0x0001"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ca.crt", "ca.crt holds no certificate"),
        ("gateway.crt", "are no pair of certificate and unencrypted key"),
        ("gateway.key", "are no pair of certificate and unencrypted key"),
    ],
)
@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: b"x", lambda data: data[:100], lambda data: data[:40] + data[60:]],
)
def test_damaged_certificates_and_keys_are_named(
    folder: Path, name: str, told: str, damage: Callable[[bytes], bytes]
) -> None:
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    assert told in problem(configured(folder))


def test_another_gateways_key_is_told(folder: Path, state: Path) -> None:
    (folder / "gateway.key").write_bytes((state / "gateways" / "gw-2" / "gateway.key").read_bytes())
    assert "are no pair" in problem(configured(folder))


def test_another_gateways_certificate_is_told(folder: Path) -> None:
    told = problem(configured(folder, ('"gw-1"', '"gw-2"')))
    assert told.endswith("gateway.crt is for 'gw-1', and gateway.id is 'gw-2'")


def test_a_certificate_out_of_its_time_is_a_warning(folder: Path) -> None:
    (warning,) = examine(configured(folder), now=YEARS_S)
    assert "not valid at this time" in warning


def test_a_state_folder_that_is_or_lies_below_a_file_is_told(folder: Path) -> None:
    (folder / "state").write_text("")
    assert "state is a file" in problem(configured(folder))
    assert "state is a file" in problem(configured(folder, ('"state"', '"state/below"')))


def test_a_state_folder_that_this_user_cannot_write_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be root, whom nothing is denied.
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.R_OK and allowed(path, mode))
    assert f"gateway.state_dir: {folder} cannot be written by this user" in problem(configured(folder))


def test_a_socket_path_has_to_fit_its_address(folder: Path) -> None:
    base = len(str(folder / "agent.sock")) + 1
    name = "é" + "x" * (MAX_SOCKET_PATH - base - 2)
    assert examine(configured(folder, ('"state"', f'"{name}"'))) == []
    assert "has 108 bytes" in problem(configured(folder, ('"state"', f'"{name}x"')))


def test_our_own_stack_does_not_begin_where_its_numbers_are_lost_or_the_daemon_s(folder: Path) -> None:
    site = document(nodes=[{**node("0001"), "UUID": "11" * 16}])
    with_site_file(folder, json.dumps(site))
    config = configured(folder, ('"virtual"', '"stack"\nsite_file = "site.json"'))
    state = config.gateway.state_dir
    assert examine(config) == []
    own = StateFolder(state, SiteFile.model_validate(site), 0x0001).path
    own.mkdir(parents=True)
    (own / "numbers.a").write_bytes(b"cut")
    assert "sequence numbers" in problem(config)
    (own / "numbers.a").unlink()
    assert examine(config) == []
    TokenStore(state / "tokens").write(bytes([0x11] * 16), 1)
    assert "mesh daemon" in problem(config)
