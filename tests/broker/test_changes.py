"""Changes while the broker runs: enrolment, revocation, renewal, restart and crash."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from common.topics import Channel, of, up
from coordinator.enrolment import enrol, revoke
from coordinator.identity.authority import read_certificate
from coordinator.installation import refresh
from tests.broker.client import NOT_AUTHORISED
from tests.broker.conftest import SITES, Testbed, eventually

DAY = 86_400.0
UP_A1 = up("site-a", "gw-a1")
STATUS_A1 = of("site-a", "gw-a1", Channel.STATUS)
COMMAND_A1 = of("site-a", "gw-a1", Channel.COMMAND)


def test_a_gateway_enrolled_meanwhile_gets_its_rights_and_nobody_is_dropped(bed: Testbed) -> None:
    before = [bed.coordinator(), *(bed.gateway(name) for name in SITES)]
    assert enrol(bed.state, "site-a", "gw-a3").reloaded
    newcomer = bed.gateway("gw-a3")
    status = of("site-a", "gw-a3", Channel.STATUS)
    eventually(lambda: newcomer.publish(status, b"new", retain=True) in (0, 16), "the newcomer's rights")
    before[1].subscribe(of("site-a", "+", Channel.STATUS))
    before[1].wait_for(status)
    assert not any(client.disconnected.is_set() for client in before)


def test_a_revoked_gateway_loses_its_rights_on_its_open_connection(bed: Testbed) -> None:
    coordinator, gateway = bed.coordinator(), bed.gateway("gw-a1")
    gateway.subscribe(COMMAND_A1, of("site-a", "+", Channel.STATUS))
    assert gateway.publish(UP_A1) in (0, 16)
    assert revoke(bed.state, "gw-a1").reloaded
    eventually(lambda: gateway.publish(UP_A1) == NOT_AUTHORISED, "the loss of rights")
    coordinator.publish(COMMAND_A1, b"late")
    bed.gateway("gw-a2").publish(of("site-a", "gw-a2", Channel.STATUS), b"late")
    # The answer to a further packet comes after everything the broker had for it.
    assert gateway.publish(UP_A1) == NOT_AUTHORISED
    assert gateway.messages == []


def test_what_a_revoked_gateway_left_behind_is_not_handed_out(bed: Testbed) -> None:
    """Neither its retained status nor its last will."""
    leaver = bed.gateway("gw-a1", will=(STATUS_A1, b"will"))
    leaver.publish(STATUS_A1, b"retained", retain=True)
    revoke(bed.state, "gw-a1")
    eventually(lambda: leaver.publish(UP_A1) == NOT_AUTHORISED, "the loss of rights")
    coordinator, peer = bed.coordinator(), bed.gateway("gw-a2")
    coordinator.subscribe("mt/1/+/+/status")
    peer.subscribe(of("site-a", "+", Channel.STATUS))
    leaver.drop()
    eventually(lambda: "Client gw-a1 closed its connection" in bed.broker.log, "the broker sees it go")
    own = of("site-a", "gw-a2", Channel.STATUS)
    peer.publish(own)
    for client in (coordinator, peer):
        client.wait_for(own)
        assert [message for message in client.messages if message[0] != own] == []


def test_a_gateway_moved_to_another_site_leaves_the_old_one_behind(bed: Testbed) -> None:
    revoke(bed.state, "gw-a1")
    enrol(bed.state, "site-b", "gw-a1", again=True)
    moved = bed.gateway("gw-a1")
    eventually(lambda: moved.publish(up("site-b", "gw-a1")) in (0, 16), "the rights in the new site")
    assert moved.publish(UP_A1) == NOT_AUTHORISED


def test_a_renewed_gateway_works_with_its_old_and_its_new_certificate(bed: Testbed) -> None:
    old = bed.context(bed.state / "gateways" / "gw-a1", "gateway")
    enrol(bed.state, "site-a", "gw-a1", again=True)
    bed.client(old).close()
    assert bed.gateway("gw-a1").publish(UP_A1) in (0, 16)


def test_the_running_broker_takes_up_its_renewed_certificate(state: Path, bed: Testbed) -> None:
    """Renewal needs no restart: a new connection sees the new certificate."""
    before = _shown_serial(bed)
    issued = read_certificate(state / "pki" / "broker.crt").not_valid_after_utc.timestamp() - 90 * DAY
    assert refresh(state, now=issued + 59 * DAY) == ()
    assert refresh(state, now=issued + 61 * DAY) == ("broker", "coordinator", "gateway-api")
    eventually(lambda: _shown_serial(bed) != before, "the new certificate")
    assert _shown_serial(bed) == read_certificate(state / "pki" / "broker.crt").serial_number


def test_a_restart_keeps_sessions_waiting_messages_and_retained_ones(bed: Testbed) -> None:
    desired = of("site-a", "gw-a1", Channel.DESIRED)
    # mosquitto 2.0.11 saves a session only of a client that connected without "clean start".
    gateway = bed.gateway("gw-a1", session_s=3600, clean=False)
    gateway.subscribe(COMMAND_A1)
    gateway.close()
    coordinator = bed.coordinator()
    coordinator.publish(COMMAND_A1, b"queued")
    coordinator.publish(desired, b"kept", retain=True)
    bed.broker.stop()
    bed.broker.start()
    back = bed.gateway("gw-a1", session_s=3600, clean=False)
    assert back.session_present
    back.wait_for(COMMAND_A1, b"queued")
    back.subscribe(desired)
    back.wait_for(desired, b"kept")


def test_a_crash_keeps_what_was_saved(bed: Testbed) -> None:
    desired = of("site-a", "gw-a1", Channel.DESIRED)
    bed.coordinator().publish(desired, b"kept", retain=True)
    saved = bed.state / "broker" / "data" / "mosquitto.db"
    assert bed.broker.pid is not None
    os.kill(bed.broker.pid, signal.SIGUSR1)
    eventually(saved.exists, "the saved state")
    bed.broker.kill()
    bed.broker.start()
    back = bed.gateway("gw-a1")
    back.subscribe(desired)
    back.wait_for(desired, b"kept")


@pytest.mark.parametrize("left", [0, 10, 30, -7, -1])
def test_a_broker_starts_again_on_state_that_was_cut_short(bed: Testbed, left: int) -> None:
    gateway = bed.gateway("gw-a1", session_s=3600, clean=False)
    gateway.subscribe(COMMAND_A1)
    bed.coordinator().publish(COMMAND_A1, b"kept", retain=True)
    bed.broker.stop()
    saved = bed.state / "broker" / "data" / "mosquitto.db"
    saved.write_bytes(saved.read_bytes()[:left])
    bed.broker.start()
    assert saved.with_name("mosquitto.db.damaged").exists()
    assert bed.gateway("gw-a1").publish(UP_A1) in (0, 16)


def test_a_thousand_waiting_messages_and_more_are_kept(bed: Testbed) -> None:
    """The broker's own default would drop all beyond a thousand."""
    reader = bed.coordinator(session_s=3600)
    reader.subscribe("mt/1/+/+/up/+")
    reader.close()
    sender = bed.gateway("gw-a1")
    for number in range(1500):
        sender.send(UP_A1, str(number).encode())
    assert sender.publish(UP_A1, b"last") == 0
    back = bed.coordinator(session_s=3600, clean=False)
    back.wait_for(UP_A1, b"last")
    assert [payload for _, payload in back.messages[:-1]] == [str(n).encode() for n in range(1500)]


def test_revoking_twice_does_no_harm(bed: Testbed) -> None:
    assert revoke(bed.state, "gw-a1") == revoke(bed.state, "gw-a1")


def _shown_serial(bed: Testbed) -> int:
    """The serial number of the certificate that the broker shows to a new connection."""
    context = bed.context(bed.state / "gateways" / "gw-a1", "gateway")
    # The clock of this test is ahead: only the number matters here.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((bed.broker.host, bed.broker.port), 10) as plain,
        context.wrap_socket(plain) as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).serial_number
