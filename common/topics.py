"""The topic scheme `mt/1/<site>/<gateway>/<channel>[/<from>]`: built and parsed here and nowhere else.

Up (gateway to coordinator): `up/<shard>`, the durable stream, and `status`, retained with a last will.
Down: `command`, `ack`, `desired`. Between peers the gateway in the topic is the addressee and the last
level the sender: `offer/<from>`, `task/<from>`, `result/<from>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from zlib import crc32

from common.errors import Rejected, RejectReason

ROOT = "mt/1"
SHARDS = 16
MAX_NAME_LENGTH = 64
CLOUD = "cloud"
"""What stands for the coordinator among the peers of every site: tasks are sent to it as to a gateway."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?")


class Channel(StrEnum):
    """The fifth level of a topic: what the message is for."""

    UP = "up"
    STATUS = "status"
    COMMAND = "command"
    ACK = "ack"
    DESIRED = "desired"
    OFFER = "offer"
    TASK = "task"
    RESULT = "result"


UPWARD = frozenset({Channel.UP, Channel.STATUS})
DOWNWARD = frozenset({Channel.COMMAND, Channel.ACK, Channel.DESIRED})
BETWEEN_PEERS = frozenset({Channel.OFFER, Channel.TASK, Channel.RESULT})


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic. `sender` is set on peer channels only, `shard` on `up` only."""

    site: str
    gateway: str
    channel: Channel
    sender: str | None = None
    shard: int | None = None

    def __str__(self) -> str:
        tail = self.sender if self.channel in BETWEEN_PEERS else self.shard
        head = f"{ROOT}/{self.site}/{self.gateway}/{self.channel.value}"
        return head if tail is None else f"{head}/{tail}"


def check_name(name: str, what: str = "name") -> str:
    """Return a site or gateway id that is safe in topics, file names and certificates.

    Lower-case letters, digits, `.`, `_` and `-`, at most 64 characters, starting and ending with a letter
    or digit. Raises Rejected(INVALID).
    """
    if not _NAME.fullmatch(name):
        raise Rejected(
            RejectReason.INVALID,
            f"{what} {name[:80]!r}: use 1 to {MAX_NAME_LENGTH} of a-z 0-9 . _ -, beginning and ending with "
            "a letter or digit",
        )
    return name


def shard_of(gateway: str) -> int:
    """The shard (0 to 15) of a gateway's durable stream."""
    return crc32(gateway.encode()) % SHARDS


def up(site: str, gateway: str) -> str:
    """Where a gateway publishes its durable stream."""
    return str(Topic(site, gateway, Channel.UP, shard=shard_of(gateway)))


def of(site: str, gateway: str, channel: Channel) -> str:
    """A topic without a last level: status, command, ack, desired."""
    return str(Topic(site, gateway, channel))


def to_peer(site: str, addressee: str, channel: Channel, sender: str) -> str:
    """Where `sender` writes to its peer `addressee`."""
    return str(Topic(site, addressee, channel, sender=sender))


def parse(topic: str) -> Topic:
    """Parse a received topic. Raises Rejected for anything outside the scheme: MALFORMED, or INVALID for a
    name that `check_name` refuses.
    """
    levels = topic.split("/", 7)
    if len(levels) < 5 or "/".join(levels[:2]) != ROOT:
        raise Rejected(RejectReason.MALFORMED, f"topic {topic[:120]!r} is not below {ROOT}/<site>/<gateway>/")
    site, gateway = check_name(levels[2], "site"), check_name(levels[3], "gateway")
    try:
        channel = Channel(levels[4])
    except ValueError as error:
        raise Rejected(RejectReason.MALFORMED, f"unknown channel {levels[4][:40]!r}") from error
    return _with_tail(site, gateway, channel, levels[5:])


def _with_tail(site: str, gateway: str, channel: Channel, tail: list[str]) -> Topic:
    wanted = 1 if channel in BETWEEN_PEERS or channel is Channel.UP else 0
    if len(tail) != wanted:
        raise Rejected(RejectReason.MALFORMED, f"channel {channel.value} takes {wanted} further levels")
    if channel is Channel.UP:
        if tail[0] != str(shard_of(gateway)):
            raise Rejected(RejectReason.MALFORMED, f"shard {tail[0][:20]!r} is not this gateway's")
        return Topic(site, gateway, channel, shard=int(tail[0]))
    sender = check_name(tail[0], "sender") if tail else None
    return Topic(site, gateway, channel, sender=sender)
