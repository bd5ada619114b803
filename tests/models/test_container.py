"""A bundle's metadata is read out of any bytes with a named error or none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Rejected, RejectReason
from common.models import link_forecast
from common.models.container import check_content, check_schema, read_metadata
from common.models.metadata import BUFFER, MAX_BUNDLE_BYTES, MAX_METADATA_BYTES, Golden, Metadata
from coordinator.training.tflite_writer import with_metadata
from tests.models import bundles

GOOD = bundles.persistence()
NAMED = {
    RejectReason.TRUNCATED,
    RejectReason.MALFORMED,
    RejectReason.OVERSIZED,
    RejectReason.INVALID,
    RejectReason.FOREIGN_SCHEMA,
}


def refusal(content: bytes) -> RejectReason | None:
    try:
        check_schema(read_metadata(content))
    except Rejected as error:
        return error.reason
    return None


def test_metadata_is_read_as_it_was_written() -> None:
    metadata = read_metadata(GOOD.content)
    assert (metadata.name, metadata.version) == (link_forecast.NAME, 1)
    assert len(metadata.golden.inputs) == 4
    check_schema(metadata)


def test_eight_bit_bundles_are_read_alike() -> None:
    assert read_metadata(bundles.eight_bit(5).content).precision == "int8"


def test_a_bundle_cut_at_any_byte_is_refused_by_name() -> None:
    step = max(1, len(GOOD.content) // 2000)
    for end in range(0, len(GOOD.content), step):
        cut = GOOD.content[:end]
        assert refusal(cut) in NAMED | {None}
        with pytest.raises(Rejected) as raised:
            check_content(cut, GOOD.reference)
        assert raised.value.reason is RejectReason.TRUNCATED


@given(st.integers(0, len(GOOD.content) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_is_refused_by_name_or_harmless(place: int, mask: int) -> None:
    flipped = bytearray(GOOD.content)
    flipped[place] ^= mask
    assert refusal(bytes(flipped)) in NAMED | {None}
    with pytest.raises(Rejected) as raised:
        check_content(bytes(flipped), GOOD.reference)
    assert raised.value.reason is RejectReason.ALTERED


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_refused_by_name(data: bytes) -> None:
    assert refusal(data) in NAMED
    assert refusal(b"\x1c\0\0\0TFL3" + data) in NAMED


@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_hostile_tables_at_the_root_are_refused_by_name(changes: list[tuple[int, int]]) -> None:
    hostile = bytearray(GOOD.content)
    for place, value in changes:
        hostile[place] = value
    assert refusal(bytes(hostile)) in NAMED | {None}


def test_a_model_without_our_metadata_is_refused() -> None:
    other = with_metadata(GOOD.content, "somebody-else", b"{}")
    assert refusal(other) is RejectReason.MALFORMED


def test_what_is_too_large_is_refused_unread() -> None:
    assert refusal(bytes(MAX_BUNDLE_BYTES + 1)) is RejectReason.OVERSIZED
    swollen = with_metadata(GOOD.content, BUFFER, b" " * (MAX_METADATA_BYTES + 1))
    assert refusal(swollen) is RejectReason.OVERSIZED


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"null", b"[" * 100_000])
def test_metadata_that_is_no_metadata_is_refused(content: bytes) -> None:
    assert refusal(with_metadata(GOOD.content, BUFFER, content)) in NAMED


def test_a_model_of_another_feature_schema_is_refused() -> None:
    assert refusal(bundles.persistence(schema_hash="0" * 64).content) is RejectReason.FOREIGN_SCHEMA
    assert refusal(bundles.persistence(name="load-forecast").content) is RejectReason.FOREIGN_SCHEMA
    narrow = np.zeros((3, link_forecast.OUTPUTS), np.float32)
    bias = np.zeros(link_forecast.OUTPUTS, np.float32)
    shaped = bundles.bundle(bundles.linear(narrow, bias), narrow, bias, 1)
    assert refusal(shaped.content) is RejectReason.FOREIGN_SCHEMA


def test_golden_vectors_of_another_shape_are_refused() -> None:
    rows = [[0.0] * link_forecast.INPUTS] * 2
    for golden in (
        Golden(inputs=rows, outputs=[[0.0] * link_forecast.OUTPUTS], tolerance=0.1),
        Golden(inputs=rows, outputs=[[0.0]] * 2, tolerance=0.1),
        Golden(inputs=[[0.0]] * 2, outputs=[[0.0] * link_forecast.OUTPUTS] * 2, tolerance=0.1),
    ):
        assert refusal(bundles.persistence(golden=golden).content) is RejectReason.INVALID


def test_content_is_told_from_the_reference_by_length_and_digest() -> None:
    check_content(GOOD.content, GOOD.reference)
    with pytest.raises(Rejected) as raised:
        check_content(GOOD.content + b"\0", GOOD.reference)
    assert raised.value.reason is RejectReason.OVERSIZED


def test_metadata_of_a_good_bundle_survives_a_change_of_its_version() -> None:
    metadata = read_metadata(GOOD.content)
    again = bundles.described(GOOD.content, Metadata(**(metadata.model_dump() | {"version": 9})))
    assert read_metadata(again.content).version == 9
