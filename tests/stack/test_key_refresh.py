"""Key refresh of network and application keys (3.11.4)."""

from __future__ import annotations

import pytest

from common.errors import Misconfigured, Rejected, Unavailable
from firmware_bridge.stack.beacons import NetworkBeacon, build_secure
from firmware_bridge.stack.events import AccessReceived
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.key_refresh import Phase, Subnet
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.node import StackNode
from tests.stack.wire import IV, node

NEW = NetworkKey(bytes([9] * 16))
NEW_APP = bytes([8] * 16)
LATER = 1e9


def pass_on(sender: StackNode, receiver: StackNode) -> list[bytes]:
    """The payload that comes through when `sender` says something under its present keys."""
    sender.send(receiver.address, b"\x82\x01", 0.0, application=0)
    events = [event for data in sender.outgoing() for event in receiver.receive(data, 0.0)]
    return [event.payload for event in events if isinstance(event, AccessReceived)]


def test_a_flag_cleared_under_the_new_key_ends_a_refresh_whose_second_phase_was_missed() -> None:
    subnet = Subnet(NetworkKey(bytes(16))).distribute(NEW)
    assert subnet.heard(NEW, False) == Subnet(NEW)
    assert subnet.heard(subnet.old, False) == subnet


def test_another_new_key_during_a_refresh_changes_nothing() -> None:
    subnet = Subnet(NetworkKey(bytes(16))).distribute(NEW)
    assert subnet.distribute(NetworkKey(bytes([7] * 16))) is subnet
    assert subnet.switch().distribute(NEW).phase is Phase.SWITCHED


def test_in_the_second_phase_beacons_of_the_old_key_are_not_believed() -> None:
    one = node(1)
    old = one.keyring.transmit_key(0)
    one.keyring.subnets[0] = one.keyring.subnets[0].distribute(NEW).switch()
    assert one.beacon(build_secure(NetworkBeacon(IV + 1, iv_update=True), old), LATER) == []
    assert one.iv.index == IV
    assert one.beacon(build_secure(NetworkBeacon(IV + 1, iv_update=True, key_refresh=True), NEW), LATER)


def test_application_keys_are_replaced_in_step_with_their_subnet() -> None:
    one, two = node(1), node(0x10)
    for each in (one, two):
        each.keyring.subnets[0] = each.keyring.subnets[0].distribute(NEW)
    two.keyring.renew_application(0, NEW_APP)
    old = one.keyring.application(0)
    assert pass_on(one, two)
    assert pass_on(two, one)
    one.keyring.renew_application(0, NEW_APP)
    one.keyring.subnets[0] = one.keyring.subnets[0].switch()
    assert one.keyring.application(0).key == NEW_APP
    assert pass_on(one, two)
    assert pass_on(two, one)
    for each in (one, two):
        each.beacon(build_secure(NetworkBeacon(IV), NEW), LATER)
        assert each.keyring.application(0).key == NEW_APP
        assert list(each.keyring.application_keys(old.aid, 0)) == []
    assert pass_on(one, two)
    assert pass_on(two, one)


def test_an_application_key_is_renewed_during_distribution_alone() -> None:
    one = node(1)
    with pytest.raises(Rejected):
        one.keyring.renew_application(0, NEW_APP)
    with pytest.raises(Misconfigured):
        one.keyring.renew_application(7, NEW_APP)


def test_a_phase_does_not_change_when_the_index_beside_it_cannot_be_saved() -> None:
    one = node(1)
    one.keyring.subnets[0] = before = one.keyring.subnets[0].distribute(NEW)

    def full(iv: IvState, limit: int) -> None:
        raise Unavailable("the disk is full")

    one._save = full
    with pytest.raises(Unavailable):
        one.beacon(build_secure(NetworkBeacon(IV + 1, iv_update=True, key_refresh=True), NEW), LATER)
    assert one.keyring.subnets[0] is before
    assert one.iv.index == IV
