"""Strategies for every message of the catalogue, drawn from what it says of its own fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from common.errors import Rejected
from common.mesh.configuration import Transmit
from firmware_bridge.access import catalogue, link_monitor, sensor_states
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.layout import (
    Choice,
    Flag,
    KeyList,
    KeyPair,
    Kind,
    Many,
    Model,
    Number,
    Octets,
    Own,
    Transmits,
)
from firmware_bridge.access.message import AccessMessage
from firmware_bridge.access.record import Record

# How long an example takes says how busy the machine is, and nothing else.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

octets = st.integers(0, 0xFF)
words = st.integers(0, 0xFFFF)
unicasts = st.integers(1, 0x7FFF)
indexes = st.integers(0, 0xFFF)
transmits = st.builds(Transmit, st.integers(1, 8), st.integers(1, 32).map(lambda step: step * 10))
sig_models = st.builds(ModelId, words)
vendor_models = st.builds(ModelId, words, words)


@st.composite
def report_entries(draw: st.DrawFn, rssi: bool) -> link_monitor.ReportEntry:
    expected = draw(st.integers(0, 31))
    return link_monitor.ReportEntry(
        draw(unicasts),
        draw(st.integers(0, expected)),
        expected,
        draw(st.integers(1, 8)),
        draw(st.integers(-128, 127)) if rssi else None,
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[link_monitor.ReportEntry, ...]:
    transmissions = draw(st.integers(1, 4))
    rssi = st.integers(*link_monitor.PAIR_RSSI_DBM)
    entries = (draw(report_entries(rssi=True)) for _ in range(2))
    return tuple(replace(entry, transmissions=transmissions, rssi_dbm=draw(rssi)) for entry in entries)


def tables(rssi: bool) -> st.SearchStrategy[tuple[link_monitor.ReportEntry, ...]]:
    return st.lists(report_entries(rssi), min_size=1, max_size=64).map(tuple)


@st.composite
def cadences(draw: st.DrawFn) -> sensor_states.Cadence:
    in_percent, size = draw(st.booleans()), draw(st.integers(1, 8))
    delta = 2 if in_percent else size
    parts = [draw(st.binary(min_size=n, max_size=n)) for n in (delta, delta, size, size)]
    divisor, interval = draw(st.integers(0, 15)), draw(st.integers(0, 26))
    return sensor_states.Cadence(divisor, in_percent, parts[0], parts[1], interval, parts[2], parts[3])


properties = st.integers(1, 0xFFFF)
tolerances = st.integers(0, 0xFFF)
descriptors = st.builds(sensor_states.Descriptor, properties, tolerances, tolerances, octets, octets, octets)
marshalled = st.lists(
    st.tuples(st.one_of(properties, st.integers(1, 0x7FF)), st.binary(max_size=20)), max_size=8
)
OWN: dict[type[Any], st.SearchStrategy[Any]] = {
    sensor_states.Cadence: cadences(),
    sensor_states.Descriptions: st.one_of(
        st.builds(sensor_states.Descriptions, st.lists(descriptors, max_size=8).map(tuple)),
        st.builds(sensor_states.Descriptions, st.just(()), properties),
    ),
    sensor_states.Marshalled: st.builds(sensor_states.Marshalled, marshalled.map(tuple)),
}


def values_of(kind: Kind) -> st.SearchStrategy[Any]:
    """Values that one field can have, its edges among them."""
    match kind:
        case Number():
            return st.one_of(
                st.integers(kind.low, kind.high), st.sampled_from([kind.low, kind.high, *kind.also])
            )
        case Choice():
            return st.sampled_from([name for name in kind.names if name not in kind.refused])
        case Flag():
            return st.booleans()
        case Octets(size=None):
            return st.binary(max_size=60)
        case Octets(size=size):
            return st.binary(min_size=size or 0, max_size=size)
        case Transmits():
            return transmits
        case Model(size=size):
            return {2: sig_models, 4: vendor_models}.get(size or 0, sig_models | vendor_models)
        case Many():
            return st.lists(values_of(kind.kind), max_size=8).map(tuple)
        case KeyPair():
            return st.tuples(indexes, indexes)
        case KeyList():
            return st.lists(indexes, max_size=9).map(tuple)
        case Own():
            return OWN[kind.of]
    raise AssertionError(f"no strategy for {kind}")


def _made(kind: type[Record], values: tuple[Any, ...]) -> Record | None:
    try:
        return kind.from_values(*values)
    except Rejected:
        # The fields are possible, but not together.
        return None


def _records(kind: type[Record]) -> st.SearchStrategy[AccessMessage]:
    head = [values_of(field) for field in kind.FIELDS]
    whole = [*head, *(values_of(field) for field in kind.TAIL)]
    fields = st.one_of(st.tuples(*head), st.tuples(*whole)) if kind.TAIL else st.tuples(*head)
    return fields.map(lambda values: _made(kind, values)).filter(lambda made: made is not None)  # type: ignore[return-value]


def of(kind: type[AccessMessage]) -> st.SearchStrategy[AccessMessage]:
    """Messages of one kind."""
    if kind is link_monitor.Report:
        return st.builds(kind, tables(rssi=False))
    if kind is link_monitor.ReportRssi:
        return st.builds(kind, tables(rssi=True))
    if kind is link_monitor.ReportPair:
        return st.builds(kind, pairs())
    assert issubclass(kind, Record)
    return _records(kind)


KINDS = sorted(catalogue.MESSAGES.values(), key=lambda kind: kind.OPCODE)
messages = st.sampled_from(KINDS).flatmap(of)
