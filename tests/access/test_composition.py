"""Composition pages: what a node's parts are, from the bytes of a specification's kind and from noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Rejected, RejectReason
from firmware_bridge.access import composition
from firmware_bridge.access.composition import Composition, CompositionStatus, Element, parse_page
from firmware_bridge.access.composition_profiles import Profile, Profiles
from firmware_bridge.access.composition_relations import (
    ElementRelations,
    Extended,
    ModelRelations,
    Relations,
)
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.large_composition import LargeCompositionStatus
from tests.access.every_message import octets, sig_models, unhurried, vendor_models, words

# Two elements; the first with three models of the SIG and one of a vendor.
PAGE = bytes.fromhex(
    "f105 0100 0200 2000 0700"  # company, product, version, replay entries, features
    "0001 03 01 0000 0200 0010 f105 544d"
    "0101 01 00 0110"
)

elements = st.builds(
    lambda location, sig, vendor: Element(location, tuple(sig + vendor)),
    words,
    st.lists(sig_models, max_size=5),
    st.lists(vendor_models, max_size=5),
)
extended = st.builds(Extended, st.integers(-128, 127), octets)
relations = st.builds(ModelRelations, st.lists(extended, max_size=5).map(tuple), st.one_of(st.none(), octets))
model_lists = st.lists(relations, max_size=4).map(tuple)
profiles = st.builds(
    Profile,
    words,
    st.tuples(octets, octets, octets),
    st.lists(octets, max_size=5).map(tuple),
    st.binary(max_size=20),
)
pages = {
    0: st.builds(Composition, words, words, words, words, words, st.lists(elements, min_size=1).map(tuple)),
    1: st.builds(
        Relations,
        st.lists(st.builds(ElementRelations, model_lists, model_lists), min_size=1).map(tuple),
    ),
    2: st.builds(Profiles, st.lists(profiles, max_size=5).map(tuple)),
}


def test_page_0_says_who_made_the_node_and_what_its_elements_are() -> None:
    page = CompositionStatus(0, PAGE).parsed()
    assert isinstance(page, Composition)
    assert (page.company, page.product, page.version) == (0x05F1, 1, 2)
    assert (page.replay_entries, page.features) == (32, 7)
    assert [element.location for element in page.elements] == [0x0100, 0x0101]
    assert list(page.models()) == [
        (0, ModelId(0x0000)),
        (0, ModelId(0x0002)),
        (0, ModelId(0x1000)),
        (0, ModelId(0x4D54, 0x05F1)),
        (1, ModelId(0x1001)),
    ]
    assert page.to_wire() == PAGE


def test_page_1_says_which_models_extend_which() -> None:
    # One element: a model alone, and one that extends models of its own and of the element before.
    data = bytes.fromhex("02 000009 05 08 0f")
    page = parse_page(1, data)
    assert isinstance(page, Relations)
    plain, extending = page.elements[0].sig
    assert plain == ModelRelations()
    assert extending == ModelRelations((Extended(0, 1), Extended(-1, 1)), corresponds=5)
    assert page.to_wire() == data


def test_a_far_extended_model_takes_two_bytes() -> None:
    model = ModelRelations((Extended(0, 1), Extended(-5, 0)))
    assert model.to_wire() == bytes.fromhex("0a 0001 fb00")


def test_page_2_says_which_profiles_the_node_conforms_to() -> None:
    data = bytes.fromhex("0116 010200 02 0001 0300 aabbcc")
    page = parse_page(2, data)
    assert page == Profiles((Profile(0x1601, (1, 2, 0), (0, 1), b"\xaa\xbb\xcc"),))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_page_comes_back_from_its_bytes_also_as_that_of_the_next_firmware(number: int) -> None:
    @given(pages[number])
    @unhurried
    def returns(page: composition.Page) -> None:
        data = page.to_wire()
        assert parse_page(number, data) == page
        assert parse_page(number + composition.NEXT_FIRMWARE, data) == page

    returns()


@given(st.sampled_from([0, 1, 2, 128, 129, 130]), st.binary(max_size=380))
@unhurried
def test_noise_ends_in_a_page_or_in_rejected(number: int, data: bytes) -> None:
    try:
        page = parse_page(number, data)
    except Rejected:
        return
    assert page is not None
    assert parse_page(number, page.to_wire()) == page


@pytest.mark.parametrize("length", range(len(PAGE)))
def test_a_page_that_is_cut_within_an_element_is_refused(length: int) -> None:
    if length == 24:
        # The end of the first element: a shorter node.
        assert parse_page(0, PAGE[:length]) is not None
        return
    with pytest.raises(Rejected) as refused:
        parse_page(0, PAGE[:length])
    assert refused.value.reason in (RejectReason.TRUNCATED, RejectReason.INVALID)


def test_a_page_that_is_not_known_stays_bytes() -> None:
    assert parse_page(3, b"\x01\x02") is None
    assert parse_page(255, b"") is None


def test_a_long_page_is_put_together_from_parts() -> None:
    whole, offset = b"", 0
    while True:
        part = LargeCompositionStatus(0, offset, len(PAGE), PAGE[offset : offset + 7])
        whole += part.data
        if part.next_offset is None:
            break
        offset = part.next_offset
    assert whole == PAGE


def test_a_part_that_reaches_beyond_the_whole_is_refused() -> None:
    with pytest.raises(Rejected):
        LargeCompositionStatus(0, 4, 5, b"\x01\x02")


def test_an_empty_part_does_not_make_a_client_ask_for_ever() -> None:
    assert LargeCompositionStatus(0, 0, 50, b"").next_offset is None
    assert LargeCompositionStatus(0, 60, 50, b"").next_offset is None
