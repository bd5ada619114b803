"""One actor a site: the live gateway with the lowest id acts, the others propose."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

LEASE_PERIODS = 3
"""A gateway is live, and its lease holds, for this many status periods after its last status."""


class Role(StrEnum):
    """What a gateway may do to its site now."""

    ACTOR = "actor"
    PROPOSER = "proposer"
    ALONE = "alone"


@dataclass(frozen=True, slots=True)
class View:
    """What a gateway knows of its peers.

    `attached_s` is for how long the broker connection has stood, None without one. `live` are the ids of
    peers whose status is fresh; `known` every peer ever seen, itself not among them.
    """

    own: str
    live: frozenset[str]
    known: frozenset[str]
    attached_s: float | None


def role(view: View, period_s: float) -> Role:
    """The role that follows from `view`.

    Without a broker, or in the first status period with it, a gateway cannot tell who lives: it is ALONE
    and acts on its home nodes only.
    """
    if view.attached_s is None or view.attached_s < period_s:
        return Role.ALONE
    return Role.ACTOR if all(view.own < peer for peer in view.live) else Role.PROPOSER


def scope(
    own_role: Role, view: View, nodes: Collection[int], homes: Mapping[int, str]
) -> tuple[frozenset[int], frozenset[int]]:
    """(changeable, responsible) nodes in a role. A proposer plans for the whole site, and does not apply.
    A node without a home belongs to the lowest known id."""
    everything = frozenset(nodes)
    if own_role is not Role.ALONE:
        return everything, everything
    heir = min({view.own, *view.known})
    mine = frozenset(node for node in everything if homes.get(node, heir) == view.own)
    return mine, mine
