"""Understanding what came in: from topic and bytes to what the repository stores, or to a refusal. Pure.

A message of the stream whose envelope is good but whose body is not is stored as `refused`, so that its
sequence counts as dealt with: otherwise one bad body would hold up its gateway for ever. Without a good
envelope there is no sequence to count, and one of a newer schema waits until the coordinator is updated.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from common import topics
from common.codec import table_bytes
from common.commands import CommandResult
from common.errors import Rejected, RejectReason
from common.messages import (
    MAX_TIME,
    MEASUREMENTS,
    ActionRecord,
    Configuration,
    Dropped,
    Envelope,
    Event,
    Kind,
    Status,
    check_keys,
    decode,
    decode_envelope,
)
from common.topics import Channel, Topic
from coordinator.ingest.handover import Heard
from coordinator.repository.batch import REFUSED, Batch, Incoming, Refusal, StatusHeard

SiteOf: TypeAlias = Callable[[str], "str | None"]
_Content: TypeAlias = "tuple[float, float, ActionRecord | Configuration | None]"

_parse = lru_cache(maxsize=8192)(topics.parse)


def add(batch: Batch, heard: Heard, site_of: SiteOf) -> None:
    """Add to `batch` what `heard` says, or why it is refused. Never raises for any input.

    `site_of` tells the site at which a gateway is enrolled, None for a stranger.
    """
    gateway = ""
    try:
        topic = _parse(heard.topic)
        if (site := site_of(topic.gateway)) is not None:
            gateway = topic.gateway
        if site != topic.site:
            raise Rejected(RejectReason.FORGED, f"{topic.gateway} is not enrolled at site {topic.site}")
        _add_from(batch, heard, topic)
    except Rejected as refused:
        batch.refusals.append(Refusal(gateway, refused.reason, refused.detail))


def _add_from(batch: Batch, heard: Heard, topic: Topic) -> None:
    if topic.channel is Channel.UP:
        batch.messages.append(_incoming(decode_envelope(heard.payload, topic)))
    elif topic.channel is Channel.STATUS:
        # An empty one only clears what the broker keeps.
        if heard.payload:
            batch.statuses[topic.gateway] = _status(heard, topic)
    else:
        raise Rejected(RejectReason.MALFORMED, f"channel {topic.channel.value} is not for the coordinator")


def _status(heard: Heard, topic: Topic) -> StatusHeard:
    status = decode(Status, heard.payload)
    if (status.site, status.gateway) != (topic.site, topic.gateway):
        raise Rejected(
            RejectReason.FORGED, f"a status names {status.site}/{status.gateway} on {topic.gateway}'s topic"
        )
    return StatusHeard(
        gateway=status.gateway,
        site=status.site,
        online=status.online,
        live=status.online and not heard.retained,
        epoch=status.epoch,
        oldest=status.oldest,
        packed=heard.payload,
    )


def _incoming(envelope: Envelope) -> Incoming:
    kind, body = envelope.kind, envelope.body
    content: tuple[float, float, ActionRecord | Configuration | Refusal | None]
    try:
        content = _content(envelope)
    except Rejected as refused:
        refusal = Refusal(envelope.gateway, refused.reason, refused.detail)
        kind, body = REFUSED, str(refused).encode()
        content = envelope.time, envelope.time, refusal
    t0, t1, record = content
    return Incoming(
        envelope.gateway, envelope.epoch, envelope.sequence, envelope.site, kind, t0, t1, body, record
    )


def _content(envelope: Envelope) -> _Content:
    """The time range of a body, and the record it holds for kinds that have a table of their own."""
    kind = _kind(envelope.kind)
    if kind in MEASUREMENTS:
        return *(_time_range(kind, envelope.body) or (envelope.time, envelope.time)), None
    record: ActionRecord | Configuration | None = None
    match kind:
        case Kind.ACTION:
            record = decode(ActionRecord, envelope.body)
        case Kind.CONFIGURATION:
            record = decode(Configuration, envelope.body)
        case Kind.EVENT:
            decode(Event, envelope.body)
        case Kind.DROPPED:
            decode(Dropped, envelope.body)
        case Kind.RESULT:
            decode(CommandResult, envelope.body)
    return envelope.time, envelope.time, record


def _time_range(kind: Kind, body: bytes) -> tuple[float, float] | None:
    """The first and the last time in a measurement; None when it has no rows.

    Refuses what `decode_measurement` refuses, without decoding any other column.
    """
    columns = table_bytes(body)
    check_keys(kind, columns)
    packed = columns["t"][1]
    if not packed:
        return None
    times = struct.unpack(f"<{len(packed) // 8}d", packed)
    first, last = min(times), max(times)
    # A sum shows any value that is not a number; minimum and maximum may step over it.
    if not (first >= 0.0 and last <= MAX_TIME and math.isfinite(sum(times))):
        raise Rejected(RejectReason.OUT_OF_RANGE, "a time stamp lies outside the calendar")
    return first, last


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError as error:
        raise Rejected(RejectReason.UNKNOWN_KIND, f"kind {text!r} is not known here") from error
