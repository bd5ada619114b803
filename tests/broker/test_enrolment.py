"""Enrolment and revocation as they change files and registry; their effect on the broker is elsewhere."""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common import config as toml
from common.errors import Corrupt, Misconfigured, Rejected, RejectReason
from common.tls import client_context
from coordinator.config import load_config
from coordinator.enrolment import enrol, revoke
from coordinator.identity.authority import read_certificate
from coordinator.identity.fleet import FleetView, read_fleet
from coordinator.identity.requests import make_key, make_request
from edge_agent.config import AgentConfig
from edge_agent.config import load_config as load_agent_config

DAY = 86_400.0


def test_an_identity_folder_holds_all_that_a_gateway_needs(state: Path) -> None:
    done = enrol(state, "site-a", "gw-a3", address=0x0123)
    assert {path.name for path in done.folder.iterdir()} == {
        "ca.crt",
        "gateway.crt",
        "gateway.key",
        "agent.toml",
    }
    client_context(*(done.folder / name for name in ("ca.crt", "gateway.crt", "gateway.key")))
    config = toml.load(AgentConfig, done.folder / "agent.toml")
    assert (config.gateway.site, config.gateway.id, config.gateway.address) == ("site-a", "gw-a3", 0x0123)
    assert (config.broker.host, config.broker.port) == ("127.0.0.1", load_config(state).broker.port)


def test_an_unknown_mesh_address_is_left_for_the_operator_to_fill_in(state: Path) -> None:
    done = enrol(state, "site-a", "gw-a3")
    with pytest.raises(Misconfigured, match=r"gateway\.address"):
        load_agent_config(done.folder / "agent.toml")


def test_an_address_that_another_gateway_of_the_site_has_is_refused(state: Path) -> None:
    enrol(state, "site-a", "gw-a3", address=0x0123)
    before = read_fleet(state / "fleet.json")
    with pytest.raises(Rejected, match="gw-a3 of site site-a has address 0x0123"):
        enrol(state, "site-a", "gw-a4", address=0x0123)
    assert read_fleet(state / "fleet.json") == before
    enrol(state, "site-b", "gw-b4", address=0x0123)  # another site is another network
    enrol(state, "site-a", "gw-a4", address=0x0124)


def test_a_renewal_keeps_the_address_and_a_revocation_frees_it(state: Path) -> None:
    enrol(state, "site-a", "gw-a3", address=0x0123)
    again = enrol(state, "site-a", "gw-a3", again=True)
    assert toml.load(AgentConfig, again.folder / "agent.toml").gateway.address == 0x0123
    revoke(state, "gw-a3")
    enrol(state, "site-a", "gw-a4", address=0x0123)
    with pytest.raises(Rejected, match="gw-a4"):
        enrol(state, "site-a", "gw-a3", again=True)
    back = enrol(state, "site-a", "gw-a3", again=True, address=0x0125)
    assert toml.load(AgentConfig, back.folder / "agent.toml").gateway.address == 0x0125


@pytest.mark.parametrize(
    ("host", "names", "dialled"),
    [
        ("0.0.0.0", "[]", socket.gethostname()),
        ("0.0.0.0", '["mesh.example", "192.0.2.7"]', "mesh.example"),
        ("127.0.0.1", '["mesh.example"]', "mesh.example"),
    ],
)
def test_gateways_are_told_a_name_that_the_broker_answers_to(
    state: Path, host: str, names: str, dialled: str
) -> None:
    path = state / "coordinator.toml"
    path.write_text(path.read_text().replace("127.0.0.1", host).replace("names = []", f"names = {names}"))
    done = enrol(state, "site-a", "gw-a3", address=1)
    assert toml.load(AgentConfig, done.folder / "agent.toml").broker.host == dialled


def test_a_key_made_on_the_gateway_never_leaves_it(state: Path) -> None:
    key = make_key()
    done = enrol(state, "site-a", "gw-a3", make_request(key, "gw-a3"))
    assert not (done.folder / "gateway.key").exists()
    assert read_certificate(done.folder / "gateway.crt").public_key() == key.public_key()


