"""The laboratory's proxy filters and relays as the specification says."""

from __future__ import annotations

from common.errors import RejectReason
from firmware_bridge.stack import network, proxy
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.proxy import (
    AddAddresses,
    Configuration,
    FilterStatus,
    FilterType,
    PduType,
    SetFilterType,
)
from tests.bearers.gateway import KEY
from tools.gattlab.proxy_server import ProxyServer

US, NODE, PROXY, GROUP = 0x0001, 0x0100, 0x0B00, 0xC000


class Ends:
    """A server and what it gave out."""

    def __init__(self, list_size: int = 64) -> None:
        self.client: list[NetworkPdu] = []
        self.air: list[NetworkPdu] = []
        self.statuses: list[Configuration] = []
        self.beacons = 0
        self.sequence = 0
        self.server = ProxyServer(KEY, PROXY, self._to_client, self._to_air, list_size=list_size)
        self.server.subscribed()

    def say(self, source: int, destination: int, ttl: int = 5) -> bytes:
        """A sealed network PDU with a fresh sequence number."""
        self.sequence += 1
        pdu = NetworkPdu(False, ttl, self.sequence, source, destination, b"\x00lower")
        return network.seal(pdu, KEY.credentials, 0)

    def configure(self, message: Configuration) -> Configuration:
        self.sequence += 1
        pdu = NetworkPdu(True, 0, self.sequence, US, 0, proxy.build_configuration(message))
        self.server.from_client(PduType.CONFIGURATION, network.seal(pdu, KEY.credentials, 0, proxy=True))
        return self.statuses[-1]

    def _to_client(self, kind: PduType, data: bytes) -> None:
        if kind is PduType.BEACON:
            self.beacons += 1
            return
        pdu = network.open_sealed(data, KEY.credentials, 0, proxy=kind is PduType.CONFIGURATION)
        assert pdu is not None
        if kind is PduType.CONFIGURATION:
            self.statuses.append(proxy.parse_configuration(pdu.transport))
        else:
            self.client.append(pdu)

    def _to_air(self, data: bytes) -> None:
        pdu = network.open_sealed(data, KEY.credentials, 0)
        assert pdu is not None
        self.air.append(pdu)


def test_a_new_client_gets_the_beacon_and_nothing_of_the_mesh() -> None:
    ends = Ends()
    ends.server.from_air(ends.say(NODE, US))
    assert ends.beacons == 1
    assert not ends.client


def test_who_sends_gets_answers_without_asking() -> None:
    ends = Ends()
    ends.server.from_client(PduType.NETWORK, ends.say(US, NODE))
    ends.server.from_air(ends.say(NODE, US))
    ends.server.from_air(ends.say(NODE, GROUP))
    assert [(pdu.source, pdu.destination, pdu.ttl) for pdu in ends.air] == [(US, NODE, 4)]
    assert [(pdu.source, pdu.destination, pdu.ttl) for pdu in ends.client] == [(NODE, US, 4)]


def test_accept_and_reject_lists_filter_by_destination() -> None:
    ends = Ends()
    assert ends.configure(AddAddresses((US, GROUP))) == FilterStatus(FilterType.ACCEPT, 2)
    ends.server.from_air(ends.say(NODE, GROUP))
    assert ends.configure(SetFilterType(FilterType.REJECT)) == FilterStatus(FilterType.REJECT, 0)
    assert ends.configure(AddAddresses((GROUP, 0))) == FilterStatus(FilterType.REJECT, 1)
    ends.server.from_air(ends.say(NODE, GROUP))
    ends.server.from_air(ends.say(NODE, 0xC001))
    assert [pdu.destination for pdu in ends.client] == [GROUP, 0xC001]


def test_a_full_list_takes_no_more_and_its_size_tells() -> None:
    ends = Ends(list_size=2)
    assert ends.configure(AddAddresses((5, 6, 7))) == FilterStatus(FilterType.ACCEPT, 2)


def test_copies_the_last_hop_and_what_is_for_the_proxy_are_not_passed_on() -> None:
    ends = Ends()
    ends.configure(SetFilterType(FilterType.REJECT))
    copy = ends.say(NODE, GROUP)
    ends.server.from_air(copy)
    ends.server.from_air(copy)
    ends.server.from_air(ends.say(NODE, GROUP, ttl=1))
    ends.server.from_client(PduType.NETWORK, ends.say(US, PROXY))
    assert len(ends.client) == 1
    assert not ends.air


def test_hostile_bytes_are_counted() -> None:
    ends = Ends()
    ends.server.from_client(PduType.NETWORK, b"short")
    ends.server.from_client(PduType.CONFIGURATION, bytes(40))
    ends.server.from_air(b"")
    assert ends.server.refused == {RejectReason.TRUNCATED: 2, RejectReason.OVERSIZED: 1}
