"""The mesh side of a GATT proxy: filter, beacon, and the way from client to mesh and back (6, 3.4.6.3).

Pure: what goes out is given to two callbacks. It relays for its client alone, and is no other node's server.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from common.errors import Rejected, RejectReason
from firmware_bridge.stack import beacons, network, proxy
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.proxy import (
    AddAddresses,
    Configuration,
    FilterStatus,
    FilterType,
    PduType,
    RemoveAddresses,
    SetFilterType,
)

LIST_SIZE: Final = 64
_CACHE: Final = 256
_UNASSIGNED: Final = 0


class Filter:
    """What passes to a client: at first nothing, an empty accept list (6.4). The list has a limit; what does
    not fit is left out, as its size tells."""

    def __init__(self, most: int = LIST_SIZE) -> None:
        self.kind = FilterType.ACCEPT
        self.addresses: set[int] = set()
        self._most = most

    def passes(self, destination: int) -> bool:
        """Whether a message to this destination goes to the client (6.4)."""
        return (destination in self.addresses) is (self.kind is FilterType.ACCEPT)

    def heard_from_client(self, source: int) -> None:
        """A valid message came from the client: what is for its sender shall pass (6.4.1, 6.4.2)."""
        if self.kind is FilterType.ACCEPT:
            self._add((source,))
        else:
            self.addresses.discard(source)

    def apply(self, message: Configuration) -> FilterStatus | None:
        """Change as asked, and the answer; None for what is no request (6.6)."""
        match message:
            case SetFilterType(kind):
                self.kind, self.addresses = kind, set()
            case AddAddresses(addresses):
                self._add(addresses)
            case RemoveAddresses(addresses):
                self.addresses.difference_update(addresses)
            case _:
                return None
        return FilterStatus(self.kind, len(self.addresses))

    def _add(self, addresses: tuple[int, ...]) -> None:
        for address in addresses:
            if address != _UNASSIGNED and len(self.addresses) < self._most:
                self.addresses.add(address)


class ProxyServer:
    """One client's proxy in the network of `key`, as the node `address`.

    `to_client(kind, data)` and `to_air(network PDU)` take what goes out. `greets` is whether a client gets
    the secure network beacon when it subscribes, as it has to. `refused` counts by reason.
    """

    def __init__(
        self,
        key: NetworkKey,
        address: int,
        to_client: Callable[[PduType, bytes], None],
        to_air: Callable[[bytes], None],
        *,
        iv_index: int = 0,
        list_size: int = LIST_SIZE,
    ) -> None:
        self.greets = True
        self.iv_index = iv_index
        self.refused: Counter[RejectReason] = Counter()
        self._key = key
        self._address = address
        self._to_client = to_client
        self._to_air = to_air
        self._list_size = list_size
        self._sequence = 0
        self._cache: OrderedDict[tuple[int, int, int], None] = OrderedDict()
        self.filter = Filter(list_size)

    def subscribed(self) -> None:
        """A client turned notifications on: a fresh filter, and the beacon (6.7)."""
        self.filter = Filter(self._list_size)
        if self.greets:
            beacon = beacons.build_secure(NetworkBeacon(self.iv_index), self._key)
            self._to_client(PduType.BEACON, beacon)

    def from_client(self, kind: PduType, data: bytes) -> None:
        """Take a whole proxy PDU of the client."""
        try:
            if kind is PduType.NETWORK:
                self._network_from_client(data)
            elif kind is PduType.CONFIGURATION:
                self._configure(data)
        except Rejected as error:
            self.refused[error.reason] += 1

    def from_air(self, data: bytes) -> None:
        """Take a network PDU of the mesh."""
        try:
            pdu, iv_index = self._open(data)
        except Rejected as error:
            self.refused[error.reason] += 1
            return
        if pdu is not None and self._is_new(pdu) and self.filter.passes(pdu.destination):
            for relayed in self._relayed(pdu, iv_index):
                self._to_client(PduType.NETWORK, relayed)

    def beacon_from_air(self, data: bytes) -> None:
        """Take a beacon of the mesh, and pass on what is our network's."""
        try:
            said = beacons.parse(data, self._key)
        except Rejected as error:
            self.refused[error.reason] += 1
            return
        if said is not None and said.iv_index >= self.iv_index:
            self.iv_index = said.iv_index
            self._to_client(PduType.BEACON, data)

    def _network_from_client(self, data: bytes) -> None:
        pdu, iv_index = self._open(data)
        if pdu is None or not self._is_new(pdu):
            return
        self.filter.heard_from_client(pdu.source)
        for relayed in self._relayed(pdu, iv_index):
            self._to_air(relayed)

    def _configure(self, data: bytes) -> None:
        pdu, _ = self._open(data, proxy=True)
        if pdu is None or not pdu.control or pdu.ttl or pdu.destination:
            return
        status = self.filter.apply(proxy.parse_configuration(pdu.transport))
        if status is None:
            return
        answer = NetworkPdu(True, 0, self._sequence, self._address, 0, proxy.build_configuration(status))
        self._sequence += 1
        sealed = network.seal(answer, self._key.credentials, self.iv_index, proxy=True)
        self._to_client(PduType.CONFIGURATION, sealed)

    def _open(self, data: bytes, *, proxy: bool = False) -> tuple[NetworkPdu | None, int]:
        iv_index = network.receive_iv_index(data, self.iv_index)
        return network.open_sealed(data, self._key.credentials, iv_index, proxy=proxy), iv_index

    def _is_new(self, pdu: NetworkPdu) -> bool:
        """Whether it is not another copy of a message that passed (3.4.6.4)."""
        seen = (pdu.source, pdu.sequence, pdu.destination)
        if seen in self._cache:
            return False
        self._cache[seen] = None
        if len(self._cache) > _CACHE:
            self._cache.popitem(last=False)
        return True

    def _relayed(self, pdu: NetworkPdu, iv_index: int) -> list[bytes]:
        """One hop further (3.4.6.3); nothing when it has no hop left, or is for the proxy itself."""
        if pdu.ttl < 2 or pdu.destination == self._address:
            return []
        return [network.seal(pdu._replace(ttl=pdu.ttl - 1), self._key.credentials, iv_index)]
