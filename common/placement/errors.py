"""What can be wrong with a task graph that is to be placed, by name."""

from __future__ import annotations

from enum import StrEnum

from common.errors import Rejected, RejectReason, Unavailable


class Flaw(StrEnum):
    """What is wrong with an instance. The values are shown and counted."""

    NOT_JSON = "not-json"
    UNKNOWN_KEY = "unknown-key"
    INVALID = "invalid"
    TOO_LARGE = "too-large"
    DUPLICATE_ID = "duplicate-id"
    UNKNOWN_NODE = "unknown-node"
    UNKNOWN_TASK = "unknown-task"
    UNKNOWN_CHANNEL = "unknown-channel"
    WRONG_LENGTH = "wrong-length"
    REPEATED_EDGE = "repeated-edge"
    CYCLE = "cycle"
    NO_SINK = "no-sink"


_REASONS = {Flaw.NOT_JSON: RejectReason.MALFORMED, Flaw.TOO_LARGE: RejectReason.OVERSIZED}


class BadInstance(Rejected):
    """A task graph, or what is told of the nodes, makes no sense; `flaw` says how."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        reason = _REASONS.get(flaw, RejectReason.INVALID)
        super().__init__(reason, detail if flaw.value == reason.value else f"{flaw.value}: {detail}")
        self.flaw = flaw


class Unplaceable(Unavailable):
    """A task has no node now that may run it: all that may are dead."""
