"""Access messages: the bytes and limits of single ones. Round trips of all are in tests/access."""

from __future__ import annotations

import struct
from collections import Counter

import pytest
from hypothesis import given

from common.errors import Rejected
from common.mesh.configuration import Transmit
from firmware_bridge.access import config_keys, config_models, config_state, link_monitor
from firmware_bridge.access.fields import transmit_from_wire, transmit_to_wire
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.access.opcodes import MAX_UNSEGMENTED_PAYLOAD, opcode_bytes, vendor_opcode
from tests.access.every_message import tables, transmits, unhurried


def test_a_vendor_opcode_carries_its_company_little_endian() -> None:
    assert opcode_bytes(vendor_opcode(0x01, 0x05F1)) == b"\xc1\xf1\x05"
    assert link_monitor.Probe.OPCODE == 0xC1F105


@pytest.mark.parametrize("opcode", [-1, 0x80, 0xC0, 0x0100, 0x8200 << 8, 0x1000000])
def test_a_number_that_is_no_opcode_is_refused(opcode: int) -> None:
    with pytest.raises(Rejected):
        opcode_bytes(opcode)


@given(transmits)
@unhurried
def test_transmissions_go_on_air_as_the_specification_counts_them(transmit: Transmit) -> None:
    octet = transmit_to_wire(transmit)
    assert transmit_from_wire(octet) == transmit
    assert octet & 7 == transmit.count - 1
    assert (octet >> 3) + 1 == transmit.interval_ms // 10


def test_known_config_messages_have_the_bytes_of_the_specification() -> None:
    on = config_state.RelaySet(config_state.RelayState.ON, Transmit(2, 20))
    assert build(on) == b"\x80\x27\x01\x09"
    key = config_keys.AppKeyAdd(0x456, 0x123, bytes(16))
    # Section 4.3.1.1: 0x456 and 0x123 pack to 56 34 12.
    assert build(key)[:4] == b"\x00\x56\x34\x12"
    bind = config_models.ModelAppBind(0x0105, 0, link_monitor.SERVER)
    assert build(bind) == b"\x80\x3d\x05\x01\x00\x00\xf1\x05\x54\x4d"


@pytest.mark.parametrize("ttl", [1, 128])
def test_a_prohibited_default_ttl_is_refused(ttl: int) -> None:
    with pytest.raises(Rejected):
        config_state.DefaultTtlSet(ttl)
    with pytest.raises(Rejected):
        config_state.DefaultTtlStatus.parse(bytes((ttl,)))


def test_relay_cannot_be_set_to_unsupported() -> None:
    with pytest.raises(Rejected):
        config_state.RelaySet(config_state.RelayState.UNSUPPORTED, Transmit(1, 10))


def test_keys_stay_out_of_the_representation() -> None:
    key = bytes(range(16))
    assert key.hex() not in repr(config_keys.AppKeyAdd(0, 0, key))
    assert repr(key)[2:-1] not in repr(config_keys.AppKeyAdd(0, 0, key))


PAIR_ON_AIR = "cc f1 05 07 01 52 d8 84 40 29 61"
"""PROTOCOL.md's example."""


@given(tables(rssi=False), tables(rssi=True))
@unhurried
def test_reports_are_cut_into_unsegmented_messages(
    plain: tuple[link_monitor.ReportEntry, ...], with_rssi: tuple[link_monitor.ReportEntry, ...]
) -> None:
    built = link_monitor.reports(plain + with_rssi)
    assert all(len(build(message)) <= MAX_UNSEGMENTED_PAYLOAD for message in built)
    told = [entry for message in built for entry in message.entries]
    assert Counter(told) == Counter(plain + with_rssi)


def test_two_neighbours_with_signal_strength_share_a_packet() -> None:
    entries = [
        link_monitor.ReportEntry(0x0107, 4, 5, 2, -60),
        link_monitor.ReportEntry(0x0109, 5, 5, 2, -71),
        link_monitor.ReportEntry(0x010B, 5, 5, 2, -20),
        link_monitor.ReportEntry(0x010D, 5, 5, 3, -80),
    ]
    first, second, third = link_monitor.reports(entries)
    assert first == link_monitor.ReportPair(tuple(entries[:2]))
    assert (second.entries, third.entries) == ((entries[2],), (entries[3],))
    assert build(first).hex(" ") == PAIR_ON_AIR


@pytest.mark.parametrize("size", [7, 9])
def test_a_pair_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(Rejected):
        link_monitor.ReportPair.parse(bytes(size))


@pytest.mark.parametrize(
    "message",
    [
        link_monitor.Probe(0xFFFF, 255, 8),
        link_monitor.ProbeRequest(0x7FFF),
        link_monitor.ProbeAnswer(0xFFFF, 255, 8),
        link_monitor.Lost(0x7FFF, 255, 255),
        link_monitor.MonitorSet(255, 30, 8),
        link_monitor.Restart(0xFFFF),
        link_monitor.RestartStatus(0xFFFF, 1),
    ],
)
def test_link_monitor_messages_fit_one_packet(message: AccessMessage) -> None:
    assert len(build(message)) <= MAX_UNSEGMENTED_PAYLOAD


def test_a_report_that_heard_more_than_was_sent_is_refused() -> None:
    with pytest.raises(Rejected):
        link_monitor.Report.parse(struct.pack("<HBB", 0x0105, 6, 5))
