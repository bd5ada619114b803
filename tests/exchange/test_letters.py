"""Letters are read as they were written, and whatever comes in ends in a letter or a refusal."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import pack
from common.errors import Rejected, RejectReason
from common.exchange import messages
from common.exchange.messages import (
    Answer,
    Cancel,
    Done,
    Forget,
    HandOver,
    Keep,
    Kept,
    Lacking,
    Letter,
    Offer,
    Piece,
    Receipt,
    TakenOver,
    Want,
    channel_of,
    decode_letter,
    encode_letter,
)
from common.topics import BETWEEN_PEERS, Channel
from edge_agent.share.incoming import MAX_LETTER_BYTES
from edge_agent.tasks.replica import unpack

ID, DIGEST, JOB = "f" * 24, "0" * 64, "gw-1-3f2a9c"
LETTERS: list[Letter] = [
    Offer(id=ID, request=b"packed", sizes={DIGEST: 7}),
    Offer(id=ID),
    Answer(id=ID, accepted=False, reason="queue", text="full", run="1"),
    Want(digest=DIGEST, offset=0, count=4),
    Piece(digest=DIGEST, offset=0, total=3, data=b"abc"),
    Lacking(digest=DIGEST),
    Cancel(id=ID),
    Done(id=ID, result=b"packed", sizes={DIGEST: 7}),
    Receipt(id=ID),
    Keep(job=JOB, version=3, state=DIGEST, size=9),
    Kept(job=JOB, state=DIGEST),
    Forget(job=JOB),
    HandOver(job=JOB, state=DIGEST, size=9),
    TakenOver(job=JOB, state=DIGEST),
]


@pytest.mark.parametrize("letter", LETTERS, ids=lambda letter: type(letter).__name__)
def test_a_letter_is_read_as_it_was_written(letter: Letter) -> None:
    assert decode_letter(channel_of(letter), encode_letter(letter)) == letter


def test_the_longest_letters_fit() -> None:
    sizes = {f"{number:064x}": messages.MAX_BLOB_BYTES for number in range(messages.MAX_BLOBS)}
    longest: list[Letter] = [
        Offer(id="f" * 64, request=bytes(messages.MAX_REQUEST_BYTES), sizes=sizes),
        Done(id="f" * 64, result=bytes(messages.MAX_RESULT_BYTES), sizes=sizes, text="x" * messages.MAX_TEXT),
        Piece(digest=DIGEST, offset=0, total=messages.PIECE_BYTES, data=bytes(messages.PIECE_BYTES)),
    ]
    assert max(len(encode_letter(letter)) for letter in longest) <= MAX_LETTER_BYTES


@given(st.sampled_from(sorted(BETWEEN_PEERS)), st.binary(max_size=200))
def test_any_bytes_are_a_letter_or_refused(channel: Channel, payload: bytes) -> None:
    try:
        decode_letter(channel, payload)
    except Rejected:
        pass


@given(
    st.sampled_from(LETTERS),
    st.text(max_size=8),
    st.one_of(
        st.none(), st.integers(), st.floats(), st.text(max_size=80), st.lists(st.integers(), max_size=3)
    ),
)
def test_a_letter_with_anything_in_any_field_is_a_letter_or_refused(
    letter: Letter, extra: str, value: object
) -> None:
    for name in [*type(letter).model_fields, extra]:
        changed = {"what": type(letter).__name__.lower(), **letter.model_dump(), name: value}
        try:
            decode_letter(channel_of(letter), pack(changed))
        except (Rejected, OverflowError):
            pass


@given(st.binary(max_size=300))
def test_any_blob_is_a_job_or_refused(data: bytes) -> None:
    for body in (data, zlib.compress(data)):
        with pytest.raises(Rejected):
            unpack(body)


def test_a_job_that_unpacks_to_too_much_is_refused_before_it_has() -> None:
    with pytest.raises(Rejected) as caught:
        unpack(zlib.compress(bytes(100 << 20), 9))
    assert caught.value.reason is RejectReason.OVERSIZED
