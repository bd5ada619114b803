"""Access messages: every byte string ends in a value or in Rejected, and what is built parses to the same."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected
from common.mesh.configuration import Transmit
from firmware_bridge.access import (
    catalogue,
    config_heartbeat,
    config_models,
    config_state,
    generic_onoff,
    health,
    link_monitor,
)
from firmware_bridge.access.fields import ModelId, transmit_from_wire, transmit_to_wire
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.access.opcodes import MAX_UNSEGMENTED_PAYLOAD, opcode_bytes, vendor_opcode

octets = st.integers(0, 0xFF)
words = st.integers(0, 0xFFFF)
unicasts = st.integers(1, 0x7FFF)
indexes = st.integers(0, 0xFFF)
groups = st.integers(0xC000, 0xFFFF)
transmits = st.builds(Transmit, st.integers(1, 8), st.integers(1, 32).map(lambda step: step * 10))
models = st.one_of(st.builds(ModelId, words), st.builds(ModelId, words, words))
ttls = st.integers(0, 127).filter(lambda ttl: ttl != 1)
on_or_off = st.sampled_from([config_state.RelayState.OFF, config_state.RelayState.ON])
publications = st.builds(
    config_models.Publication,
    unicasts,
    groups,
    models,
    app_key_index=indexes,
    friend_credentials=st.booleans(),
    ttl=st.one_of(st.integers(0, 127), st.just(config_models.PUBLISH_TTL_DEFAULT)),
    period=octets,
    retransmit=octets,
)
heartbeats = st.builds(
    config_heartbeat.HeartbeatPublication,
    groups,
    st.one_of(st.integers(0, 0x11), st.just(config_heartbeat.FOR_EVER)),
    st.integers(0, 0x11),
    st.integers(0, 127),
    words,
    indexes,
)


@st.composite
def entries(draw: st.DrawFn, rssi: bool) -> link_monitor.ReportEntry:
    expected = draw(st.integers(0, 31))
    return link_monitor.ReportEntry(
        draw(unicasts),
        draw(st.integers(0, expected)),
        expected,
        draw(st.integers(1, 8)),
        draw(st.integers(-128, 127)) if rssi else None,
    )


def tables(rssi: bool) -> st.SearchStrategy[tuple[link_monitor.ReportEntry, ...]]:
    return st.lists(entries(rssi), min_size=1, max_size=64).map(tuple)


settings = (st.integers(0, 255), st.integers(1, 30), st.integers(1, 8))
exercised: set[type[AccessMessage]] = set()


def of(kind: type[AccessMessage], *fields: st.SearchStrategy[Any]) -> st.SearchStrategy[AccessMessage]:
    """A strategy of one kind of message, remembered as exercised."""
    exercised.add(kind)
    return st.builds(kind, *fields)


messages: st.SearchStrategy[AccessMessage] = st.one_of(
    of(config_state.DefaultTtlGet),
    of(config_state.DefaultTtlSet, ttls),
    of(config_state.DefaultTtlStatus, ttls),
    of(config_state.NetworkTransmitGet),
    of(config_state.NetworkTransmitSet, transmits),
    of(config_state.NetworkTransmitStatus, transmits),
    of(config_state.RelayGet),
    of(config_state.RelaySet, on_or_off, transmits),
    of(config_state.RelayStatus, st.sampled_from(config_state.RelayState), transmits),
    of(config_state.CompositionGet, octets),
    of(config_state.CompositionStatus, octets, st.binary(max_size=300)),
    of(config_models.AppKeyAdd, indexes, indexes, st.binary(min_size=16, max_size=16)),
    of(config_models.AppKeyStatus, octets, indexes, indexes),
    of(config_models.ModelAppBind, unicasts, indexes, models),
    of(config_models.ModelAppStatus, octets, words, indexes, models),
    of(config_models.ModelSubscriptionAdd, unicasts, groups, models),
    of(config_models.ModelSubscriptionStatus, octets, words, words, models),
    of(config_models.ModelPublicationSet, publications),
    of(config_models.ModelPublicationStatus, octets, publications),
    of(config_heartbeat.HeartbeatPublicationSet, heartbeats),
    of(config_heartbeat.HeartbeatPublicationStatus, octets, heartbeats),
    of(config_heartbeat.HeartbeatSubscriptionGet),
    of(config_heartbeat.HeartbeatSubscriptionSet, unicasts, groups, st.integers(0, 0x11)),
    of(config_heartbeat.HeartbeatSubscriptionStatus, octets, words, words, octets, octets, octets, octets),
    of(generic_onoff.OnOffGet),
    of(generic_onoff.OnOffSet, st.booleans(), octets),
    of(generic_onoff.OnOffSet, st.booleans(), octets, octets, octets),
    of(generic_onoff.OnOffSetUnacknowledged, st.booleans(), octets),
    of(generic_onoff.OnOffStatus, st.booleans()),
    of(generic_onoff.OnOffStatus, st.booleans(), st.booleans(), octets),
    of(health.FaultGet, words),
    of(health.FaultStatus, octets, words, st.binary(max_size=100)),
    of(health.AttentionGet),
    of(health.AttentionSet, octets),
    of(health.AttentionStatus, octets),
    of(link_monitor.Probe, words, octets, st.integers(1, 8)),
    of(link_monitor.ProbeRequest, unicasts),
    of(link_monitor.ProbeAnswer, words, octets, st.integers(1, 8)),
    of(link_monitor.Report, tables(rssi=False)),
    of(link_monitor.ReportRssi, tables(rssi=True)),
    of(link_monitor.Lost, unicasts, st.integers(1, 255), octets),
    of(link_monitor.MonitorGet),
    of(link_monitor.MonitorSet, *settings),
    of(link_monitor.MonitorStatus, *settings),
    of(link_monitor.Restart, words),
    of(link_monitor.RestartStatus, words, octets),
)
known_opcodes = st.sampled_from(sorted(catalogue.MESSAGES))


@given(messages)
def test_what_is_built_parses_to_the_same(message: AccessMessage) -> None:
    assert catalogue.parse(build(message)) == message


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_message_or_in_rejected(payload: bytes) -> None:
    try:
        catalogue.parse(payload)
    except Rejected:
        pass


@given(known_opcodes, st.binary(max_size=30))
def test_any_parameters_of_a_known_message_end_in_a_message_or_in_rejected(
    opcode: int, parameters: bytes
) -> None:
    payload = opcode_bytes(opcode) + parameters
    try:
        message = catalogue.parse(payload)
    except Rejected:
        return
    assert not isinstance(message, Opaque)
    assert catalogue.parse(build(message)) == message


@given(messages, st.data())
def test_a_cut_message_never_escapes_the_error_tree(message: AccessMessage, data: st.DataObject) -> None:
    payload = build(message)
    cut = payload[: data.draw(st.integers(0, len(payload) - 1))]
    try:
        catalogue.parse(cut)
    except Rejected:
        pass


def test_every_message_of_the_catalogue_is_exercised_above() -> None:
    assert set(catalogue.MESSAGES.values()) == exercised


@pytest.mark.parametrize(
    ("payload", "opcode"),
    [(b"\x7f\x01", 0x7F), (b"\x85\x55\x01", 0x8555), (b"\xc1\x34\x12\x00", 0xC13412), (b"\x80\x49", 0x8049)],
)
def test_foreign_and_reserved_opcodes_stay_opaque(payload: bytes, opcode: int) -> None:
    parsed = catalogue.parse(payload)
    assert isinstance(parsed, Opaque)
    assert parsed.opcode == opcode


def test_nothing_here_builds_a_node_reset() -> None:
    # 0x8049 is Config Node Reset, which expels a node from its network.
    assert 0x8049 not in catalogue.MESSAGES


def test_a_vendor_opcode_carries_its_company_little_endian() -> None:
    assert opcode_bytes(vendor_opcode(0x01, 0x05F1)) == b"\xc1\xf1\x05"
    assert link_monitor.Probe.OPCODE == 0xC1F105


@pytest.mark.parametrize("opcode", [-1, 0x80, 0xC0, 0x0100, 0x8200 << 8, 0x1000000])
def test_a_number_that_is_no_opcode_is_refused(opcode: int) -> None:
    with pytest.raises(Rejected):
        opcode_bytes(opcode)


@given(transmits)
def test_transmissions_go_on_air_as_the_specification_counts_them(transmit: Transmit) -> None:
    octet = transmit_to_wire(transmit)
    assert transmit_from_wire(octet) == transmit
    assert octet & 7 == transmit.count - 1
    assert (octet >> 3) + 1 == transmit.interval_ms // 10


def test_known_config_messages_have_the_bytes_of_the_specification() -> None:
    on = config_state.RelaySet(config_state.RelayState.ON, Transmit(2, 20))
    assert build(on) == b"\x80\x27\x01\x09"
    key = config_models.AppKeyAdd(0x456, 0x123, bytes(16))
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
    assert key.hex() not in repr(config_models.AppKeyAdd(0, 0, key))
    assert repr(key)[2:-1] not in repr(config_models.AppKeyAdd(0, 0, key))


@given(tables(rssi=False), tables(rssi=True))
def test_reports_are_cut_into_unsegmented_messages(
    plain: tuple[link_monitor.ReportEntry, ...], with_rssi: tuple[link_monitor.ReportEntry, ...]
) -> None:
    built = link_monitor.reports(plain + with_rssi)
    assert all(len(build(message)) <= MAX_UNSEGMENTED_PAYLOAD for message in built)
    assert tuple(entry for message in built for entry in message.entries) == plain + with_rssi


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
