"""Stretches of the past: written to a file that a gateway's agent can live again, and played to a twin.

A twin's time is told by what it is fed, so that a recording is played at any speed: as fast as it can be
read, or in step with a clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

import numpy as np

from common.clock import Clock
from common.errors import Rejected, RejectReason
from common.messages import Configuration, Kind, decode, decode_measurement, encode
from common.recording import Entry, Header, Recording
from coordinator.repository.history import Snapshot
from coordinator.repository.samples import dtype, unpack_columns
from coordinator.repository.store import Repository
from coordinator.twin.mirror_history import SUBJECTS, addresses_of_gateways, newest, snapshots_between
from coordinator.twin.mirror_state import SiteState, Table

LONGEST_S: Final = 7 * 86_400.0
STEP_S: Final = 5.0


def record(repository: Repository, site: str, gateway: str, t0: float, t1: float) -> Recording:
    """What one gateway of a site told from t0 to t1 (Unix time), with the configuration that held at t0.

    Raises Rejected when that is nothing, or too much for one file; Unavailable or Corrupt.
    """
    if not 0.0 < t1 - t0 <= LONGEST_S:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{t1 - t0:.0f} s; up to {LONGEST_S:.0f} can be recorded")
    address = addresses_of_gateways(repository, site).get(gateway)
    if address is None:
        raise Rejected(RejectReason.INVALID, f"gateway {gateway!r} of site {site!r} never told its address")
    entries = [*_configurations(repository, site, gateway, t0, t1)]
    for subject in SUBJECTS:
        for _, _, body in repository.messages(subject, t0, np.nextafter(t1, np.inf), site, gateway):
            t = newest(subject.kind, body)
            if t is not None and t0 <= t <= t1:
                entries.append(Entry(t, subject.kind, body))
    if not any(entry.kind is not Kind.CONFIGURATION for entry in entries):
        raise Rejected(RejectReason.INVALID, f"gateway {gateway!r} told nothing in that time")
    entries.sort(key=lambda entry: entry.t)
    return Recording(Header(site=site, gateway=gateway, address=address, t0=t0, t1=t1), tuple(entries))


def replay(recording: Recording, every_s: float = STEP_S) -> Iterator[tuple[float, SiteState]]:
    """The twin's state after each step of a recording: Unix time, and the one state that grows. Entries that
    cannot be read are passed over."""
    header = recording.header
    state = SiteState(header.site, {header.gateway: header.address}, header.t0)
    waiting = list(reversed(recording.entries))
    t = header.t0
    while t < header.t1:
        t = min(header.t1, t + every_s)
        while waiting and waiting[-1].t <= t:
            _take(state, header.gateway, waiting.pop())
        yield t, state


async def replay_in_step(
    recording: Recording, clock: Clock, every_s: float = STEP_S
) -> AsyncIterator[tuple[float, SiteState]]:
    """As `replay`, each step when the clock is there: a clock that runs fast plays fast."""
    start = clock.monotonic()
    for t, state in replay(recording, every_s):
        wait = start + t - recording.header.t0 - clock.monotonic()
        if wait > 0:
            await clock.sleep(wait)
        yield t, state


def _take(state: SiteState, gateway: str, entry: Entry) -> None:
    try:
        if entry.kind is Kind.CONFIGURATION:
            told = decode(Configuration, entry.body)
            state.configured(Snapshot(state.site, gateway, entry.t, told.version, tuple(told.nodes)))
        else:
            state.take(entry.kind, gateway, _table(entry.kind, entry.body))
    except Rejected:
        # A damaged entry tells nothing; the next one tells nearly the same.
        return


def _table(kind: Kind, body: bytes) -> Table:
    decode_measurement(kind, body)
    packed = unpack_columns(body)
    return {name: np.frombuffer(data, dtype(code)) for name, (code, data) in packed.items()}


def _configurations(repository: Repository, site: str, gateway: str, t0: float, t1: float) -> Iterator[Entry]:
    first = repository.configuration_as_of(site, t0, gateway)
    later = snapshots_between(lambda t: repository.configuration_as_of(site, t, gateway), t0, t1)
    for snapshot in [*([first] if first is not None else []), *later]:
        body = encode(Configuration(version=snapshot.version, nodes=list(snapshot.nodes)))
        yield Entry(max(t0, snapshot.t), Kind.CONFIGURATION, body)
