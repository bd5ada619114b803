"""The codec decodes what it encodes, and meets everything else with a named error and little memory."""

from __future__ import annotations

import tracemalloc
from array import array

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import (
    ITEM_BYTES,
    MAX_COLUMNS,
    MAX_DEPTH,
    MAX_MESSAGE_BYTES,
    MAX_ROWS,
    Column,
    Table,
    Value,
    decode_table,
    encode_table,
    pack,
    rows,
    unpack,
)
from common.errors import Rejected, RejectReason

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
)
values: st.SearchStrategy[Value] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    count = draw(st.integers(0, 8))
    return {name: draw(columns(count)) for name in draw(st.lists(names, max_size=4, unique=True))}


@st.composite
def columns(draw: st.DrawFn, count: int) -> Column:
    code = draw(st.sampled_from(sorted(ITEM_BYTES)))
    column: Column = array(code)
    column.frombytes(draw(st.binary(min_size=count * column.itemsize, max_size=count * column.itemsize)))
    return column


def outcome(data: bytes) -> RejectReason | None:
    """Why `data` is refused by both decoders, or None. Any other exception fails the test."""
    reason = None
    for decode in (unpack, decode_table):
        try:
            decode(data)
        except Rejected as error:
            reason = error.reason
    return reason


@given(values)
def test_unpack_gives_back_what_was_packed(value: Value) -> None:
    assert unpack(pack(value)) == value


@given(tables())
def test_tables_come_back_bit_for_bit(table: Table) -> None:
    decoded = decode_table(encode_table(table))
    assert {n: (c.typecode, c.tobytes()) for n, c in decoded.items()} == {
        n: (c.typecode, c.tobytes()) for n, c in table.items()
    }


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_value_or_a_named_error(data: bytes) -> None:
    outcome(data)


