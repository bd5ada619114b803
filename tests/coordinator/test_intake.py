"""What is understood of foreign bytes, and how the rest is refused."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import topics
from common.codec import MAX_MESSAGE_BYTES, encode_table, pack
from common.errors import Rejected, RejectReason
from common.messages import ActionRecord, Kind, Status, decode_measurement, encode
from common.topics import Channel
from coordinator.ingest.handover import Heard
from coordinator.ingest.intake import add
from coordinator.repository.batch import REFUSED, Batch, Refusal
from tests.coordinator.sender import START, envelope, measurement

UP = topics.up("office", "gw-1")
STATUS = topics.of("office", "gw-1", Channel.STATUS)
FLEET = {"gw-1": "office", "gw-2": "depot"}


def take(topic: str, payload: bytes, retained: bool = False) -> Batch:
    batch = Batch(START)
    add(batch, Heard(topic, payload, retained), FLEET.get)
    return batch


def refusal(topic: str, payload: bytes) -> tuple[str, RejectReason]:
    batch = take(topic, payload)
    assert not batch.messages
    assert not batch.statuses
    (one,) = batch.refusals
    return one.gateway, one.reason


def test_a_measurement_keeps_its_body_and_tells_its_time() -> None:
    sent = measurement(3)
    (got,) = take(UP, encode(sent)).messages
    assert (got.stream, got.sequence, got.site, got.kind) == (("gw-1", 7), 3, "office", Kind.LINKS)
    assert (got.t0, got.t1, got.body) == (START + 3, START + 3, sent.body)


def test_an_action_comes_with_its_record() -> None:
    record = ActionRecord(id="a", state="applied", kind="relay-set", cause="c", expected="e", priority=1)
    (got,) = take(UP, encode(envelope(1, "action", encode(record)))).messages
    assert got.record == record


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", RejectReason.TRUNCATED),
        (b"\xc1", RejectReason.MALFORMED),
        (encode(measurement(1))[:-9], RejectReason.TRUNCATED),
        (b"\x00" * (MAX_MESSAGE_BYTES + 1), RejectReason.OVERSIZED),
        (pack({**measurement(1).model_dump(), "v": 2}), RejectReason.FOREIGN_VERSION),
        (pack({**measurement(1).model_dump(), "sequence": 0}), RejectReason.INVALID),
        (encode(measurement(1, gateway="gw-2")), RejectReason.FORGED),
        (encode(measurement(1, site="depot")), RejectReason.FORGED),
    ],
)
def test_a_bad_envelope_is_refused_by_reason(payload: bytes, reason: RejectReason) -> None:
    assert refusal(UP, payload) == ("gw-1", reason)


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("gossip", b"", RejectReason.UNKNOWN_KIND),
        ("links", b"\xc1", RejectReason.MALFORMED),
        ("links", pack({}), RejectReason.INVALID),
        ("event", pack({"name": 5}), RejectReason.INVALID),
        ("action", pack({"id": "a"}), RejectReason.INVALID),
    ],
)
def test_a_bad_body_is_refused_and_keeps_its_place(kind: str, body: bytes, reason: RejectReason) -> None:
    batch = take(UP, encode(envelope(4, kind, body)))
    (held,) = batch.messages
    assert (held.sequence, held.kind) == (4, REFUSED)
    assert isinstance(held.record, Refusal)
    assert held.record.reason is reason


def test_a_site_other_than_the_enrolled_one_is_forged() -> None:
    forged = encode(measurement(1, gateway="gw-2", site="office"))
    assert refusal(topics.up("office", "gw-2"), forged) == ("gw-2", RejectReason.FORGED)


def test_a_stranger_is_refused_and_counted_for_nobody() -> None:
    forged = encode(measurement(1, gateway="gw-3"))
    assert refusal(topics.up("office", "gw-3"), forged) == ("", RejectReason.FORGED)


@pytest.mark.parametrize(
    "topic", ["", "mt/2/office/gw-1/up/1", "mt/1/office/gw-1/up/99", "mt/1/O/gw-1/status", "$SYS/x"]
)
def test_a_topic_outside_the_scheme_is_refused(topic: str) -> None:
    assert refusal(topic, encode(measurement(1)))[0] == ""


def test_a_status_is_live_unless_it_was_kept_or_is_a_last_will() -> None:
    for online, retained, live in ((True, False, True), (True, True, False), (False, False, False)):
        told = Status(site="office", gateway="gw-1", time=START, online=online, epoch=9, oldest=4)
        heard = take(STATUS, encode(told), retained).statuses["gw-1"]
        assert (heard.live, heard.online, heard.epoch, heard.oldest) == (live, online, 9, 4)


def test_a_status_in_the_name_of_another_is_forged() -> None:
    told = Status(site="office", gateway="gw-9", time=START, online=True)
    assert refusal(STATUS, encode(told)) == ("gw-1", RejectReason.FORGED)


def test_clearing_a_kept_status_says_nothing() -> None:
    batch = take(STATUS, b"")
    assert not batch.refusals
    assert not batch.statuses


@given(
    st.lists(st.one_of(st.floats(), st.floats(0, 1e10)), max_size=5),
    st.sampled_from(["t", "u"]),
    st.sampled_from("dfq"),
    st.sampled_from([1, 0x7FFF, 0, 0x8000, 0xFFFF]),
)
def test_the_quick_check_refuses_what_full_decoding_refuses(
    times: list[float], name: str, code: str, address: int
) -> None:
    good = {"transmitter": array("H", [1] * len(times)), "receiver": array("H", [address] * len(times))}
    column = array("d", times) if code == "d" else array(code, [0] * len(times))
    body = encode_table({name: column, **good})
    batch = take(UP, encode(envelope(1, "links", body)))
    (got,) = batch.messages
    wanted = _decoded(body)
    if isinstance(wanted, RejectReason):
        assert isinstance(got.record, Refusal)
        assert got.record.reason is wanted
    else:
        assert (got.t0, got.t1) == wanted


def _decoded(body: bytes) -> tuple[float, float] | RejectReason:
    try:
        times = decode_measurement(Kind.LINKS, body)["t"]
    except Rejected as refused:
        return refused.reason
    return (min(times), max(times)) if times else (START + 1, START + 1)


@given(st.binary(max_size=200), st.sampled_from([UP, STATUS, "", "mt/1/x"]))
def test_no_bytes_at_all_can_raise(payload: bytes, topic: str) -> None:
    take(topic, payload)


@given(st.data())
def test_no_flipped_bit_can_raise(data: st.DataObject) -> None:
    payload = bytearray(encode(measurement(1)))
    at = data.draw(st.integers(0, len(payload) * 8 - 1))
    payload[at // 8] ^= 1 << at % 8
    batch = take(UP, bytes(payload))
    assert len(batch.messages) + len(batch.refusals) == 1
