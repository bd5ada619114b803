"""Destinations, credentials and labels where it is easy to get wrong (3.4.2, 3.4.4, 3.6.4.2, 3.9.6)."""

from __future__ import annotations

import pytest

from common.errors import Rejected, RejectReason
from firmware_bridge.stack import crypto, keys, lower, network, proxy, upper
from firmware_bridge.stack.events import AccessReceived
from firmware_bridge.stack.keys import ApplicationKey
from firmware_bridge.stack.network import NetworkPdu
from tests.stack.wire import APP, IV, LABEL, NET, node, sealed


def colliding(label: bytes) -> bytes:
    """Another label with the same virtual address: 14 bits are found at once."""
    wanted = upper.virtual_address(label)
    candidates = (number.to_bytes(16, "big") for number in range(1 << 20))
    return next(other for other in candidates if upper.virtual_address(other) == wanted)


def test_two_labels_with_one_virtual_address_are_told_apart_by_the_mic() -> None:
    one, other = node(1), colliding(LABEL)
    one.keyring.labels[upper.virtual_address(LABEL)].append(other)
    key = one.keyring.application(0)
    for number, label in enumerate((LABEL, other, LABEL)):
        address = upper.virtual_address(label)
        body = upper.encrypt(b"\x82\x01", key, number, 0x10, address, IV, label=label)
        transport = lower.build(lower.Access(key.aid, body))
        (event,) = one.receive(sealed(one, transport, number, destination=address), 0.0)
        assert isinstance(event, AccessReceived)
        assert event.label == label


def test_two_application_keys_with_one_aid_are_told_apart_by_the_mic() -> None:
    one = node(1)
    aid = one.keyring.application(0).aid
    candidates = (ApplicationKey(number.to_bytes(16, "big"), 5) for number in range(10_000))
    twin = one.keyring.applications[5] = next(key for key in candidates if key.aid == aid)
    for number, key in enumerate((one.keyring.applications[0], twin)):
        body = upper.encrypt(b"\x82\x01", key, number, 0x10, 1, IV)
        (event,) = one.receive(sealed(one, lower.build(lower.Access(aid, body)), number), 0.0)
        assert isinstance(event, AccessReceived)
        assert event.application == key.index


def test_a_label_and_its_address_go_together() -> None:
    key = ApplicationKey(APP)
    with pytest.raises(Rejected):
        upper.encrypt(b"\x01", key, 0, 1, upper.virtual_address(LABEL), 0)
    with pytest.raises(Rejected):
        upper.encrypt(b"\x01", key, 0, 1, 0xC000, 0, label=LABEL)


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize(("control", "destination"), [(False, 0), (True, 0), (True, 5)])
def test_only_proxy_configuration_goes_to_nobody(proxied: bool, control: bool, destination: int) -> None:
    credentials = keys.flooding(NET)
    pdu = NetworkPdu(control, 0, 1, 1, destination, bytes(8))
    data = credentials_sealed(pdu, credentials, proxied)
    if (proxied, control, destination) in ((True, True, 0), (False, True, 5)):
        assert network.open_sealed(data, credentials, IV, proxy=proxied) == pdu
        assert network.open_sealed(data, credentials, IV, proxy=not proxied) is None
    else:
        with pytest.raises(Rejected) as wrong:
            network.open_sealed(data, credentials, IV, proxy=proxied)
        assert wrong.value.reason is RejectReason.INVALID


def credentials_sealed(pdu: NetworkPdu, credentials: keys.Credentials, proxied: bool) -> bytes:
    """`network.seal`, without its look at the values: a hostile sender checks nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_check", lambda *_: None)
        return network.seal(pdu, credentials, IV, proxy=proxied)


def test_the_three_kinds_of_credentials_do_not_open_each_other() -> None:
    kinds = (keys.flooding(NET), keys.directed(NET), keys.friendship(NET, 1, 2, 3, 4))
    pdu = NetworkPdu(False, 3, 1, 1, 2, bytes(8))
    for sender in kinds:
        data = network.seal(pdu, sender, IV)
        assert [network.open_sealed(data, receiver, IV) for receiver in kinds if receiver is not sender] == [
            None,
            None,
        ]
        assert network.open_sealed(data, sender, IV) == pdu


def test_obfuscation_hides_all_six_bytes_and_depends_on_the_iv_index() -> None:
    credentials = keys.flooding(NET)
    pdu = NetworkPdu(False, 3, 1, 1, 2, bytes(8))
    first, second = (network.seal(pdu, credentials, index) for index in (IV, IV + 2))
    assert first[0] == second[0]
    assert first[1:7] != second[1:7]
    assert network.open_sealed(first, credentials, IV + 2) is None


def test_a_configuration_that_does_not_fit_its_fields_is_named() -> None:
    for message in (
        proxy.AddAddresses((0x1_0000,)),
        proxy.FilterStatus(proxy.FilterType.ACCEPT, -1),
        proxy.UnknownConfiguration(300, b""),
    ):
        with pytest.raises(Rejected) as wrong:
            proxy.build_configuration(message)
        assert wrong.value.reason is RejectReason.OUT_OF_RANGE


def test_a_wrong_block_leaves_the_encryptor_in_step() -> None:
    block = crypto.Block(NET)
    first = block.encrypt(bytes(16))
    for size in (0, 5, 15, 17, 32):
        with pytest.raises(ValueError, match="a block has 16 bytes"):
            block.encrypt(bytes(size))
    assert block.encrypt(bytes(16)) == first
