"""Sensor values: marshalled in both formats, and decoded to units by their device property."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected
from firmware_bridge.access import catalogue
from firmware_bridge.access.device_properties import PROPERTIES, Property, Reading, readings
from firmware_bridge.access.sensor import (
    SensorCadenceStatus,
    SensorDescriptorStatus,
    SensorSettingStatus,
    SensorStatus,
)
from firmware_bridge.access.sensor_states import Cadence, Descriptions, Marshalled
from tests.access.every_message import unhurried

each_property = pytest.mark.parametrize("known", PROPERTIES.values(), ids=lambda known: known.name)


def test_either_format_of_marshalling_is_understood() -> None:
    short = Marshalled.from_wire(bytes.fromhex("e009 2b"))
    long = Marshalled.from_wire(bytes.fromhex("01 4f00 2b"))
    assert short == long == Marshalled(((0x004F, b"\x2b"),))


def test_values_of_many_sensors_come_in_one_message() -> None:
    message = catalogue.parse(bytes.fromhex("52 e009 2b 440d 2a0000 ff 4200 01 0108 05"))
    assert isinstance(message, SensorStatus)
    temperature, energy, motion, foreign = message.marshalled.items
    assert temperature == (0x004F, b"\x2b")
    assert energy == (0x006A, b"\x2a\x00\x00")
    assert motion == (0x0042, b"")
    assert foreign == (0x0801, b"\x05")


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        ("52 e0", "cut within the head"),
        ("52 e009", "the value is missing"),
        ("52 0000 2b", "property 0"),
        ("52 01 0000 2b", "property 0 in the long format"),
        ("52 05 4f00 2b", "cut within the value"),
    ],
)
def test_a_broken_status_is_refused(octets: str, why: str) -> None:
    with pytest.raises(Rejected):
        catalogue.parse(bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("number", "octets", "value", "unit"),
    [
        (0x004F, "2b", 21.5, "°C"),
        (0x004F, "80", -64.0, "°C"),
        (0x004F, "7f", None, "°C"),
        (0x0075, "29f8", -20.07, "°C"),
        (0x0075, "0080", None, "°C"),
        (0x0076, "1017", 59.04, "%"),
        (0x004E, "102700", 100.0, "lx"),
        (0x004E, "ffffff", None, "lx"),
        (0x0042, "c8", 100.0, "%"),
        (0x004C, "0700", 7.0, ""),
        (0x004D, "01", 1.0, ""),
        (0x0059, "8039", 230.0, "V"),
        (0x0059, "feff", 1022.0, "V"),
        (0x0057, "9600", 1.5, "A"),
        (0x0052, "7b0000", 12.3, "W"),
        (0x0072, "40e20100", 123.456, "kWh"),
        (0x0072, "feffffff", None, "kWh"),
        (0x006A, "2a0000", 42.0, "kWh"),
        (0x0082, "72770f00", 101_361.8, "Pa"),
        (0x0077, "9001", 400.0, "ppm"),
        (0x0073, "9d", -0.99, ""),
    ],
)
def test_the_common_properties_become_numbers_with_units(
    number: int, octets: str, value: float | None, unit: str
) -> None:
    assert readings(number, bytes.fromhex(octets)) == (Reading("", value, unit),)


def test_statistics_say_what_each_number_is() -> None:
    read = readings(0x002A, bytes.fromhex("8039 4000 0039 0040 40"))
    assert read is not None
    assert {reading.field: (reading.value, reading.unit) for reading in read} == {
        "average": (230.0, "V"),
        "standard deviation": (1.0, "V"),
        "minimum": (228.0, "V"),
        "maximum": (256.0, "V"),
        "duration": (1.0, "s"),
    }


@each_property
def test_any_bytes_of_a_property_end_in_numbers_or_in_rejected(known: Property) -> None:
    @given(st.binary(min_size=known.size, max_size=known.size))
    @unhurried
    def survives(data: bytes) -> None:
        try:
            read = known.decode(data)
        except Rejected:
            return
        assert len(read) == len(known.fields)
        again = known.encode(*(reading.value for reading in read))
        # What says "not known" in two ways, and what is beyond the highest, has one way back.
        assert known.decode(again) == read

    survives()


@each_property
def test_a_value_of_another_length_is_refused(known: Property) -> None:
    for length in {*range(known.size + 3)} - {known.size}:
        with pytest.raises(Rejected):
            known.decode(bytes(length))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e9, -1e9])
def test_a_number_that_has_no_bytes_is_refused(value: float) -> None:
    with pytest.raises(Rejected):
        PROPERTIES[0x004F].encode(value)


def test_a_property_that_is_not_known_and_a_missing_value_stay_bytes() -> None:
    assert readings(0x7FFF, b"\x01") is None
    assert readings(0x004F, b"") is None


def test_triggers_in_percent_have_two_bytes_whatever_the_property() -> None:
    octets = bytes.fromhex("57 4f00 82 6400 c800 0a 20 40")
    cadence = Cadence(2, True, b"\x64\x00", b"\xc8\x00", 10, b"\x20", b"\x40")
    assert catalogue.parse(octets) == SensorCadenceStatus(0x004F, cadence)


@pytest.mark.parametrize("octets", ["57 4f00 03", "57 4f00 03 02 03 0a 20", "57 4f00 10 02 03 0a 20 40"])
def test_a_broken_cadence_is_refused(octets: str) -> None:
    with pytest.raises(Rejected):
        catalogue.parse(bytes.fromhex(octets))


def test_a_node_without_the_sensor_answers_with_the_property_alone() -> None:
    assert catalogue.parse(bytes.fromhex("57 4f00")) == SensorCadenceStatus(0x004F)
    assert catalogue.parse(bytes.fromhex("51 4f00")) == SensorDescriptorStatus(Descriptions((), 0x004F))
    assert catalogue.parse(bytes.fromhex("5b 4f00 7400")) == SensorSettingStatus(0x004F, 0x0074)
