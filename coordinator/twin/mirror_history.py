"""From the repository to a site's state: as it was at any time, or with what came since.

A mirror that runs and one that is built for a past moment read and feed alike, so that "as of" tells what the
mirror told then. The past beyond the memory of links and flows is not read: it no longer counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np

from common.errors import Corrupt, Rejected
from common.logs import get_logger
from common.messages import Kind, check_keys
from coordinator.repository.history import Snapshot
from coordinator.repository.samples import Subject, dtype, unpack_columns
from coordinator.repository.store import Repository
from coordinator.twin.mirror_links import FORGET_S
from coordinator.twin.mirror_state import SiteState, Table

LOOK_BACK_S: Final = FORGET_S
"""What is older is not read."""

SNAPSHOT_S: Final = 1_300.0
"""Twice the time after which gateways tell their configuration again: whose is older has left."""

SUBJECTS: Final = (Subject.LINK, Subject.NODE, Subject.FLOW)
"""In the order in which a gateway tells of one moment, and in which it is fed: whether a node lives decides
what its silence means."""

log = get_logger(__name__)


class Measured(NamedTuple):
    """One stored table: `t` is its newest time stamp, `rank` the place of its kind among those of a moment,
    `digest` tells it from others of the same gateway, kind and moment."""

    t: float
    rank: int
    gateway: str
    digest: int
    kind: Kind
    table: Table


@dataclass(slots=True)
class Marks:
    """How far each gateway's tables of each kind were fed, and the snapshot that was."""

    fed: dict[tuple[str, Kind], tuple[float, frozenset[int]]] = field(default_factory=dict)
    snapshot: tuple[str, float, int] | None = None

    def fresh(self, found: Iterable[Measured]) -> list[Measured]:
        """What was not fed yet, in order; from now on it counts as fed. Large tables come in pieces of one
        moment, of which some may be stored later than others."""
        new = []
        for measured in sorted(found, key=lambda m: m[:4]):
            place = (measured.gateway, measured.kind)
            t, digests = self.fed.get(place, (0.0, frozenset()))
            if measured.t > t:
                self.fed[place] = (measured.t, frozenset({measured.digest}))
            elif measured.t == t and measured.digest not in digests:
                self.fed[place] = (t, digests | {measured.digest})
            else:
                continue
            new.append(measured)
        return new


def addresses_of_gateways(repository: Repository, site: str) -> dict[str, int]:
    """The unicast address of each gateway of a site, as its status last told it."""
    return {
        name: record.status.address
        for name, record in repository.gateways().items()
        if record.site == site and record.status is not None and record.status.address
    }


def as_of(
    repository: Repository, site: str, t: float, gateways: Mapping[str, int] | None = None
) -> SiteState:
    """A site's state at Unix time `t`, from the repository alone. Raises Unavailable or Corrupt."""
    return build(repository, site, t, gateways)[0]


def build(
    repository: Repository, site: str, t: float, gateways: Mapping[str, int] | None = None
) -> tuple[SiteState, Marks]:
    """As `as_of`, and how far it was read, for `catch_up`."""
    known = addresses_of_gateways(repository, site) if gateways is None else gateways
    since = t - LOOK_BACK_S
    state, marks = SiteState(site, known, since), Marks()
    early = snapshot_as_of(repository, site, since, known)
    if early is not None:
        state.configured(early)
    found = marks.fresh(read(repository, site, since, t))
    snapshots = snapshots_between(lambda at: snapshot_as_of(repository, site, at, known), since, t)
    _feed(state, found, snapshots)
    _configure(state, marks, snapshot_as_of(repository, site, t, known))
    return state, marks


def catch_up(repository: Repository, state: SiteState, marks: Marks, t0: float, t1: float) -> int:
    """Feed what was stored with times within t0 <= t <= t1 and not fed yet; how many tables that were.

    Raises Unavailable or Corrupt.
    """
    # A gateway's tables of one moment are stored one after the other: look a little further back.
    found = marks.fresh(read(repository, state.site, t0 - 1.0, t1))
    _feed(state, found, [])
    _configure(state, marks, snapshot_as_of(repository, state.site, t1, state.gateways))
    return len(found)


def read(repository: Repository, site: str, t0: float, t1: float) -> list[Measured]:
    """Every table of links, nodes and flows whose newest time lies within t0 < t <= t1."""
    found = []
    for rank, subject in enumerate(SUBJECTS):
        for _, gateway, body in repository.messages(subject, t0, np.nextafter(t1, np.inf), site):
            table = _table(subject.kind, body)
            if table is not None and t0 < (t := float(table["t"].max())) <= t1:
                found.append(Measured(t, rank, gateway, crc32(body), subject.kind, table))
    return found


def _table(kind: Kind, body: bytes) -> Table | None:
    """The columns of a stored measurement; None for an empty or unreadable one, which is logged."""
    try:
        packed = unpack_columns(body)
        check_keys(kind, packed)
    except (Corrupt, Rejected) as error:
        log.warning("measurement-unreadable", kind=kind.value, reason=error)
        return None
    table: dict[str, Any] = {name: np.frombuffer(data, dtype(code)) for name, (code, data) in packed.items()}
    return table if len(table["t"]) else None


def snapshot_as_of(repository: Repository, site: str, t: float, gateways: Iterable[str]) -> Snapshot | None:
    """The configuration in force at `t`: of the gateway with the lowest id that told of one lately. Gateways
    differ in what they know, and switching between them would look like changes."""
    newest = repository.configuration_as_of(site, t)
    if newest is None:
        return None
    for gateway in sorted(name for name in gateways if name < newest.gateway):
        own = repository.configuration_as_of(site, t, gateway)
        if own is not None and newest.t - own.t <= SNAPSHOT_S:
            return own
    return newest


def snapshots_between(at: Callable[[float], Snapshot | None], t0: float, t1: float) -> list[Snapshot]:
    """The snapshots that came into force within t0 < t <= t1, to the minute, oldest first; `at` tells the
    one in force at a time."""
    found: list[Snapshot] = []

    def look(start: float, before: Snapshot | None, end: float, after: Snapshot | None) -> None:
        if after is None or (before is not None and _identity(before) == _identity(after)):
            return
        if end - start <= 60.0:
            found.append(after)
            return
        middle = (start + end) / 2.0
        between = at(middle)
        look(start, before, middle, between)
        look(middle, between, end, after)

    look(t0, at(t0), t1, at(t1))
    return found


def newest(kind: Kind, body: bytes) -> float | None:
    """The newest time stamp of a stored measurement; None for one that is empty or unreadable."""
    table = _table(kind, body)
    return None if table is None else float(table["t"].max())


def _feed(state: SiteState, found: list[Measured], snapshots: list[Snapshot]) -> None:
    waiting = list(reversed(snapshots))
    for measured in found:
        while waiting and waiting[-1].t <= measured.t:
            state.configured(waiting.pop())
        state.take(measured.kind, measured.gateway, measured.table)


def _configure(state: SiteState, marks: Marks, snapshot: Snapshot | None) -> None:
    if snapshot is not None and _identity(snapshot) != marks.snapshot:
        marks.snapshot = _identity(snapshot)
        state.configured(snapshot)


def _identity(snapshot: Snapshot) -> tuple[str, float, int]:
    return snapshot.gateway, snapshot.t, snapshot.version
