"""Contexts from files: what is wrong with them is told as the operator's to mend."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from common.errors import Misconfigured
from common.tls import client_context
from coordinator.enrolment import enrol
from coordinator.identity.requests import key_at
from tests.broker.conftest import authority_of

FILES = ("ca.crt", "gateway.crt", "gateway.key")


@pytest.fixture
def identity(state: Path) -> Path:
    return enrol(state, "site-a", "gw-a3").folder


def test_a_context_checks_the_brokers_name_and_speaks_no_old_version(identity: Path) -> None:
    context = client_context(*(identity / name for name in FILES))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "junk"])
def test_a_bad_file_is_named(identity: Path, name: str, damage: str) -> None:
    path = identity / name
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else b"junk")
    with pytest.raises(Misconfigured, match=name):
        client_context(*(identity / name for name in FILES))


def test_a_key_of_another_certificate_is_told(identity: Path, state: Path) -> None:
    other = state / "gateways" / "gw-a1" / "gateway.key"
    with pytest.raises(Misconfigured, match="no pair"):
        client_context(identity / "ca.crt", identity / "gateway.crt", other)


def test_an_encrypted_key_is_refused_without_asking_on_the_terminal(identity: Path) -> None:
    key = key_at(identity / "gateway.key")
    encryption = serialization.BestAvailableEncryption(b"secret")
    (identity / "gateway.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    with pytest.raises(Misconfigured, match="unencrypted"):
        client_context(*(identity / name for name in FILES))


def test_no_secret_shows_in_an_authoritys_repr(state: Path) -> None:
    assert "key" not in repr(authority_of(state)).lower()
