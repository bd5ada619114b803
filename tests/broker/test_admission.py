"""Who may connect to the broker: only the holder of a valid certificate of this fleet."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path

import pytest

from common.tls import client_context
from coordinator.enrolment import enrol, revoke
from coordinator.identity.authority import Usage, authority_at
from tests.broker.client import Refused
from tests.broker.conftest import SITES, Testbed, authority_of, eventually, issue

DAY = 86_400.0


def test_an_enrolled_gateway_connects(bed: Testbed) -> None:
    assert bed.gateway("gw-a1").connected.is_set()


def test_the_coordinator_connects(bed: Testbed) -> None:
    assert bed.coordinator().connected.is_set()


def test_a_client_without_tls_is_refused(bed: Testbed) -> None:
    with pytest.raises(Refused):
        bed.client(None)


def test_a_client_without_certificate_is_refused(bed: Testbed) -> None:
    context = ssl.create_default_context(cafile=bed.state / "pki" / "ca.crt")
    with pytest.raises(Refused):
        bed.client(context)


def test_a_certificate_of_another_authority_is_refused(bed: Testbed, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = authority_at(tmp_path / "other", time.time())
    folder = issue(tmp_path / "identity", other, "gw-a1")
    with pytest.raises(Refused):
        bed.client(bed.context(folder, "gateway"))


def test_a_self_signed_certificate_is_refused(bed: Testbed, tmp_path: Path) -> None:
    # An authority's own certificate is self-signed; nothing makes it trusted here.
    (tmp_path / "self").mkdir()
    authority_at(tmp_path / "self", time.time())
    with pytest.raises(Refused):
        bed.client(bed.context(tmp_path / "self", "ca"))


@pytest.mark.parametrize("issued", [-100 * DAY, 3 * DAY], ids=["expired", "not-yet-valid"])
def test_a_certificate_out_of_its_time_is_refused(bed: Testbed, tmp_path: Path, issued: float) -> None:
    folder = issue(tmp_path / "identity", authority_of(bed.state), "gw-a1", now=time.time() + issued)
    with pytest.raises(Refused):
        bed.client(bed.context(folder, "gateway"))


def test_a_server_certificate_does_not_open_the_door_to_a_client(bed: Testbed, tmp_path: Path) -> None:
    folder = issue(tmp_path / "identity", authority_of(bed.state), "gw-a1", usage=Usage.SERVER)
    with pytest.raises(Refused):
        bed.client(bed.context(folder, "gateway"))


def test_a_revoked_gateway_is_refused(bed: Testbed) -> None:
    revoke(bed.state, "gw-a1")
    eventually(lambda: not _admitted(bed, "gw-a1"), "the revoked gateway is kept out")
    assert _admitted(bed, "gw-a2")


def test_each_of_several_revocations_within_one_second_counts(bed: Testbed) -> None:
    now = time.time()
    for gateway in SITES:
        revoke(bed.state, gateway, now=now)
        eventually(lambda name=gateway: not _admitted(bed, name), f"{gateway} is kept out")  # type: ignore[misc]


def test_all_certificates_of_a_revoked_gateway_are_refused(bed: Testbed) -> None:
    early = bed.context(bed.state / "gateways" / "gw-a1", "gateway")
    enrol(bed.state, "site-a", "gw-a1", again=True)
    revoke(bed.state, "gw-a1")
    eventually(lambda: not _admitted(bed, "gw-a1"), "the revoked gateway is kept out")
    with pytest.raises(Refused):
        bed.client(early)


def test_a_revoked_gateway_returns_with_a_new_certificate_only(bed: Testbed) -> None:
    early = bed.context(bed.state / "gateways" / "gw-a1", "gateway")
    revoke(bed.state, "gw-a1")
    enrol(bed.state, "site-a", "gw-a1", again=True)
    eventually(lambda: _admitted(bed, "gw-a1"), "the readmitted gateway is let in")
    with pytest.raises(Refused):
        bed.client(early)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_revoked_gateway_cannot_resume_an_earlier_tls_session(
    bed: Testbed, version: ssl.TLSVersion
) -> None:
    """A resumed session shows no certificate again."""
    context = bed.context(bed.state / "gateways" / "gw-a1", "gateway")
    context.maximum_version = version
    session = _say_connect(bed, context, None)
    assert _say_connect(bed, context, session) is not None
    revoke(bed.state, "gw-a1")
    eventually(lambda: not _admitted(bed, "gw-a1"), "the revoked gateway is kept out")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _say_connect(bed, context, session)


def test_a_gateway_cannot_pose_as_the_broker(bed: Testbed, tmp_path: Path) -> None:
    """Its certificate is good for clients only, so no other gateway would talk to it as a server."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity = issue(tmp_path / "identity", authority_of(bed.state), "gw-a1")
    server.load_cert_chain(identity / "gateway.crt", identity / "gateway.key")
    client = client_context(bed.state / "pki" / "ca.crt", identity / "gateway.crt", identity / "gateway.key")
    client.check_hostname = False
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        _handshake(client, server)


def _say_connect(
    bed: Testbed, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> ssl.SSLSession | None:
    """Open a connection, resuming `session`, and return its own session once the broker said CONNACK."""
    with (
        socket.create_connection((bed.broker.host, bed.broker.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection,
    ):
        # MQTT 5 CONNECT: clean start, keep alive 60 s, no properties, client id "x".
        connection.sendall(bytes.fromhex("100e 0004 4d515454 05 02 003c 00 0001 78"))
        if connection.recv(1) != b"\x20":
            raise ConnectionError("no CONNACK")
        assert connection.session_reused == (session is not None)
        return connection.session


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (one, other):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass


def _admitted(bed: Testbed, gateway: str) -> bool:
    try:
        client = bed.gateway(gateway)
    except Refused:
        return False
    client.close()
    return True
