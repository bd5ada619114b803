"""HTTPS for gateways: who is let in, what is served, and what a hostile gateway can do."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from contextlib import AsyncExitStack, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from common.clock import ManualClock
from common.errors import Misconfigured, Unavailable
from common.messages import ModelReference
from coordinator.broker.process import free_port
from coordinator.enrolment import RENEWALS, renew, revoke
from coordinator.gateway_api import connection
from coordinator.gateway_api.connection import CONNECTIONS_EACH
from coordinator.gateway_api.listener import FROM_ONE_ADDRESS, QUIET_S, BoundedListener, Tally, source_of
from coordinator.gateway_api.peer import peer_of
from coordinator.gateway_api.server import LOOK_EVERY_S, MAX_HEADER_BYTES, ServerFiles, server_context
from coordinator.identity.authority import Usage, authority_at, read_certificate
from coordinator.identity.fleet import read_fleet
from coordinator.identity.own import GATEWAY_API
from coordinator.identity.requests import MAX_REQUEST_BYTES, make_key, make_request
from coordinator.installation import refresh
from edge_agent.models.download import download
from tests.broker.conftest import authority_of, issue
from tests.identity.conftest import Https, serving

BUNDLE = bytes(range(256)) * 1000
DIGEST = sha256(BUNDLE).hexdigest()
DAY = 86_400.0


@pytest.fixture
def bundle(state: Path) -> str:
    """A bundle in the state folder; its path at the server."""
    (state / "models").mkdir(mode=0o700)
    (state / "models" / f"{DIGEST}.tflite").write_bytes(BUNDLE)
    return f"/v1/models/{DIGEST}"


async def test_a_bundle_is_served_whole(https: Https, bundle: str) -> None:
    answer = await https.ask("GET", bundle)
    assert (answer.status, answer.body) == (200, BUNDLE)
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (f'"{DIGEST}"', "bytes")


async def test_a_fetch_that_broke_off_goes_on_where_it_was(https: Https, bundle: str) -> None:
    wanted = {"Range": "bytes=100000-", "If-Range": f'"{DIGEST}"'}
    answer = await https.ask("GET", bundle, headers=wanted)
    assert (answer.status, answer.body) == (206, BUNDLE[100_000:])
    assert answer.headers["content-range"] == f"bytes 100000-{len(BUNDLE) - 1}/{len(BUNDLE)}"


async def test_the_agents_own_download_takes_it_whole_and_in_parts(
    https: Https, bundle: str, tmp_path: Path
) -> None:
    context = https.context(https.state / "gateways" / "gw-1")
    reference = ModelReference(name="link-forecast", version=1, digest=DIGEST, size=len(BUNDLE))
    part = tmp_path / "part"
    resumed = []
    for there in (0, 100_000, len(BUNDLE)):
        part.write_bytes(BUNDLE[:there])
        resumed.append(await asyncio.to_thread(download, "127.0.0.1", https.port, context, reference, part))
        assert part.read_bytes() == BUNDLE
    assert resumed == [False, True, True]


async def test_a_range_of_another_content_brings_the_whole(https: Https, bundle: str) -> None:
    wanted = {"Range": "bytes=5-", "If-Range": f'"{"0" * 64}"'}
    answer = await https.ask("GET", bundle, headers=wanted)
    assert (answer.status, answer.body) == (200, BUNDLE)


async def test_a_range_beyond_the_end_is_refused(https: Https, bundle: str) -> None:
    answer = await https.ask("GET", bundle, headers={"Range": f"bytes={len(BUNDLE)}-"})
    assert answer.status == 416


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/models/{'0' * 64}",
        f"/v1/models/{DIGEST.upper()}",
        f"/v1/models/{DIGEST}.tflite",
        "/v1/models/../pki/ca.key",
        "/v1/models/%2e%2e%2fpki%2fca.key",
        "/v1/models/models.json",
        "/v1/models/",
        "/docs",
        "/openapi.json",
        "/",
    ],
)
async def test_nothing_else_is_served(https: Https, bundle: str, path: str) -> None:
    assert (await https.ask("GET", path)).status == 404


async def test_a_link_in_the_models_folder_is_not_followed(https: Https, bundle: str) -> None:
    (https.state / "models" / f"{'1' * 64}.tflite").symlink_to(https.state / "pki" / "ca.key")
    assert (await https.ask("GET", f"/v1/models/{'1' * 64}")).status == 404


async def test_a_renewal_brings_a_certificate_of_the_new_key(https: Https) -> None:
    key = make_key()
    answer = await https.ask("POST", "/v1/certificate", make_request(key, "gw-1"))
    certificate = x509.load_pem_x509_certificate(answer.body)
    assert answer.status == 200
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=gw-1"
    known = read_fleet(https.state / "fleet.json").gateways["gw-1"]
    assert int(known.newest.serial, 16) == certificate.serial_number
    assert known.certificates[0].revoked_at is None


async def test_a_renewal_leaves_the_folder_that_was_copied_to_the_gateway(https: Https) -> None:
    folder = https.state / "gateways" / "gw-1"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert (await https.ask("POST", "/v1/certificate", make_request(make_key(), "gw-1"))).status == 200
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


async def test_the_certificate_that_is_confirmed_takes_the_others_away(https: Https, tmp_path: Path) -> None:
    renewed = _renewed(https.state, tmp_path / "renewed")
    answer = await https.ask("POST", "/v1/certificate/confirm", b"", identity=renewed)
    assert (answer.status, json.loads(answer.body)["revoked"]) == (200, 1)
    refused = await https.ask("POST", "/v1/certificate", make_request(make_key(), "gw-1"))
    assert refused.status == 403
    assert "replaced and revoked" in json.loads(refused.body)["detail"]
    again = await https.ask("POST", "/v1/certificate/confirm", b"", identity=renewed)
    assert (again.status, json.loads(again.body)["revoked"]) == (200, 0)
    listed = x509.load_pem_x509_crl((https.state / "pki" / "crl.pem").read_bytes())
    first = read_fleet(https.state / "fleet.json").gateways["gw-1"].certificates[0]
    assert [f"{entry.serial_number:x}" for entry in listed] == [first.serial]


async def test_a_gateway_cannot_renew_as_another(https: Https) -> None:
    answer = await https.ask("POST", "/v1/certificate", make_request(make_key(), "gw-2"))
    assert (answer.status, json.loads(answer.body)["error"]) == (400, "Rejected")
    assert len(read_fleet(https.state / "fleet.json").gateways["gw-2"].certificates) == 1


@pytest.mark.parametrize("body", [b"", b"junk", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
async def test_junk_instead_of_a_signing_request_is_refused_by_name(https: Https, body: bytes) -> None:
    answer = await https.ask("POST", "/v1/certificate", body)
    assert (answer.status, "malformed" in json.loads(answer.body)["detail"]) == (400, True)


async def test_a_body_that_is_too_long_is_refused_before_it_is_read(https: Https) -> None:
    answer = await https.ask("POST", "/v1/certificate", b"x" * (MAX_REQUEST_BYTES + 1))
    assert answer.status == 413


async def test_headers_without_end_are_refused(https: Https) -> None:
    context = https.context(https.state / "gateways" / "gw-1")
    reader, writer = await asyncio.open_connection("127.0.0.1", https.port, ssl=context)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Endless: " + b"y" * (MAX_HEADER_BYTES + 1))
    await writer.drain()
    assert b" 400 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_gateway_gets_a_bounded_number_of_certificates(https: Https) -> None:
    statuses = [
        (await https.ask("POST", "/v1/certificate", make_request(make_key(), "gw-1"))).status
        for _ in range(RENEWALS)
    ]
    assert statuses == [200] * (RENEWALS - 1) + [429]
    other = await https.ask("POST", "/v1/certificate", make_request(make_key(), "gw-2"), identity="gw-2")
    assert other.status == 200


async def test_a_revoked_gateway_is_told_so_on_every_path(https: Https, bundle: str) -> None:
    assert (await https.ask("GET", bundle)).status == 200
    revoke(https.state, "gw-1")
    for method, path in (("GET", bundle), ("POST", "/v1/certificate"), ("POST", "/v1/certificate/confirm")):
        answer = await https.ask(method, path, make_request(make_key(), "gw-1"))
        assert (answer.status, json.loads(answer.body)["detail"]) == (403, "gateway gw-1 was revoked")
    assert (await https.ask("GET", bundle, identity="gw-2")).status == 200


async def test_a_revocation_holds_on_a_connection_that_is_open(https: Https, bundle: str) -> None:
    line = https.connect(https.state / "gateways" / "gw-1")

    def ask() -> int:
        line.request("GET", bundle)
        answer = line.getresponse()
        answer.read()
        return answer.status

    try:
        assert await asyncio.to_thread(ask) == 200
        revoke(https.state, "gw-1")
        assert await asyncio.to_thread(ask) == 403
    finally:
        line.close()


async def test_a_name_that_was_never_enrolled_is_refused(https: Https, bundle: str, tmp_path: Path) -> None:
    stranger = issue(tmp_path / "stranger", authority_of(https.state), "gw-x")
    unlisted = issue(tmp_path / "unlisted", authority_of(https.state), "gw-1")
    assert (await https.ask("GET", bundle, identity=stranger)).status == 403
    assert (await https.ask("GET", bundle, identity=unlisted)).status == 403


async def test_a_certificate_that_ends_on_an_open_connection_is_refused(state: Path, bundle: str) -> None:
    clock = ManualClock(wall=time.time())
    async with serving(state, clock) as https:
        assert (await https.ask("GET", bundle)).status == 200
        clock.jump_wall(91 * DAY)
        answer = await https.ask("GET", bundle)
        assert (answer.status, "has ended" in answer.body.decode()) == (403, True)


@pytest.mark.parametrize("how", ["none", "foreign", "expired", "server"])
async def test_without_a_valid_certificate_of_this_fleet_the_handshake_fails(
    https: Https, tmp_path: Path, how: str
) -> None:
    if how == "foreign":
        (tmp_path / "ca").mkdir()
        folder = issue(tmp_path / "identity", authority_at(tmp_path / "ca", time.time()), "gw-1")
    else:
        folder = issue(
            tmp_path / "identity",
            authority_of(https.state),
            "gw-1",
            usage=Usage.SERVER if how == "server" else Usage.CLIENT,
            now=time.time() - (100 * DAY if how == "expired" else 0),
        )
    context = https.context(folder)
    if how == "none":
        context = ssl.create_default_context(cafile=https.state / "pki" / "ca.crt")

    def attempt() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", https.port), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            return tls.recv(100)

    # Under TLS 1.3 the client hears of it only when it reads, and may just find the connection closed.
    try:
        assert await asyncio.to_thread(attempt) == b""
    except OSError:
        pass


async def test_a_gateway_holds_a_bounded_number_of_connections(https: Https, bundle: str) -> None:
    context = https.context(https.state / "gateways" / "gw-1")
    held = [
        await asyncio.open_connection("127.0.0.1", https.port, ssl=context) for _ in range(CONNECTIONS_EACH)
    ]
    try:
        with pytest.raises(OSError):
            await https.ask("GET", bundle)
        assert (await https.ask("GET", bundle, identity="gw-2")).status == 200
    finally:
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
    assert await _eventually_served(https, bundle)


@pytest.mark.parametrize("bound", ["FIRST_REQUEST_S", "LIFE_S"])
async def test_a_connection_that_is_only_held_ends(
    https: Https, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, bound, 0.1)
    context = https.context(https.state / "gateways" / "gw-1")
    reader, writer = await asyncio.open_connection("127.0.0.1", https.port, ssl=context)
    writer.write(b"GET /v1/models/")
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_the_server_shows_its_renewed_certificate_without_a_restart(state: Path) -> None:
    clock = ManualClock(wall=time.time())
    async with serving(state, clock) as https:
        before = await asyncio.to_thread(_shown_serial, https)
        assert GATEWAY_API in refresh(state, now=time.time() + 61 * DAY)
        await clock.advance(LOOK_EVERY_S)
        after = await asyncio.to_thread(_shown_serial, https)
        assert after != before
        assert after == read_certificate(state / "pki" / f"{GATEWAY_API}.crt").serial_number


async def test_a_renewed_certificate_that_is_damaged_does_not_replace_the_good_one(
    state: Path, bundle: str
) -> None:
    clock = ManualClock(wall=time.time())
    async with serving(state, clock) as https:
        path = state / "pki" / f"{GATEWAY_API}.crt"
        path.write_bytes(path.read_bytes()[:200])
        await clock.advance(LOOK_EVERY_S)
        assert (await https.ask("GET", bundle)).status == 200


def test_a_port_in_use_is_told_with_the_fix() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"127.0.0.1:{port}.*\n.*\[gateways\] port"):
            BoundedListener("127.0.0.1", port)


def test_connections_beyond_the_bound_are_closed_and_counted() -> None:
    port = free_port()
    with BoundedListener("127.0.0.1", port, connections=2) as listener:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        first, second = listener.accept()[0], listener.accept()[0]
        with pytest.raises(ConnectionAbortedError):
            listener.accept()
        assert clients[2].recv(1) == b""
        first.close()
        clients.append(socket.create_connection(("127.0.0.1", port)))
        third = listener.accept()[0]
        assert listener.tally.turned_away == 1
        for one in (second, third, *clients):
            one.close()


async def test_a_machine_that_only_connects_keeps_no_gateway_out(
    state: Path, bundle: str, caplog: pytest.LogCaptureFixture
) -> None:
    tally = Tally()
    async with serving(state, ManualClock(wall=time.time()), tally=tally) as https, AsyncExitStack() as held:
        for number in range(FROM_ONE_ADDRESS + 20):
            reader, writer = await _connect_from("127.0.0.2", https.port)
            held.push_async_callback(_closed, writer)
            if number >= FROM_ONE_ADDRESS:
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
        assert (await https.ask("GET", bundle)).status == 200
        assert tally.held()["127.0.0.2"] == FROM_ONE_ADDRESS
    assert tally.turned_away == 20
    told = [record for record in caplog.records if "gateway-connections-turned-away" in record.getMessage()]
    assert len(told) == 1


async def test_a_handshake_that_does_not_come_ends_the_connection(state: Path, bundle: str) -> None:
    tally = Tally()
    async with serving(state, tally=tally, handshake_s=0.2) as https:
        reader, writer = await _connect_from("127.0.0.2", https.port)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        await _closed(writer)
        assert tally.held()["127.0.0.2"] == 0
        assert (await https.ask("GET", bundle)).status == 200


async def test_the_turned_away_are_told_once_a_minute_with_their_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, port = ManualClock(), free_port()
    with BoundedListener("127.0.0.1", port, connections=0, clock=clock) as listener:
        for seconds in (0.0, 1.0, QUIET_S):
            await clock.advance(seconds)
            with socket.create_connection(("127.0.0.1", port)), pytest.raises(ConnectionAbortedError):
                listener.accept()
    assert [record.getMessage() for record in caplog.records] == ["gateway-connections-turned-away"] * 2
    assert listener.tally.turned_away == 3


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_connections_count_for_who_holds_the_address(address: str, source: str) -> None:
    assert source_of(address) == source


def test_an_address_that_is_not_there_yet_is_tried_again() -> None:
    with pytest.raises(Unavailable, match="not this machine's address"):
        BoundedListener("192.0.2.7", 8443)


def test_a_server_without_its_certificate_tells_the_command_that_mends_it(state: Path) -> None:
    pki = state / "pki"
    with pytest.raises(Misconfigured, match="coordinator init"):
        server_context(ServerFiles(pki / "ca.crt", pki / "absent.crt", pki / "absent.key"))


@given(serial=st.integers(min_value=1, max_value=2**159))
def test_a_serial_reads_as_the_registry_writes_it(serial: int) -> None:
    text = f"{serial:X}"
    shown = {"serialNumber": text.zfill(len(text) + len(text) % 2), "subject": ((("commonName", "gw"),),)}
    assert peer_of(shown).serial == f"{serial:x}"


@pytest.mark.parametrize(
    "subject", [(), ((("commonName", "a"),), (("commonName", "b"),)), ((("organizationName", "a"),),)]
)
def test_a_subject_that_is_not_one_name_is_nobody(subject: tuple[tuple[tuple[str, str], ...], ...]) -> None:
    assert peer_of({"subject": subject}).gateway == ""


def _renewed(state: Path, folder: Path) -> Path:
    """A folder with a further certificate of gw-1 and its key."""
    from coordinator.identity.requests import key_pem

    folder.mkdir()
    key = make_key()
    serial = read_fleet(state / "fleet.json").gateways["gw-1"].newest.serial
    made = renew(state, "gw-1", serial, make_request(key, "gw-1"))
    (folder / "gateway.crt").write_bytes(made.certificate)
    (folder / "gateway.key").write_bytes(key_pem(key))
    return folder


def _shown_serial(https: Https) -> int:
    context = https.context(https.state / "gateways" / "gw-1")
    # Its dates are of another time than this test's.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", https.port), timeout=10) as raw,
        context.wrap_socket(raw) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


async def _connect_from(address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _eventually_served(https: Https, path: str) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            return (await https.ask("GET", path)).status == 200
        except OSError:
            await asyncio.sleep(0.02)
    return False
