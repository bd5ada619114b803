"""The dialogue about a proxy's filter: only an answer to our question counts, and only once."""

from __future__ import annotations

import pytest

from common.errors import Rejected, RejectReason
from firmware_bridge.stack import network
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import FilterStatus, FilterType, build_configuration
from firmware_bridge.stack_link.proxy_filter import REPEAT_S, WAIT_FOR_BEACON_S, ProxyControl

NET, GUESTS = bytes(16), bytes(range(16))
IV, PROXY = 5, 0x10


def gateway(*subnets: bytes) -> StackNode:
    ring = Keyring.of(dict(enumerate(subnets or (NET,))), {}, {})
    return StackNode(1, ring, IvState(IV), 0, lambda iv, limit: None)


def status(node: StackNode, size: int, number: int, net_index: int = 0) -> bytes:
    """A proxy's answer under its sequence number `number`."""
    transport = build_configuration(FilterStatus(FilterType.ACCEPT, size))
    pdu = NetworkPdu(True, 0, number, PROXY, 0, transport)
    return network.seal(pdu, node.keyring.transmit_key(net_index).credentials, IV, proxy=True)


def subnet_of(node: StackNode, data: bytes) -> list[int]:
    """The subnets whose key opens a proxy configuration."""
    keys = node.keyring.network_keys(network.nid_of(data))
    return [key.index for key in keys if network.open_sealed(data, key.credentials, IV, proxy=True)]


def test_a_proxy_that_answers_each_question_is_taken() -> None:
    node = gateway()
    control = ProxyControl(node, [0xC001], 0.0)
    for step, size in enumerate((0, 3)):
        assert control.due(float(step)) is not None
        control.take(status(node, size, step))
    assert control.dialogue.done
    assert control.dialogue.proxy == PROXY


def test_nothing_counts_before_we_asked() -> None:
    node = gateway()
    control = ProxyControl(node, [0xC001], 0.0)
    for number in range(20):
        control.take(status(node, 9, number))
    assert not control.dialogue.done
    # What was not listened to is no replay later.
    assert control.due(0.0) is not None
    control.take(status(node, 9, 19))
    assert len(node.replay) == 1


def test_one_recorded_status_confirms_one_step_and_never_again() -> None:
    node = gateway()
    recording = status(node, 9, 77)
    for session in range(2):
        control = ProxyControl(node, [0xC001], 0.0)
        for step in range(3):
            control.due(step * REPEAT_S)
            if session == step == 0:
                control.take(recording)
            else:
                with pytest.raises(Rejected) as replayed:
                    control.take(recording)
                assert replayed.value.reason is RejectReason.REPLAYED
        assert not control.dialogue.done
    assert node.refused[RejectReason.REPLAYED] == 5


def test_a_proxy_is_asked_in_the_subnet_that_it_told_of() -> None:
    node = gateway(NET, GUESTS)
    control = ProxyControl(node, [], 0.0)
    assert control.due(0.0) is None
    assert control.next_time(0.0) == WAIT_FOR_BEACON_S
    control.offered(1)
    assert control.next_time(0.1) == 0.1
    data = control.due(0.1)
    assert data is not None
    assert subnet_of(node, data) == [1]
    control.take(status(node, 0, 1, net_index=1))
    assert control.dialogue.due(0.2) is not None


def test_a_proxy_on_several_subnets_is_asked_in_the_first_of_ours() -> None:
    node = gateway(NET, GUESTS)
    control = ProxyControl(node, [], 0.0)
    control.offered(1)
    control.offered(0)
    data = control.due(0.0)
    assert data is not None
    assert subnet_of(node, data) == [0]


def test_a_proxy_that_tells_no_beacon_is_asked_all_the_same_after_a_while() -> None:
    node = gateway(NET, GUESTS)
    control = ProxyControl(node, [], 0.0)
    assert control.due(WAIT_FOR_BEACON_S - 0.1) is None
    data = control.due(WAIT_FOR_BEACON_S)
    assert data is not None
    assert subnet_of(node, data) == [0]
