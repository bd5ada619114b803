"""What the daemon reads of a certificate without a cryptographic library, against one."""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Corrupt
from coordinator.identity.authority import Authority, Usage, authority_at
from coordinator.identity.requests import make_key, make_request
from edge_agent.identity.certificate import MAX_PEM_BYTES, parse


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority_at(tmp_path_factory.mktemp("ca"), time.time())


@pytest.fixture(scope="module")
def pem(authority: Authority) -> bytes:
    return _pem(_issue(authority, time.time(), 90.0))


# 1975 and 2049 are two-digit years, 2051 and 2149 are not (RFC 5280, 4.1.2.5).
@pytest.mark.parametrize("now", [160_000_000.0, 1_800_000_000.0, 2_499_999_999.0, 2_560_000_000.0, 5.65e9])
@pytest.mark.parametrize("days", [0.001, 90.0, 825.0])
def test_dates_and_serial_are_those_that_the_library_reads(
    authority: Authority, now: float, days: float
) -> None:
    certificate = _issue(authority, now, days)
    facts = parse(_pem(certificate))
    assert facts.serial == f"{certificate.serial_number:x}"
    assert facts.not_before == certificate.not_valid_before_utc.timestamp()
    assert facts.not_after == certificate.not_valid_after_utc.timestamp()


def test_a_certificate_is_found_behind_a_key_and_words(authority: Authority, pem: bytes) -> None:
    key = make_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert parse(b"some words\n" + key + pem) == parse(pem)


def test_every_cut_and_flip_is_read_or_named(pem: bytes) -> None:
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    for at in range(len(der)):
        _read_or_named(_armoured(der[:at]))
        for bit in (0x01, 0x80, 0x41):
            _read_or_named(_armoured(der[:at] + bytes([der[at] ^ bit]) + der[at + 1 :]))
    for at in range(len(pem)):
        _read_or_named(pem[:at])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_named(junk: bytes) -> None:
    _read_or_named(junk)
    _read_or_named(_armoured(junk))


def test_a_huge_file_is_refused_unread() -> None:
    with pytest.raises(Corrupt, match="more than"):
        parse(b"x" * (MAX_PEM_BYTES + 1))


def test_the_authoritys_own_certificate_is_read_too(authority: Authority, tmp_path: Path) -> None:
    assert parse(authority.pem).serial == f"{authority.certificate.serial_number:x}"


def _issue(authority: Authority, now: float, days: float) -> x509.Certificate:
    request = make_request(make_key(), "gw-1")
    return authority.sign_request(
        request, identity="gw-1", usage=Usage.CLIENT, now=now, lifetime=timedelta(days=days)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _armoured(der: bytes) -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n".encode()


def _read_or_named(pem: bytes) -> None:
    try:
        facts = parse(pem)
    except Corrupt:
        return
    assert facts.not_before < facts.not_after
