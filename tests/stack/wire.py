"""Nodes of one network without a radio, and PDUs made by hand with its keys."""

from __future__ import annotations

from firmware_bridge.stack import network
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode

NET = bytes(range(16))
OTHER_NET = bytes(range(100, 116))
APP = bytes(range(16, 32))
DEVICES = {0x0001: bytes([1] * 16), 0x0010: bytes([2] * 16)}
LABEL = bytes(range(64, 80))
IV = 5


class Disk:
    """What a node saved, and how often."""

    def __init__(self, iv: IvState | None = None) -> None:
        self.iv = iv or IvState(IV)
        self.limit = 0
        self.saves = 0

    def save(self, iv: IvState, limit: int) -> None:
        self.iv, self.limit = iv, limit
        self.saves += 1


def keyring() -> Keyring:
    """The primary subnet, a second one, and an application key of each."""
    return Keyring.of({0: NET, 1: OTHER_NET}, {0: (APP, 0), 1: (APP[::-1], 1)}, DEVICES, [LABEL])


def node(address: int, disk: Disk | None = None) -> StackNode:
    """A node that listens to group 0xC001."""
    disk = disk or Disk()
    return StackNode(address, keyring(), disk.iv, disk.limit, disk.save, groups=[0xC001])


def sealed(
    to: StackNode,
    transport: bytes,
    sequence: int,
    *,
    source: int = 0x10,
    destination: int = 1,
    is_control: bool = False,
    ttl: int = 3,
    iv_index: int = IV,
    net_index: int = 0,
) -> bytes:
    """A network PDU as somebody with the network key can make it."""
    pdu = NetworkPdu(is_control, ttl, sequence, source, destination, transport)
    return network.seal(pdu, to.keyring.transmit_key(net_index).credentials, iv_index)


def opened(by: StackNode, data: bytes, iv_index: int = IV) -> NetworkPdu:
    """What a network PDU of one of the node's subnets says."""
    for key in by.keyring.network_keys(network.nid_of(data)):
        if (pdu := network.open_sealed(data, key.credentials, iv_index)) is not None:
            return pdu
    raise AssertionError("sealed under another key or IV index")
