"""The identity in use, whatever became of the file of the renewed pair."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from common import tls
from common.errors import Misconfigured
from coordinator.enrolment import enrol
from edge_agent.config import AgentConfig
from edge_agent.identity.certificate import parse
from edge_agent.identity.pair import IDENTITY_FILE, current, keep
from edge_agent.preflight import examine
from edge_agent.status_page import picture
from tests.identity.gateway import copy_identity, settle


@pytest.fixture
def config(state: Path, tmp_path: Path) -> AgentConfig:
    return settle(state, tmp_path / "gateway")


@pytest.fixture
def renewed(state: Path, config: AgentConfig) -> tuple[bytes, bytes]:
    """A further certificate and its key, PEM; not kept yet."""
    folder = enrol(state, "hall", "gw-1", again=True).folder
    return (folder / "gateway.crt").read_bytes(), (folder / "gateway.key").read_bytes()


def test_a_new_gateway_uses_what_it_was_given(config: AgentConfig) -> None:
    identity = current(config)
    assert (identity.certificate, identity.key) == (config.broker.certificate, config.broker.key)
    assert not identity.renewed
    assert identity.facts == parse(config.broker.certificate.read_bytes())


def test_a_renewed_pair_is_used_and_is_for_its_owner_alone(
    config: AgentConfig, renewed: tuple[bytes, bytes]
) -> None:
    path = _keep(config, renewed)
    identity = current(config)
    assert (identity.certificate, identity.key, identity.renewed) == (path, path, True)
    assert identity.facts == parse(renewed[0])
    assert path.stat().st_mode & 0o777 == 0o600
    tls.client_context(identity.ca, identity.certificate, identity.key)


def test_a_gateway_that_is_enrolled_again_uses_that_and_not_what_it_renewed_before(
    state: Path, config: AgentConfig, renewed: tuple[bytes, bytes]
) -> None:
    _keep(config, renewed)
    enrol(state, "hall", "gw-1", again=True)
    copy_identity(state, config.broker.certificate.parent)
    identity = current(config)
    assert (identity.renewed, identity.lost) == (False, "")
    assert identity.facts == parse(config.broker.certificate.read_bytes())


@pytest.mark.parametrize(("owner", "step"), [(os, "open"), (os, "fsync"), (Path, "replace")])
def test_a_crash_at_any_moment_of_keeping_leaves_a_usable_pair(
    config: AgentConfig,
    renewed: tuple[bytes, bytes],
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    step: str,
) -> None:
    """Until the one rename it is the former pair, certificate and key alike."""
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, _die)
        with pytest.raises(KeyboardInterrupt):
            _keep(config, renewed)
    identity = current(config)
    tls.client_context(identity.ca, identity.certificate, identity.key)
    assert (identity.renewed, identity.lost) == (False, "")
    _keep(config, renewed)
    assert current(config).renewed


def test_every_cut_of_the_renewed_pair_ends_in_the_configured_one_and_is_told_once(
    config: AgentConfig, renewed: tuple[bytes, bytes]
) -> None:
    path = _keep(config, renewed)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        identity = current(config)
        assert (identity.certificate, identity.renewed) == (config.broker.certificate, False)
        assert "moved aside" in identity.lost
        assert not path.exists()
    assert current(config).lost == ""
    assert path.with_name(f"{IDENTITY_FILE}.corrupt").exists()


def test_every_flipped_byte_of_the_renewed_pair_is_found(
    config: AgentConfig, renewed: tuple[bytes, bytes]
) -> None:
    path = _keep(config, renewed)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :])
        identity = current(config)
        assert not identity.renewed
        assert identity.lost


def test_a_configured_certificate_that_is_missing_is_told_with_the_fix(config: AgentConfig) -> None:
    config.broker.certificate.unlink()
    with pytest.raises(Misconfigured, match="enrol this gateway"):
        current(config)


def test_a_configured_certificate_that_is_cut_is_told_with_the_fix(config: AgentConfig) -> None:
    path = config.broker.certificate
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(Misconfigured, match="copy it again"):
        current(config)


def _keep(config: AgentConfig, pair: tuple[bytes, bytes]) -> Path:
    path = config.gateway.state_dir / IDENTITY_FILE
    keep(path, *pair, current(config).origin)
    return path


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_check_config_goes_by_the_renewed_pair(
    state: Path, config: AgentConfig, renewed: tuple[bytes, bytes]
) -> None:
    """The configured certificate may have ended long ago, and nothing is wrong."""
    issued = current(config).facts
    later = enrol(state, "hall", "gw-1", again=True, now=issued.not_after).folder
    assert any("not valid at this time" in warning for warning in examine(config, issued.not_after + 1))
    _keep(config, ((later / "gateway.crt").read_bytes(), (later / "gateway.key").read_bytes()))
    assert examine(config, issued.not_after + 1) == []


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ({"state": "good", "not_after": 1_800_000_000.0}, "good until 2027-01-15"),
        ({"state": "good", "not_after": 1_800_000_000.0, "renewed": True}, ", renewed"),
        ({"state": "expired", "not_after": 0.0, "problem": "enrol it again"}, "ended 1970-01-01"),
        ({"state": "expired", "not_after": 0.0, "problem": "enrol it again"}, "enrol it again"),
    ],
)
def test_the_status_page_shows_the_end_of_the_certificate(certificate: dict[str, object], told: str) -> None:
    page = Console(width=200, record=True, file=io.StringIO())
    page.print(picture({"certificate": certificate}))
    assert told in page.export_text()
