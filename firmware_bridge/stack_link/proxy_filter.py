"""Telling a proxy what to pass on to us (Mesh Protocol 1.1, 6.4 to 6.6): pure, time is a parameter.

A new connection has an empty accept list: nothing but the proxy's own beacons would come. A list of our own
addresses keeps the rest of a busy site off the connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from common.errors import Rejected, RejectReason, Unavailable
from common.mesh.addresses import ALL_NODES
from firmware_bridge.stack import network
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import (
    AddAddresses,
    Configuration,
    FilterStatus,
    FilterType,
    SetFilterType,
    build_configuration,
    parse_configuration,
)

REPEAT_S: Final = 1.0
ATTEMPTS: Final = 5
AT_ONCE: Final = 5
"""Addresses that fit the unsegmented transport PDU of a message."""

WAIT_FOR_BEACON_S: Final = 3.0


class FilterDialogue:
    """Sets an accept list of `addresses` and asks for each step until the proxy confirms it.

    `proxy` is the address of the node that answered: filter messages come from the proxy itself.
    """

    def __init__(self, addresses: Iterable[int]) -> None:
        wanted = sorted(set(addresses))
        # The list's size after each step tells which one a status confirms.
        self._steps: list[tuple[Configuration, int]] = [(SetFilterType(FilterType.ACCEPT), 0)]
        for first in range(0, len(wanted), AT_ONCE):
            part = tuple(wanted[first : first + AT_ONCE])
            self._steps.append((AddAddresses(part), first + len(part)))
        self._attempts = 0
        self._due = float("-inf")
        self.proxy: int | None = None

    @property
    def done(self) -> bool:
        """Whether the proxy has confirmed everything."""
        return not self._steps

    @property
    def failed(self) -> bool:
        """Whether the proxy left a step unconfirmed too often."""
        return self._attempts > ATTEMPTS

    @property
    def next_time(self) -> float | None:
        """When `due` has something to say."""
        return None if self.done or self.failed else self._due

    @property
    def asked(self) -> bool:
        """Whether the proxy was asked for the present step: before, no status can be its answer."""
        return not self.done and self._attempts > 0

    def due(self, now: float) -> Configuration | None:
        """The message to send now, if any."""
        if self.done or self.failed or now < self._due:
            return None
        self._attempts += 1
        self._due = now + REPEAT_S
        return None if self.failed else self._steps[0][0]

    def confirmed(self, source: int, status: FilterStatus) -> None:
        """Take in a status. One that says something else is a late answer to an earlier step, or a refusal:
        the step is repeated."""
        if not self.asked:
            return
        _, size = self._steps[0]
        # A proxy puts our own address on the list by itself as soon as we send (6.4).
        if status.kind is FilterType.ACCEPT and status.size >= size:
            self.proxy = source
            self._steps.pop(0)
            self._attempts, self._due = 0, float("-inf")


class ProxyControl:
    """The dialogue with a proxy as sealed PDUs (6.5): each takes a sequence number of `node`, and each answer
    is held against its replay list, as any message is (3.9.8)."""

    def __init__(self, node: StackNode, groups: Iterable[int], connected_at: float) -> None:
        self.dialogue = FilterDialogue((node.address, ALL_NODES, *groups))
        self._node = node
        self._patience = connected_at + WAIT_FOR_BEACON_S
        self._offered: set[int] = set()

    def offered(self, net_index: int) -> None:
        """The proxy told a beacon of this subnet: it is on it, and understands its key."""
        self._offered.add(net_index)

    def next_time(self, now: float) -> float | None:
        """When `due` has something to say."""
        due = self.dialogue.next_time
        return None if due is None else max(due, self._patience if self._waits(now) else now)

    def due(self, now: float) -> bytes | None:
        """The PDU to send now, if any. Raises Unavailable: the proxy confirms nothing, or no numbers are
        left."""
        if self._waits(now):
            return None
        message = self.dialogue.due(now)
        if self.dialogue.failed:
            raise Unavailable("the proxy does not confirm its filter")
        if message is None:
            return None
        number = self._node.sequence.take()
        pdu = NetworkPdu(True, 0, number, self._node.address, 0, build_configuration(message))
        key = self._node.keyring.transmit_key(self._subnet())
        return network.seal(pdu, key.credentials, self._node.iv.transmit, proxy=True)

    def take(self, data: bytes) -> None:
        """Take in a proxy configuration PDU; another network's is nothing. Raises Rejected (REPLAYED: one
        that came before, be it in another connection)."""
        iv_index = network.receive_iv_index(data, self._node.iv.index)
        for key in self._node.keyring.network_keys(network.nid_of(data)):
            pdu = network.open_sealed(data, key.credentials, iv_index, proxy=True)
            if pdu is not None:
                self._take(pdu, iv_index)
                return

    def _take(self, pdu: NetworkPdu, iv_index: int) -> None:
        status = parse_configuration(pdu.transport)
        if not isinstance(status, FilterStatus) or not self.dialogue.asked:
            return
        if not self._node.replay.is_new(pdu.source, iv_index, pdu.sequence):
            self._node.refused[RejectReason.REPLAYED] += 1
            raise Rejected(RejectReason.REPLAYED, f"filter status {pdu.sequence} of 0x{pdu.source:04x}")
        self._node.replay.accept(pdu.source, iv_index, pdu.sequence)
        self.dialogue.confirmed(pdu.source, status)

    def _subnet(self) -> int:
        """The first of our subnets that the proxy is on; the first of all when it told of none."""
        ours = list(self._node.keyring.subnets)
        return next((index for index in ours if index in self._offered), ours[0])

    def _waits(self, now: float) -> bool:
        """Whether the proxy's beacon has yet to come: it tells the IV index, and which of our subnets the
        proxy is on. Under another index or key it understands nothing (6.7)."""
        node = self._node
        told = node.iv.known and (bool(self._offered) or len(node.keyring.subnets) == 1)
        return not told and now < self._patience
