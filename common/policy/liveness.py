"""From lost-neighbour reports to a verdict: whom to ask, who is dead.

A report is evidence: a busy node, a burst of interference or a report of a neighbour that is itself cut off
looks the same. So a suspect is asked directly, and only silence of the suspect *and* of its listeners
convicts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

GOOD_LINK_SHARE = 0.7
"""A listener counts when it used to hear at least this share of a transmitter's probes."""

CONVICTING_SHARE = 0.5
"""Share of a suspect's good listeners, among those still able to report, that must have lost it."""

SUSPICIOUS_SHARE = 0.25
"""Share of them from which on a node is asked at all. On a loaded channel one listener in many is often
mistaken, and every question and answer is a flood that loads it further."""

EVIDENCE_S = 10.0
"""Lost reports older than this no longer count."""

PINGS = 2
"""Unanswered questions before a verdict."""


class Verdict(StrEnum):
    """What is believed of a node."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one node's signs of life. All times are monotonic seconds.

    `heard_at` is the last proof of life: its own message, or a neighbour's report that heard it. `lost_by`
    maps receivers to the time of their lost report, `listeners` receivers that can report now to the share
    of probes that they used to hear. `unanswered` counts questions since the first lost report.
    """

    heard_at: float
    lost_by: Mapping[int, float] = field(default_factory=dict)
    listeners: Mapping[int, float] = field(default_factory=dict)
    unanswered: int = 0
    dead: bool = False


def judge(evidence: Evidence, now: float) -> Verdict:
    """The verdict on one node. A dead node stays dead until something is heard of it."""
    lost = {
        receiver
        for receiver, t in evidence.lost_by.items()
        if t > evidence.heard_at and now - t <= EVIDENCE_S
    }
    if evidence.dead:
        return Verdict.DEAD
    if not lost:
        return Verdict.ALIVE
    share = _share(lost, evidence.listeners)
    if evidence.unanswered >= PINGS and share >= CONVICTING_SHARE:
        return Verdict.DEAD
    return Verdict.SUSPECT if share >= SUSPICIOUS_SHARE else Verdict.ALIVE


def _share(lost: set[int], listeners: Mapping[int, float]) -> float:
    """Of those who could tell that a node is lost, the part that does."""
    good = {receiver for receiver, share in listeners.items() if share >= GOOD_LINK_SHARE} | lost
    return len(lost) / len(good)
