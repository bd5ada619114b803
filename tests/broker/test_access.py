"""What a connected client may say and hear at the real broker: its own channels and nothing else.

Silence is proved by a permitted message that is sent after the forbidden one on the same way: when it has
arrived, the forbidden one would have.
"""

from __future__ import annotations

import os
import signal
import ssl

import paho.mqtt.client as mqtt
import pytest

from common import topics
from common.codec import MAX_MESSAGE_BYTES
from common.topics import BETWEEN_PEERS, DOWNWARD, Channel, of, to_peer, up
from coordinator.broker.configuration import MAX_PACKET_BYTES
from tests.broker.client import NOT_AUTHORISED, Client, Refused
from tests.broker.conftest import SITES, Testbed

UP_A1 = up("site-a", "gw-a1")
STATUS_A1 = of("site-a", "gw-a1", Channel.STATUS)
COMMAND_A1 = of("site-a", "gw-a1", Channel.COMMAND)
EVERYTHING = ("#", "$SYS/#", "mt/1/+/+/up/+", "mt/1/+/+/status", "mt/1/+/+/command", "mt/1/site-a/#")

# What gw-a1 must not write, and why one could want to.
FORBIDDEN = {
    "stream of a peer": up("site-a", "gw-a2"),
    "stream of another site": up("site-b", "gw-b1"),
    "own name in another site": up("site-b", "gw-a1"),
    "another shard": f"mt/1/site-a/gw-a1/up/{(topics.shard_of('gw-a1') + 1) % topics.SHARDS}",
    "status of a peer": of("site-a", "gw-a2", Channel.STATUS),
    "status of another site": of("site-b", "gw-b1", Channel.STATUS),
    "command to a peer": of("site-a", "gw-a2", Channel.COMMAND),
    "command to itself": COMMAND_A1,
    "ack to a peer": of("site-a", "gw-a2", Channel.ACK),
    "desired of a peer": of("site-a", "gw-a2", Channel.DESIRED),
    "offer as another peer": to_peer("site-a", "gw-a2", Channel.OFFER, "gw-a3"),
    "task as the addressee": to_peer("site-a", "gw-a2", Channel.TASK, "gw-a2"),
    "result across sites": to_peer("site-b", "gw-b1", Channel.RESULT, "gw-a1"),
    "status of the cloud": of("site-a", topics.CLOUD, Channel.STATUS),
    "offer as the cloud": to_peer("site-a", "gw-a2", Channel.OFFER, topics.CLOUD),
    "task to another site's cloud": to_peer("site-b", topics.CLOUD, Channel.TASK, "gw-a1"),
    "offer without sender": "mt/1/site-a/gw-a2/offer",
    "offer with a tail": "mt/1/site-a/gw-a2/offer/gw-a1/more",
    "outside the scheme": "anything",
    "another version": "mt/2/site-a/gw-a1/status",
    "the broker's own": "$SYS/broker/version",
}


def test_a_gateway_reports_to_the_coordinator(bed: Testbed) -> None:
    coordinator, gateway = bed.coordinator(), bed.gateway("gw-a1")
    coordinator.subscribe("mt/1/+/+/up/+", "mt/1/+/+/status")
    assert gateway.publish(UP_A1, b"report") == 0
    assert gateway.publish(STATUS_A1, b"well", retain=True) == 0
    coordinator.wait_for(STATUS_A1)
    assert coordinator.messages == [(UP_A1, b"report"), (STATUS_A1, b"well")]


@pytest.mark.parametrize("channel", sorted(DOWNWARD))
def test_the_coordinator_reaches_each_gateway(bed: Testbed, channel: Channel) -> None:
    coordinator = bed.coordinator()
    for name, site in SITES.items():
        gateway = bed.gateway(name)
        gateway.subscribe(of(site, name, channel))
        assert coordinator.publish(of(site, name, channel)) == 0
        gateway.wait_for(of(site, name, channel))