@given(tables(), st.data())
def test_a_flipped_bit_ends_in_a_value_or_a_named_error(table: Table, data: st.DataObject) -> None:
    packed = bytearray(encode_table(table))
    position = data.draw(st.integers(0, len(packed) * 8 - 1))
    packed[position // 8] ^= 1 << position % 8
    outcome(bytes(packed))


@given(tables(), st.data())
def test_every_truncation_is_named_as_one(table: Table, data: st.DataObject) -> None:
    packed = encode_table(table)
    cut = data.draw(st.integers(0, len(packed) - 1))
    assert outcome(packed[:cut]) is RejectReason.TRUNCATED


@given(tables(), st.binary(min_size=1, max_size=5))
def test_trailing_bytes_are_refused(table: Table, tail: bytes) -> None:
    assert outcome(encode_table(table) + tail) is RejectReason.MALFORMED


PROMISES = {
    "nested arrays of 65,535 elements": b"\xdc\xff\xff",
    "nested arrays of four billion elements": b"\xdd\xff\xff\xff\xff",
    "nested arrays below any element limit": b"\xdc\x20\x00",
    "nested maps of four billion entries": b"\xdf\xff\xff\xff\xff\xa1a",
    "one string of four gigabytes": b"\xdb\xff\xff\xff\xff",
    "one byte string of four gigabytes": b"\xc6\xff\xff\xff\xff",
    "one extension of four gigabytes": b"\xc9\xff\xff\xff\xff\x01",
    "nothing but nesting": b"\x91",
    "nothing but nested maps": b"\x81\xa0",
}


@pytest.mark.parametrize("header", PROMISES.values(), ids=PROMISES)
@pytest.mark.parametrize("size", [100, 3_000, MAX_MESSAGE_BYTES])
def test_promises_of_many_elements_cost_no_memory(header: bytes, size: int) -> None:
    data = (header * (size // len(header) + 1))[:size]
    tracemalloc.start()
    try:
        assert outcome(data) is not None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000 + 20 * size


@pytest.mark.parametrize("element", [b"\x80", b"\x90", b"\x81\xa0\x80", b"\x81\xa0\x81\xa0\x90"])
def test_the_densest_complete_message_stays_within_a_hundred_times_its_size(element: bytes) -> None:
    count = (MAX_MESSAGE_BYTES - 5) // len(element)
    data = b"\xdd" + count.to_bytes(4, "big") + element * count
    tracemalloc.start()
    try:
        outcome(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 110 * len(data)


def test_an_oversized_message_is_refused_unread() -> None:
    assert outcome(bytes(MAX_MESSAGE_BYTES + 1)) is RejectReason.OVERSIZED


def test_nesting_is_shallow() -> None:
    deepest = b"\x91" * MAX_DEPTH + b"\x00"
    assert unpack(deepest)
    with pytest.raises(Rejected) as caught:
        unpack(b"\x91" + deepest)
    assert caught.value.reason is RejectReason.MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(msgpack.packb(msgpack.ExtType(5, b"x")), id="extension"),
        pytest.param(msgpack.packb(msgpack.Timestamp(1, 2)), id="time stamp"),
        pytest.param(msgpack.packb([{"a": msgpack.Timestamp(1)}]), id="nested time stamp"),
        pytest.param(msgpack.packb({1: 2}), id="integer key"),
        pytest.param(msgpack.packb({b"a": 2}), id="bytes key"),
        pytest.param(b"\x81\x90\x00", id="list key"),
        pytest.param(b"\xa2\xff\xfe", id="text that is not UTF-8"),
        pytest.param(b"\xc1", id="reserved byte"),
    ],
)
def test_what_the_wire_does_not_use_is_malformed(data: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        unpack(data)
    assert caught.value.reason is RejectReason.MALFORMED


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(3, id="no map"),
        pytest.param({"Upper": ["b", 0, b""]}, id="column name"),
        pytest.param({"a" * 49: ["b", 0, b""]}, id="long column name"),
        pytest.param({"a\n": ["b", 0, b""]}, id="column name with line break"),
        pytest.param({"a": ["l", 1, b"12345678"]}, id="type code of no fixed size"),
        pytest.param({"a": ["u", 1, b"1234"]}, id="text type code"),
        pytest.param({"a": ["d", 1, b"1234567"]}, id="short bytes"),
        pytest.param({"a": ["b", True, b"1"]}, id="boolean count"),
        pytest.param({"a": ["b", 1.0, b"1"]}, id="real count"),
        pytest.param({"a": ["b", -1, b""]}, id="negative count"),
        pytest.param({"a": ["b", 1, "1"]}, id="text for bytes"),
        pytest.param({"a": ["b", 1, b"1", 0]}, id="a fourth part"),
        pytest.param({"a": ["b", 1, b"1"], "b": ["b", 2, b"12"]}, id="columns of two lengths"),
        pytest.param({"a": ["b", MAX_ROWS + 1, bytes(MAX_ROWS + 1)]}, id="too many rows"),
        pytest.param({f"c{i}": ["b", 0, b""] for i in range(MAX_COLUMNS + 1)}, id="too many columns"),
    ],
)
def test_a_wrong_table_is_invalid(value: Value) -> None:
    with pytest.raises(Rejected) as caught:
        decode_table(pack(value))
    assert caught.value.reason is RejectReason.INVALID


@pytest.mark.parametrize(
    "table",
    [
        {"a": array("b", [1]), "b": array("b")},
        {"A": array("b")},
        {f"c{i}": array("b") for i in range(MAX_COLUMNS + 1)},
        {"a": array("b", bytes(MAX_ROWS + 1))},
    ],
)
def test_encoding_refuses_what_decoding_would(table: Table) -> None:
    with pytest.raises(ValueError):
        encode_table(table)


def test_the_wire_is_little_endian() -> None:
    assert unpack(encode_table({"a": array("H", [0x0102])})) == {"a": ["H", 1, b"\x02\x01"]}


def test_rows_counts_rows() -> None:
    assert rows({}) == 0
    assert rows({"a": array("d", [1.0, 2.0])}) == 2
