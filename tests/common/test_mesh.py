"""Addresses and configurations keep to the ranges of the specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected
from common.mesh import addresses
from common.mesh.configuration import ConfigurationChange, NodeConfiguration, Transmit


@given(st.integers(0, 0xFFFF))
def test_an_address_has_one_kind_and_reads_as_shown(address: int) -> None:
    kinds = [addresses.is_unicast(address), addresses.is_virtual(address), addresses.is_group(address)]
    assert sum(kinds) == (address != addresses.UNASSIGNED)
    assert addresses.parse(addresses.show(address)) == address


@given(st.text(max_size=8))
def test_any_text_ends_in_an_address_or_a_named_error(text: str) -> None:
    try:
        assert 0 <= addresses.parse(text) <= 0xFFFF
    except Rejected:
        pass


@pytest.mark.parametrize("text", ["", "x", "-1", "65536", "0x10000", "1.0", "9" * 5000])
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(Rejected):
        addresses.parse(text)


@pytest.mark.parametrize("address", [-1, 0, 0x8000, 0xFFFF, 0x10001])
def test_only_unicast_addresses_name_a_node(address: int) -> None:
    with pytest.raises(Rejected):
        NodeConfiguration(address)


@pytest.mark.parametrize(("count", "interval"), [(0, 20), (9, 20), (1, 0), (1, 15), (1, 330)])
def test_transmissions_outside_the_wire_format_are_refused(count: int, interval: int) -> None:
    with pytest.raises(Rejected):
        Transmit(count, interval)


@pytest.mark.parametrize("ttl", [-1, 1, 128])
def test_a_prohibited_default_ttl_is_refused(ttl: int) -> None:
    with pytest.raises(Rejected):
        ConfigurationChange(default_ttl=ttl)
    with pytest.raises(Rejected):
        NodeConfiguration(5, default_ttl=ttl)


def test_only_a_change_that_changes_something_is_true() -> None:
    assert not ConfigurationChange()
    assert ConfigurationChange(relay=False)
    assert ConfigurationChange(default_ttl=0)


def test_undo_touches_what_the_change_touched() -> None:
    before = NodeConfiguration(5, relay=False, default_ttl=7, network_transmit=Transmit(2, 20))
    change = ConfigurationChange(relay=True, network_transmit=Transmit(3, 20))
    assert change.undo(before) == ConfigurationChange(relay=False, network_transmit=Transmit(2, 20))