@pytest.mark.parametrize("channel", sorted(BETWEEN_PEERS))
def test_peers_of_a_site_talk_to_each_other(bed: Testbed, channel: Channel) -> None:
    one, other = bed.gateway("gw-a1"), bed.gateway("gw-a2")
    other.subscribe(to_peer("site-a", "gw-a2", channel, "+"))
    assert one.publish(to_peer("site-a", "gw-a2", channel, "gw-a1")) == 0
    other.wait_for(to_peer("site-a", "gw-a2", channel, "gw-a1"))


@pytest.mark.parametrize("channel", sorted(BETWEEN_PEERS))
def test_every_gateway_and_the_cloud_talk_to_each_other(bed: Testbed, channel: Channel) -> None:
    cloud = bed.coordinator()
    cloud.subscribe(to_peer("+", topics.CLOUD, channel, "+"))
    for name, site in SITES.items():
        gateway, way = bed.gateway(name), to_peer(site, name, channel, topics.CLOUD)
        gateway.subscribe(to_peer(site, name, channel, "+"), of(site, topics.CLOUD, Channel.STATUS))
        assert gateway.publish(to_peer(site, topics.CLOUD, channel, name)) == 0
        cloud.wait_for(to_peer(site, topics.CLOUD, channel, name))
        assert cloud.publish(way) == 0
        gateway.wait_for(way)
        assert cloud.publish(of(site, topics.CLOUD, Channel.STATUS)) == 0
        gateway.wait_for(of(site, topics.CLOUD, Channel.STATUS))


def test_peers_of_a_site_see_each_others_status(bed: Testbed) -> None:
    one, other = bed.gateway("gw-a1"), bed.gateway("gw-a2")
    other.subscribe(of("site-a", "+", Channel.STATUS))
    one.publish(STATUS_A1, b"well", retain=True)
    other.wait_for(STATUS_A1)


@pytest.mark.parametrize("wrong", FORBIDDEN.values(), ids=[name.replace(" ", "-") for name in FORBIDDEN])
def test_a_gateway_cannot_write_what_is_not_its_own(bed: Testbed, wrong: str) -> None:
    assert bed.gateway("gw-a1").publish(wrong, retain=True) == NOT_AUTHORISED


def test_what_a_gateway_forges_reaches_nobody(bed: Testbed) -> None:
    listeners = [bed.coordinator(), bed.gateway("gw-a2"), bed.gateway("gw-b1")]
    for listener in listeners:
        listener.subscribe(*EVERYTHING, "mt/1/+/+/offer/+", "mt/1/+/+/task/+", "mt/1/+/+/result/+")
    gateway = bed.gateway("gw-a1")
    for wrong in FORBIDDEN.values():
        gateway.publish(wrong, b"forged", retain=True)
    gateway.publish(STATUS_A1, b"well")
    for listener in listeners[:2]:
        listener.wait_for(STATUS_A1)
    _barrier(listeners[0], listeners[2], "site-b", "gw-b1")
    assert not [m for listener in listeners for m in listener.messages if m[1] == b"forged"]


def test_an_old_protocol_version_gives_no_more_rights(bed: Testbed) -> None:
    """MQTT 3.1.1 has no reason codes: the broker says yes and delivers nothing."""
    coordinator = bed.coordinator()
    coordinator.subscribe("mt/1/+/+/up/+", "mt/1/+/+/status")
    gateway = bed.gateway("gw-a1", version=mqtt.MQTTv311)
    gateway.publish(up("site-a", "gw-a2"), b"forged")
    gateway.publish(UP_A1, b"own")
    coordinator.wait_for(UP_A1)
    assert coordinator.messages == [(UP_A1, b"own")]


