"""Every message: any byte string ends in a value or in Rejected, and what is built parses to the same."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from enum import IntEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_bridge.access
from common.errors import Rejected
from firmware_bridge.access import catalogue, expulsion
from firmware_bridge.access.layout import Choice, Flag, Number
from firmware_bridge.access.message import AccessMessage, Opaque, build
from firmware_bridge.access.opcodes import opcode_bytes
from firmware_bridge.access.record import Record
from tests.access.every_message import KINDS, messages, of, unhurried

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
RECORDS = [kind for kind in KINDS if issubclass(kind, Record)]
each_record = pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)


@each_kind
def test_what_is_built_parses_to_the_same(kind: type[AccessMessage]) -> None:
    @given(of(kind))
    @settings(unhurried, max_examples=20)
    def returns(message: AccessMessage) -> None:
        assert catalogue.parse(build(message)) == message

    returns()


@each_kind
def test_any_parameters_end_in_a_message_or_in_rejected(kind: type[AccessMessage]) -> None:
    @given(st.binary(max_size=30))
    @settings(unhurried, max_examples=20)
    def survives(parameters: bytes) -> None:
        try:
            message = catalogue.parse(opcode_bytes(kind.OPCODE) + parameters)
        except Rejected:
            return
        assert isinstance(message, kind)
        assert catalogue.parse(build(message)) == message

    survives()


@given(st.binary(max_size=400))
@unhurried
def test_any_bytes_end_in_a_message_or_in_rejected(payload: bytes) -> None:
    try:
        catalogue.parse(payload)
    except Rejected:
        pass


@given(messages, st.data())
@settings(unhurried, max_examples=200)
def test_a_cut_or_altered_message_never_escapes_the_error_tree(
    message: AccessMessage, data: st.DataObject
) -> None:
    payload = bytearray(build(message))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(0, 0xFF))
    for hurt in (bytes(payload), bytes(payload[:at])):
        try:
            catalogue.parse(hurt)
        except Rejected:
            pass


@each_record
def test_a_message_of_fixed_length_takes_no_other_length(kind: type[Record]) -> None:
    sizes = [field.size for field in kind.FIELDS + kind.TAIL]
    if None in sizes:
        return
    whole = sum(size or 0 for size in sizes)
    head = sum(field.size or 0 for field in kind.FIELDS)
    for length in set(range(whole + 4)) - {head, whole}:
        with pytest.raises(Rejected):
            kind.parse(bytes(length))


@each_record
def test_a_prohibited_value_of_any_field_is_refused(kind: type[Record]) -> None:
    @given(of(kind), st.data())
    @settings(unhurried, max_examples=5)
    def refuses(message: AccessMessage, data: st.DataObject) -> None:
        payload, at = message.parameters(), 0
        for field in kind.FIELDS + kind.TAIL:
            if field.size is None or at >= len(payload):
                return
            prohibited = prohibited_octets(field)
            if prohibited:
                octets = data.draw(st.sampled_from(prohibited))
                with pytest.raises(Rejected):
                    kind.parse(payload[:at] + octets + payload[at + field.size :])
            at += field.size

    refuses()


def prohibited_octets(field: object) -> list[bytes]:
    """What a field of this kind can never be on air."""
    match field:
        case Number(size=size, low=low, high=high, mask=-1) if size < 3 and low >= 0:
            allowed = {*range(low, high + 1), *field.also}
            return [n.to_bytes(size, "little") for n in range(1 << 8 * size) if n not in allowed]
        case Choice(names=names, refused=refused):
            allowed = {int(name) for name in names if name not in refused}
            return [bytes((n,)) for n in range(256) if n not in allowed]
        case Flag():
            return [bytes((n,)) for n in range(2, 256)]
    return []


def test_every_message_that_is_written_is_in_the_catalogue() -> None:
    names = [module.name for module in pkgutil.iter_modules(firmware_bridge.access.__path__)]
    modules = [importlib.import_module(f"firmware_bridge.access.{name}") for name in names]
    written = {
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if hasattr(kind, "OPCODE") and not issubclass(kind, IntEnum)
    }
    # Only the operator may send that one, and nobody here obeys it.
    assert written - {expulsion.NodeReset} == set(catalogue.MESSAGES.values())


def test_no_opcode_is_taken_twice() -> None:
    assert len(catalogue.MESSAGES) == sum(len([*theirs]) for theirs in catalogue._OPCODES.values())


@pytest.mark.parametrize(("name", "opcodes"), catalogue._OPCODES.items())
def test_the_catalogue_knows_the_opcodes_of_every_module(name: str, opcodes: Iterable[int]) -> None:
    module = importlib.import_module(f"firmware_bridge.access.{name}")
    assert {kind.OPCODE for kind in module.MESSAGES} == set(opcodes)


@pytest.mark.parametrize(
    ("payload", "opcode"),
    [(b"\x7f\x01", 0x7F), (b"\x85\x55\x01", 0x8555), (b"\xc1\x34\x12\x00", 0xC13412), (b"\x80\x49", 0x8049)],
)
def test_foreign_and_reserved_opcodes_stay_opaque(payload: bytes, opcode: int) -> None:
    parsed = catalogue.parse(payload)
    assert isinstance(parsed, Opaque)
    assert parsed.opcode == opcode


def test_a_message_that_nobody_here_understands_is_built_as_it_came() -> None:
    for payload in (bytes.fromhex("c0ffee0102"), bytes.fromhex("bfff"), b"\x7e" + bytes(379)):
        message = catalogue.parse(payload)
        assert isinstance(message, Opaque)
        assert build(message) == payload
