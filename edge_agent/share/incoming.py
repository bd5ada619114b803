"""What comes in from the broker: checked, counted when hostile, and handed to whom it concerns.

No connection and no clock of its own; `mqtt` feeds it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from common import topics
from common.codec import Value, unpack
from common.errors import Rejected, RejectReason
from common.messages import Ack, Status, decode
from common.topics import BETWEEN_PEERS, Channel, Topic
from edge_agent.share.inbox import Inbox

STATUSES: Final = 512
INSTRUCTIONS: Final = 64
LETTERS: Final = 128
MAX_LETTER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A status that came in at monotonic time `t`; `retained` when the broker had kept it."""

    status: Status
    retained: bool
    t: float


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the coordinator sent on `command` or `desired`, unpacked and not yet checked further."""

    channel: Channel
    value: dict[str, Value]
    t: float


@dataclass(frozen=True, slots=True)
class PeerLetter:
    """What a peer, or the cloud, sent on `offer`, `task` or `result`; not looked into yet."""

    sender: str
    channel: Channel
    payload: bytes
    t: float


class Incoming:
    """Sorts the messages for one gateway. Acknowledgements go to `acknowledge`, with the time they came."""

    def __init__(self, site: str, gateway: str, acknowledge: Callable[[Ack, float], None]) -> None:
        self._site = site
        self._gateway = gateway
        self._acknowledge = acknowledge
        self.statuses: Inbox[PeerStatus] = Inbox(STATUSES)
        self.instructions: Inbox[Instruction] = Inbox(INSTRUCTIONS)
        self.letters: Inbox[PeerLetter] = Inbox(LETTERS)
        self.rejected: Counter[RejectReason] = Counter()

    def topics(self) -> list[str]:
        """What to subscribe to."""
        own = (Channel.ACK, Channel.COMMAND, Channel.DESIRED)
        everybody = topics.of(self._site, "+", Channel.STATUS)
        letters = (
            topics.to_peer(self._site, self._gateway, channel, "+") for channel in sorted(BETWEEN_PEERS)
        )
        return [*(topics.of(self._site, self._gateway, channel) for channel in own), everybody, *letters]

    def take(self, topic: str, payload: bytes, retained: bool, now: float) -> Rejected | None:
        """Sort one message; what was wrong with it, counted, or None."""
        try:
            parsed = topics.parse(topic)
            if parsed.site != self._site:
                raise Rejected(RejectReason.FORGED, f"topic of site {parsed.site}")
            if parsed.channel is Channel.STATUS:
                self._take_status(parsed, payload, retained, now)
            elif parsed.gateway != self._gateway:
                raise Rejected(RejectReason.FORGED, f"addressed to {parsed.gateway}")
            else:
                self._take_own(parsed, payload, now)
        except Rejected as error:
            self.rejected[error.reason] += 1
            return error
        return None

    def _take_own(self, topic: Topic, payload: bytes, now: float) -> None:
        match channel := topic.channel:
            case Channel.ACK:
                self._acknowledge(decode(Ack, payload), now)
            case Channel.COMMAND | Channel.DESIRED:
                value = unpack(payload)
                if not isinstance(value, dict):
                    raise Rejected(RejectReason.INVALID, f"{channel.value} is not a map")
                self.instructions.put(Instruction(channel, value, now))
            case Channel.OFFER | Channel.TASK | Channel.RESULT:
                if len(payload) > MAX_LETTER_BYTES:
                    raise Rejected(RejectReason.OVERSIZED, f"a letter of {len(payload)} bytes")
                self.letters.put(PeerLetter(topic.sender or "", channel, payload, now))
            case _:
                raise Rejected(RejectReason.INVALID, f"channel {channel.value} is not served")

    def _take_status(self, topic: Topic, payload: bytes, retained: bool, now: float) -> None:
        if not payload:
            # An empty retained message is how a broker's memory of a gateway is erased.
            return
        status = decode(Status, payload)
        if (status.site, status.gateway) != (topic.site, topic.gateway):
            raise Rejected(RejectReason.FORGED, f"names {status.gateway} on the topic of {topic.gateway}")
        if status.gateway != self._gateway:
            self.statuses.put(PeerStatus(status, retained, now))