def test_a_certificate_names_the_gateway_for_ninety_days_as_a_client(state: Path) -> None:
    done = enrol(state, "site-a", "gw-a3", now=1_800_000_000.0)
    certificate = read_certificate(done.folder / "gateway.crt")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert certificate.subject.rfc4514_string() == "CN=gw-a3"
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert done.not_after == 1_800_000_000.0 + 90 * DAY
    # A gateway whose clock is somewhat late can use it at once.
    assert certificate.not_valid_before_utc.timestamp() < 1_800_000_000.0 - 3600


def test_nothing_but_the_key_is_taken_from_a_request(state: Path) -> None:
    """An extension asking for the rights of an authority or a server is ignored."""
    key = make_key()
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject("gw-a3"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    done = enrol(state, "site-a", "gw-a3", _pem(request))
    extensions = read_certificate(done.folder / "gateway.crt").extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.CLIENT_AUTH
    ]
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_a_request_for_somebody_else_is_forged(state: Path) -> None:
    assert _refusal(state, make_request(make_key(), "gw-a1")) is RejectReason.FORGED


def test_a_request_with_two_names_is_forged(state: Path) -> None:
    request = x509.CertificateSigningRequestBuilder().subject_name(_subject("gw-a3", "gw-a1"))
    assert _refusal(state, _pem(request.sign(make_key(), hashes.SHA256()))) is RejectReason.FORGED


def test_a_request_that_was_signed_by_another_key_is_forged(state: Path) -> None:
    """Without the proof of possession somebody's public key could be certified under another name."""
    one, other = make_request(make_key(), "gw-a3"), make_request(make_key(), "gw-a3")
    parsed, donor = (x509.load_pem_x509_csr(pem) for pem in (one, other))
    der = parsed.public_bytes(serialization.Encoding.DER)
    spki = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    swapped = der.replace(parsed.public_key().public_bytes(*spki), donor.public_key().public_bytes(*spki))
    assert _refusal(state, _pem(x509.load_der_x509_csr(swapped))) is RejectReason.FORGED


@pytest.mark.parametrize("kind", ["rsa", "p384"])
def test_a_key_of_another_kind_is_refused(state: Path, kind: str) -> None:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(_subject("gw-a3")).sign(key, hashes.SHA256())
    )
    assert _refusal(state, _pem(request)) is RejectReason.INVALID


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", b"\xff" * 100]
)
def test_junk_instead_of_a_request_is_malformed(state: Path, junk: bytes) -> None:
    assert _refusal(state, junk) is RejectReason.MALFORMED


def test_every_cut_and_flip_of_a_request_ends_in_a_named_refusal(state: Path) -> None:
    der = x509.load_pem_x509_csr(make_request(make_key(), "gw-a3")).public_bytes(serialization.Encoding.DER)
    pem = make_request(make_key(), "gw-a3")
    for cut in range(0, len(pem) - 1, 7):
        _refusal(state, pem[:cut])
    for at in range(0, len(der), 3):
        broken = bytearray(der)
        broken[at] ^= 0x41
        _refusal(state, _armour(bytes(broken)))


def test_a_huge_request_is_refused_unread(state: Path) -> None:
    assert _refusal(state, b"x" * 100_000) is RejectReason.OVERSIZED


@pytest.mark.parametrize(
    "name", ["coordinator", "broker", "cloud", "", "Gw", "a/b", "gw+", "#", "../gw", "gw\nuser x", "x" * 65]
)
def test_a_name_that_is_reserved_or_unsafe_is_refused(state: Path, name: str) -> None:
    before = read_fleet(state / "fleet.json")
    with pytest.raises(Rejected):
        enrol(state, "site-a", name)
    with pytest.raises(Rejected):
        enrol(state, "a/b" if name in ("coordinator", "broker", "cloud") else name, "gw-a3")
    assert read_fleet(state / "fleet.json") == before


