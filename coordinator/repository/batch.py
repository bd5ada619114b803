"""What one transaction stores, and what it answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from common.errors import RejectReason
from common.messages import ActionRecord, Configuration

# The kind of a row that holds the place of a message which was understood but refused: without it one bad
# message would stop its stream's acknowledgement, and with it the gateway's outbox, for ever.
REFUSED: Final = "refused"

Stream: TypeAlias = tuple[str, int]  # gateway, epoch


class Refusal(NamedTuple):
    """Why a message was refused. `gateway` is empty when nobody enrolled can be named."""

    gateway: str
    reason: RejectReason
    detail: str


class Incoming(NamedTuple):
    """One message of a durable stream. t0 and t1 bound the times in its body (Unix time).

    `record` is what goes into a table of its own, or why the body was refused.
    """

    gateway: str
    epoch: int
    sequence: int
    site: str
    kind: str
    t0: float
    t1: float
    body: bytes
    record: ActionRecord | Configuration | Refusal | None = None

    @property
    def stream(self) -> Stream:
        return self.gateway, self.epoch


class StatusHeard(NamedTuple):
    """A gateway's status. `live` is false for one that the broker had kept. `oldest` as in `Status`."""

    gateway: str
    site: str
    online: bool
    live: bool
    epoch: int
    oldest: int
    packed: bytes


@dataclass(slots=True)
class Batch:
    """Everything that came in since the last transaction; `received` is the coordinator's Unix time."""

    received: float
    messages: list[Incoming] = field(default_factory=list)
    statuses: dict[str, StatusHeard] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(slots=True)
class Outcome:
    """What became of a batch. `acks` holds the cumulative sequence of every stream it touched."""

    acks: dict[Stream, int] = field(default_factory=dict)
    stored: int = 0
    duplicates: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    lost: dict[Stream, int] = field(default_factory=dict)