@pytest.mark.parametrize("pattern", EVERYTHING)
def test_a_gateway_hears_nothing_of_another_site(bed: Testbed, pattern: str) -> None:
    coordinator, listener, gateway = bed.coordinator(), bed.gateway("gw-b1"), bed.gateway("gw-a1")
    listener.subscribe(pattern)
    gateway.publish(UP_A1, b"secret")
    gateway.publish(STATUS_A1, b"secret", retain=True)
    gateway.publish(to_peer("site-a", "gw-a2", Channel.OFFER, "gw-a1"), b"secret")
    coordinator.publish(COMMAND_A1, b"secret", retain=True)
    # A second subscription asks for what was retained meanwhile.
    listener.subscribe(pattern)
    _barrier(coordinator, listener, "site-b", "gw-b1")
    assert [payload for _, payload in listener.messages if payload != b"barrier"] == []


def test_a_gateway_hears_of_its_peers_nothing_but_status(bed: Testbed) -> None:
    coordinator, listener, gateway = bed.coordinator(), bed.gateway("gw-a2"), bed.gateway("gw-a1")
    listener.subscribe(*EVERYTHING)
    gateway.publish(UP_A1, b"secret")
    for channel in sorted(DOWNWARD):
        coordinator.publish(of("site-a", "gw-a1", channel), b"secret", retain=True)
    for channel in sorted(BETWEEN_PEERS):
        gateway.publish(to_peer("site-a", "gw-a3", channel, "gw-a1"), b"secret")
    _barrier(coordinator, listener, "site-a", "gw-a2")
    assert {payload for _, payload in listener.messages} == {b"barrier"}


def test_a_shared_subscription_gives_nothing_and_takes_nothing(bed: Testbed) -> None:
    coordinator, thief, gateway = bed.coordinator(), bed.gateway("gw-b1"), bed.gateway("gw-a1")
    coordinator.subscribe("mt/1/+/+/up/+")
    for pattern in ("mt/1/+/+/up/+", "#", UP_A1):
        thief.subscribe(f"$share/coordinator/{pattern}")
    sent = [str(number).encode() for number in range(50)]
    for payload in sent:
        gateway.publish(UP_A1, payload)
    _barrier(coordinator, thief, "site-b", "gw-b1")
    coordinator.wait_for(UP_A1, sent[-1])
    assert [payload for _, payload in coordinator.messages] == sent
    assert {payload for _, payload in thief.messages} == {b"barrier"}


def test_a_client_id_cannot_be_taken(bed: Testbed) -> None:
    victim = bed.gateway("gw-a1", client_id="gw-a1")
    for claimed in ("gw-a1", "coordinator", ""):
        bed.gateway("gw-b1", client_id=claimed).close()
    victim.subscribe(COMMAND_A1)
    bed.coordinator().publish(COMMAND_A1)
    victim.wait_for(COMMAND_A1)
    assert not victim.disconnected.is_set()


def test_the_waiting_messages_of_an_absent_gateway_cannot_be_taken(bed: Testbed) -> None:
    absent = bed.gateway("gw-a1", session_s=3600)
    absent.subscribe(COMMAND_A1)
    absent.close()
    coordinator = bed.coordinator()
    coordinator.publish(COMMAND_A1, b"secret")
    thief = bed.gateway("gw-b1", client_id="gw-a1", session_s=3600, clean=False)
    assert not thief.session_present
    _barrier(coordinator, thief, "site-b", "gw-b1")
    assert {payload for _, payload in thief.messages} == {b"barrier"}
    back = bed.gateway("gw-a1", session_s=3600, clean=False)
    back.wait_for(COMMAND_A1, b"secret")


@pytest.mark.parametrize("forged", [UP_A1, STATUS_A1, of("site-b", "gw-b1", Channel.COMMAND)])
def test_a_forged_will_is_never_spoken(bed: Testbed, forged: str) -> None:
    coordinator, victim = bed.coordinator(), bed.gateway("gw-a1")
    coordinator.subscribe("mt/1/+/+/up/+", "mt/1/+/+/status")
    victim.subscribe(*EVERYTHING)
    status = of("site-b", "gw-b1", Channel.STATUS)
    bed.gateway("gw-b1", will=(forged, b"forged")).drop()
    # The broker speaks the will of a connection at the latest when its owner connects again.
    again = bed.gateway("gw-b1")
    again.subscribe(*EVERYTHING)
    again.publish(status, b"here")
    coordinator.wait_for(status)
    _barrier(coordinator, victim, "site-a", "gw-a1")
    _barrier(coordinator, again, "site-b", "gw-b1")
    heard = [*coordinator.messages, *victim.messages, *again.messages]
    assert not [message for message in heard if message[1] == b"forged"]