def test_an_id_is_unique_over_the_fleet(state: Path) -> None:
    for again in (False, True):
        with pytest.raises(Rejected, match="belongs to site site-a"):
            enrol(state, "site-b", "gw-a1", again=again)


def test_a_second_certificate_has_to_be_asked_for(state: Path) -> None:
    with pytest.raises(Rejected, match="already enrolled"):
        enrol(state, "site-a", "gw-a1")
    revoke(state, "gw-a1")
    with pytest.raises(Rejected, match="was revoked"):
        enrol(state, "site-a", "gw-a1")


def test_a_refused_request_leaves_no_trace(state: Path) -> None:
    before = read_fleet(state / "fleet.json")
    _refusal(state, b"junk")
    assert read_fleet(state / "fleet.json") == before
    assert not (state / "gateways" / "gw-a3").exists()


def test_an_unknown_gateway_cannot_be_revoked(state: Path) -> None:
    with pytest.raises(Rejected, match="not enrolled"):
        revoke(state, "gw-x")


def test_the_registry_tells_site_serial_and_end(state: Path) -> None:
    done = enrol(state, "site-a", "gw-a3")
    known = read_fleet(state / "fleet.json").gateways["gw-a3"]
    assert (known.site, known.newest.serial, known.newest.not_after) == (
        "site-a",
        done.serial,
        done.not_after,
    )
    serial = read_certificate(done.folder / "gateway.crt").serial_number
    assert int(known.newest.serial, 16) == serial


def test_the_revocation_list_names_every_certificate_of_a_revoked_gateway(state: Path) -> None:
    second = enrol(state, "site-a", "gw-a1", again=True)
    first = read_fleet(state / "fleet.json").gateways["gw-a1"].certificates[0]
    revoke(state, "gw-a1")
    listed = x509.load_pem_x509_crl((state / "pki" / "crl.pem").read_bytes())
    assert {f"{entry.serial_number:x}" for entry in listed} == {first.serial, second.serial}
    assert listed.is_signature_valid(read_certificate(state / "pki" / "ca.crt").public_key())  # type: ignore[arg-type]


def test_each_revocation_list_is_later_than_the_one_before(state: Path) -> None:
    """Even when the clock stands still or goes back: whoever holds two lists believes the later one."""
    times = []
    for gateway, now in (("gw-a1", 1_800_000_000.0), ("gw-a2", 1_800_000_000.0), ("gw-b1", 1_790_000_000.0)):
        revoke(state, gateway, now=now)
        listed = x509.load_pem_x509_crl((state / "pki" / "crl.pem").read_bytes())
        times.append(listed.last_update_utc)
    assert times[0] < times[1] < times[2]


def test_a_view_of_the_registry_sees_changes_by_others(state: Path) -> None:
    view = FleetView(state / "fleet.json")
    assert view.current().site_of("gw-a3") is None
    enrol(state, "site-a", "gw-a3")
    assert view.current().site_of("gw-a3") == "site-a"
    revoke(state, "gw-a3")
    assert view.current().site_of("gw-a3") is None


def test_a_view_of_an_absent_registry_is_empty(tmp_path: Path) -> None:
    assert FleetView(tmp_path / "fleet.json").current().active() == {}


def test_every_cut_of_the_registry_is_told_as_damage(state: Path, tmp_path: Path) -> None:
    data = (state / "fleet.json").read_bytes().rstrip()
    for cut in range(0, len(data), 11):
        (tmp_path / "fleet.json").write_bytes(data[:cut])
        with pytest.raises(Corrupt):
            read_fleet(tmp_path / "fleet.json")


def _refusal(state: Path, request: bytes) -> RejectReason:
    with pytest.raises(Rejected) as caught:
        enrol(state, "site-a", "gw-a3", request)
    return caught.value.reason


def _subject(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def _pem(request: x509.CertificateSigningRequest) -> bytes:
    return request.public_bytes(serialization.Encoding.PEM)


def _armour(der: bytes) -> bytes:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n".encode()
