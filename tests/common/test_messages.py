"""Messages of the wire: what is valid comes back equal, all else ends in a named error."""

from __future__ import annotations

from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import topics
from common.codec import MAX_MESSAGE_BYTES, Table, pack, unpack
from common.errors import Rejected, RejectReason
from common.messages import (
    KEY_COLUMNS,
    MAX_TIME,
    MAX_U64,
    MEASUREMENTS,
    SCHEMA_VERSION,
    Ack,
    ActionRecord,
    Configuration,
    Dropped,
    Envelope,
    Event,
    Kind,
    Message,
    NodeRecord,
    Status,
    decode,
    decode_envelope,
    decode_measurement,
    encode,
    encode_measurement,
)

ENVELOPE = Envelope(
    site="site-a", gateway="gw-1", epoch=7, sequence=1, time=1.7e9, kind="event", body=b"\x80"
)
EXAMPLES: list[Message] = [
    ENVELOPE,
    Ack(epoch=MAX_U64, sequence=0),
    Event(name="relay-died", fields={"node": 5, "share": 0.5, "sure": True, "why": None}),
    ActionRecord(
        id="gw-1-1", state="applied", kind="relay-set", cause="0x0005 is dead", expected="3 nodes answer",
        priority=5, steps=[{"address": 5, "relay": 1, "ttl": None}], seconds=0.25,
    ),
    Configuration(version=3, nodes=[NodeRecord(address=5, relay=True, network_transmit=[2, 20])]),
    Dropped(kind="links", rows=3),
    Status(site="site-a", gateway="gw-1", time=0.0, online=True, homes={"gw-1": [1, 2]}),
]  # fmt: skip
MODELS = [type(example) for example in EXAMPLES]
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats() | st.booleans() | st.none()
anything = st.recursive(
    numbers | st.text(max_size=70) | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def outcome(model: type[Message], data: bytes) -> RejectReason | None:
    try:
        decode(model, data)
    except Rejected as error:
        return error.reason
    return None


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_message_comes_back_equal(message: Message) -> None:
    assert decode(type(message), encode(message)) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_every_truncation_is_named_as_one(message: Message) -> None:
    data = encode(message)
    assert {outcome(type(message), data[:cut]) for cut in range(len(data))} == {RejectReason.TRUNCATED}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_every_flipped_bit_ends_in_a_message_or_a_named_error(message: Message) -> None:
    data = encode(message)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        outcome(type(message), bytes(flipped))


@given(st.sampled_from(EXAMPLES), st.data())
def test_any_value_in_any_field_ends_in_a_message_or_a_named_error(
    message: Message, data: st.DataObject
) -> None:
    fields: dict[str, Any] = message.model_dump()
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(anything)
    outcome(type(message), pack(fields))


@given(st.sampled_from(MODELS), anything)
def test_any_value_for_a_message_ends_in_a_message_or_a_named_error(model: type[Message], value: Any) -> None:
    outcome(model, pack(value))


def test_unknown_keys_of_the_same_version_are_ignored() -> None:
    assert decode(Ack, pack({"epoch": 1, "sequence": 2, "later": [1]})) == Ack(epoch=1, sequence=2)


@pytest.mark.parametrize("model", [Envelope, Ack, Status])
def test_a_newer_version_is_refused_by_name(model: type[Message]) -> None:
    assert outcome(model, pack({"v": SCHEMA_VERSION + 1})) is RejectReason.FOREIGN_VERSION


def test_an_error_names_the_key_and_not_the_value() -> None:
    data = pack({**ENVELOPE.model_dump(), "epoch": "hunter2"})
    with pytest.raises(Rejected, match="epoch") as caught:
        decode(Envelope, data)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0}, {"sequence": 2**63}, {"sequence": True}, {"sequence": 1.0}, {"epoch": -1},
        {"time": float("nan")}, {"time": float("inf")}, {"time": -1.0}, {"time": MAX_TIME * 2},
        {"site": "A"}, {"site": "a/b"}, {"gateway": ""}, {"gateway": "+"}, {"gateway": "a" * 65},
        {"body": "text"}, {"kind": "k" * 33}, {"v": 0}, {"v": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_envelope_is_invalid(change: dict[str, Any]) -> None:
    data = pack({**ENVELOPE.model_dump(), **change})
    assert outcome(Envelope, data) is RejectReason.INVALID


def test_a_sender_other_than_its_topic_is_forged() -> None:
    data = encode(ENVELOPE)
    assert decode_envelope(data, topics.parse(topics.up("site-a", "gw-1"))) == ENVELOPE
    for site, gateway in (("site-b", "gw-1"), ("site-a", "gw-2")):
        with pytest.raises(Rejected) as caught:
            decode_envelope(data, topics.parse(topics.up(site, gateway)))
        assert caught.value.reason is RejectReason.FORGED


def example_table(kind: Kind) -> Table:
    key: Table = {name: array(code, [1]) for name, code in KEY_COLUMNS[kind].items()}
    return {**key, "share": array("f", [0.5])}


@pytest.mark.parametrize("kind", sorted(MEASUREMENTS))
def test_a_measurement_comes_back_equal(kind: Kind) -> None:
    table = example_table(kind)
    assert decode_measurement(kind, encode_measurement(kind, table)) == table


@pytest.mark.parametrize("kind", sorted(MEASUREMENTS))
def test_a_measurement_without_a_key_column_is_refused_on_both_sides(kind: Kind) -> None:
    for column in KEY_COLUMNS[kind]:
        table = example_table(kind)
        table[column] = array("b", [1])
        with pytest.raises(ValueError, match=column):
            encode_measurement(kind, table)
        body = pack({name: [c.typecode, len(c), c.tobytes()] for name, c in table.items()})
        with pytest.raises(Rejected, match=column):
            decode_measurement(kind, body)


@pytest.mark.parametrize("t", [-1.0, float("nan"), float("inf"), MAX_TIME * 2])
def test_a_time_outside_the_calendar_is_out_of_range(t: float) -> None:
    body = encode_measurement(Kind.HOST, {"t": array("d", [1.0, t])})
    with pytest.raises(Rejected) as caught:
        decode_measurement(Kind.HOST, body)
    assert caught.value.reason is RejectReason.OUT_OF_RANGE


@pytest.mark.parametrize("kind", sorted(MEASUREMENTS))
@pytest.mark.parametrize("bad", [0, 0x8000, 0xC000, 0xFFFF])
def test_a_row_about_no_node_is_out_of_range(kind: Kind, bad: int) -> None:
    for column in set(KEY_COLUMNS[kind]) - {"t", "flow_class"}:
        table = {name: value * 3 for name, value in example_table(kind).items()}
        table[column][1] = bad
        body = encode_measurement(kind, table)
        if column == "destination" and bad:
            assert decode_measurement(kind, body) == table
            continue
        with pytest.raises(Rejected, match=column) as caught:
            decode_measurement(kind, body)
        assert caught.value.reason is RejectReason.OUT_OF_RANGE


def test_addresses_whose_neighbouring_bytes_are_zero_are_good() -> None:
    table: Table = {"t": array("d", [1.0] * 3), "address": array("H", [0x0001, 0x0100, 0x7FFF])}
    assert decode_measurement(Kind.NODES, encode_measurement(Kind.NODES, table)) == table


@pytest.mark.parametrize(
    ("field", "most"),
    [("nodes_alive", 32_767), ("nodes_known", 32_767), ("queued", 2**53), ("dropped", 2**53)],
)
def test_a_status_counts_within_what_can_be(field: str, most: int) -> None:
    told = Status(site="site-a", gateway="gw-1", time=1.0, online=True).model_dump()
    assert getattr(decode(Status, pack({**told, field: most})), field) == most
    for wrong in (-1, most + 1, 2**64 - 1):
        assert outcome(Status, pack({**told, field: wrong})) is RejectReason.INVALID


def test_a_measurement_too_large_for_a_message_is_the_callers_mistake() -> None:
    count = MAX_MESSAGE_BYTES // 8
    with pytest.raises(ValueError, match="fewer rows"):
        encode_measurement(Kind.HOST, {"t": array("d", bytes(count * 8))})


def test_the_wire_form_is_a_map_with_the_fields_names() -> None:
    assert unpack(encode(Ack(epoch=1, sequence=2))) == {"v": 1, "epoch": 1, "sequence": 2}
