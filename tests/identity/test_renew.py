"""The errand of renewal against the coordinator's real HTTPS, and against answers of a liar."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common import tls
from common.errors import MeshtwinError, Rejected, RejectReason, Unavailable
from coordinator.enrolment import revoke
from coordinator.identity.authority import Usage, authority_at
from coordinator.identity.fleet import read_fleet
from coordinator.identity.requests import make_key, make_request
from edge_agent import errand
from edge_agent.config import AgentConfig
from edge_agent.identity.pair import IDENTITY_FILE, current
from edge_agent.identity.renew import checked
from edge_agent.identity.renewal import ERRAND
from tests.broker.conftest import authority_of
from tests.identity.conftest import Https
from tests.identity.gateway import settle

PATIENCE_S = 60.0
DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class _Order:
    task: str
    host: str
    port: int
    ca: str
    certificate: str
    key: str
    gateway: str
    target: str
    origin: str


@pytest.fixture
def config(https: Https, tmp_path: Path) -> AgentConfig:
    return settle(https.state, tmp_path / "gateway", port=https.port)


def order(config: AgentConfig, task: str = "renew", **other: Any) -> dict[str, Any]:
    identity = current(config)
    made = _Order(
        task,
        "127.0.0.1",
        config.coordinator.port,
        str(identity.ca),
        str(identity.certificate),
        str(identity.key),
        config.gateway.id,
        str(config.gateway.state_dir / IDENTITY_FILE),
        identity.origin,
    )
    return {**asdict(made), **other}


async def test_a_renewal_keeps_a_new_pair_and_takes_the_old_certificate_away(
    https: Https, config: AgentConfig
) -> None:
    before = current(config)
    done = await errand.send(ERRAND, order(config), PATIENCE_S)
    after = current(config)
    assert (after.renewed, after.facts.serial, done["confirmed"]) == (True, done["serial"], True)
    tls.client_context(after.ca, after.certificate, after.key)
    known = read_fleet(https.state / "fleet.json").gateways["gw-1"].certificates
    assert [(c.serial, c.revoked_at is None) for c in known] == [
        (before.facts.serial, False),
        (after.facts.serial, True),
    ]


async def test_a_renewed_pair_renews_itself_again(https: Https, config: AgentConfig) -> None:
    first = await errand.send(ERRAND, order(config), PATIENCE_S)
    second = await errand.send(ERRAND, order(config), PATIENCE_S)
    assert current(config).facts.serial == second["serial"] != first["serial"]


async def test_a_confirmation_may_come_later_and_more_than_once(https: Https, config: AgentConfig) -> None:
    await errand.send(ERRAND, order(config), PATIENCE_S)
    for _ in range(2):
        assert await errand.send(ERRAND, order(config, "confirm"), PATIENCE_S) == {"confirmed": True}


async def test_a_revoked_gateway_cannot_renew(https: Https, config: AgentConfig) -> None:
    revoke(https.state, "gw-1")
    with pytest.raises(Rejected, match="gateway gw-1 was revoked"):
        await errand.send(ERRAND, order(config), PATIENCE_S)
    assert not current(config).renewed


async def test_nobody_listens_is_unavailable(config: AgentConfig, https: Https) -> None:
    with pytest.raises(Unavailable, match="Connection"):
        await errand.send(ERRAND, order(config, port=1), PATIENCE_S)


async def test_a_server_of_another_name_is_told_with_the_fix(config: AgentConfig, https: Https) -> None:
    with pytest.raises(Unavailable, match="for other names; add the name"):
        await errand.send(ERRAND, order(config, host="127.1"), PATIENCE_S)


async def test_an_order_that_is_incomplete_is_refused_by_name() -> None:
    with pytest.raises(Rejected) as caught:
        await errand.send(ERRAND, {"task": "renew"}, PATIENCE_S)
    assert caught.value.reason is RejectReason.INVALID


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ("another-key", RejectReason.FORGED),
        ("another-name", RejectReason.FORGED),
        ("another-authority", RejectReason.FORGED),
        ("for-servers", RejectReason.FORGED),
        ("expired", RejectReason.EXPIRED),
        ("not-yet-valid", RejectReason.EXPIRED),
        ("junk", RejectReason.MALFORMED),
        ("empty", RejectReason.MALFORMED),
    ],
)
def test_an_answer_that_lies_is_refused_by_name(
    state: Path, tmp_path: Path, lie: str, reason: RejectReason
) -> None:
    key = make_key()
    with pytest.raises(Rejected) as caught:
        _check(state, key, _lie(state, tmp_path, key, lie))
    assert caught.value.reason is reason


def test_an_answer_that_is_true_is_taken(state: Path, tmp_path: Path) -> None:
    key = make_key()
    assert _check(state, key, _lie(state, tmp_path, key, "none")).public_key() == key.public_key()


def test_every_cut_of_an_answer_is_refused_by_name(state: Path, tmp_path: Path) -> None:
    key = make_key()
    pem = _lie(state, tmp_path, key, "none").rstrip()
    for cut in range(0, len(pem), 5):
        with pytest.raises(MeshtwinError):
            _check(state, key, pem[:cut])


def _check(state: Path, key: ec.EllipticCurvePrivateKey, pem: bytes) -> x509.Certificate:
    return checked(pem, key, "gw-1", state / "pki" / "ca.crt", time.time())


def _lie(state: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey, lie: str) -> bytes:
    if lie in ("junk", "empty"):
        return b"junk" if lie == "junk" else b""
    name = "gw-2" if lie == "another-name" else "gw-1"
    authority = authority_of(state)
    if lie == "another-authority":
        (tmp_path / "other").mkdir()
        authority = authority_at(tmp_path / "other", time.time())
    certificate = authority.sign_request(
        make_request(make_key() if lie == "another-key" else key, name),
        identity=name,
        usage=Usage.SERVER if lie == "for-servers" else Usage.CLIENT,
        now=time.time() + {"expired": -2 * DAY, "not-yet-valid": DAY}.get(lie, 0.0),
        lifetime=timedelta(days=1),
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