def test_a_gateways_own_will_is_spoken(bed: Testbed) -> None:
    coordinator = bed.coordinator()
    coordinator.subscribe("mt/1/+/+/status")
    bed.gateway("gw-a1", will=(STATUS_A1, b"gone")).drop()
    coordinator.wait_for(STATUS_A1, b"gone")


def test_the_largest_message_passes(bed: Testbed) -> None:
    coordinator, gateway = bed.coordinator(), bed.gateway("gw-a1")
    coordinator.subscribe("mt/1/+/+/up/+")
    assert gateway.publish(UP_A1, bytes(MAX_MESSAGE_BYTES)) == 0
    coordinator.wait_for(UP_A1, bytes(MAX_MESSAGE_BYTES))


def test_a_sender_of_oversized_packets_is_thrown_out_and_nobody_else(bed: Testbed) -> None:
    coordinator, hostile, other = bed.coordinator(), bed.gateway("gw-a1"), bed.gateway("gw-a2")
    coordinator.subscribe("mt/1/+/+/up/+")
    hostile.send(UP_A1, bytes(MAX_PACKET_BYTES + 1))
    hostile.wait_until(hostile.disconnected.is_set, "the disconnection")
    assert other.publish(up("site-a", "gw-a2"), b"small") == 0
    coordinator.wait_for(up("site-a", "gw-a2"))
    assert [payload for _, payload in coordinator.messages] == [b"small"]


def test_the_coordinator_hears_nothing_between_peers_and_cannot_speak_for_a_gateway(bed: Testbed) -> None:
    coordinator, one, other = bed.coordinator(), bed.gateway("gw-a1"), bed.gateway("gw-a2")
    coordinator.subscribe(*EVERYTHING, "mt/1/+/+/offer/+", "mt/1/+/+/task/+", "mt/1/+/+/result/+")
    for channel in sorted(BETWEEN_PEERS):
        other.subscribe(to_peer("site-a", "gw-a2", channel, "+"))
        one.publish(to_peer("site-a", "gw-a2", channel, "gw-a1"), b"between us")
    one.publish(STATUS_A1, b"well")
    coordinator.wait_for(STATUS_A1)
    assert not [m for m in coordinator.messages if m[1] == b"between us"]
    assert coordinator.publish(STATUS_A1) == NOT_AUTHORISED
    assert coordinator.publish(UP_A1) == NOT_AUTHORISED
    assert coordinator.publish(to_peer("site-a", "gw-a1", Channel.TASK, "coordinator")) == NOT_AUTHORISED


def test_a_reload_drops_nobody_and_loosens_nothing(bed: Testbed) -> None:
    clients = [bed.coordinator(), *(bed.gateway(name) for name in SITES)]
    for _ in range(5):
        assert bed.broker.pid is not None
        os.kill(bed.broker.pid, signal.SIGHUP)
    for name, client in zip(SITES, clients[1:], strict=True):
        assert client.publish(of(SITES[name], name, Channel.STATUS)) in (0, 16)
    assert clients[1].publish(of("site-a", "gw-a2", Channel.STATUS)) == NOT_AUTHORISED
    with pytest.raises(Refused):
        bed.client(ssl.create_default_context(cafile=bed.state / "pki" / "ca.crt"))
    assert not any(client.disconnected.is_set() for client in clients)


def _barrier(coordinator: Client, listener: Client, site: str, gateway: str) -> None:
    """Return when all that the broker had for `listener` has arrived."""
    topic = of(site, gateway, Channel.COMMAND)
    listener.subscribe(topic)
    coordinator.publish(topic, b"barrier")
    listener.wait_for(topic, b"barrier")
