"""The repository: one way in (`store`), the questions it answers, and the bus that tells of news.

`store` belongs to one thread; reading is safe from any.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from types import TracebackType

from common.errors import Rejected
from common.messages import Kind
from coordinator.repository import gateways, history, latest, observations, samples
from coordinator.repository.batch import REFUSED, Batch, Incoming, Outcome, Refusal
from coordinator.repository.bus import Bus, Stored
from coordinator.repository.database import connect
from coordinator.repository.samples import Key, Question, Samples, Subject
from coordinator.repository.whereabouts import Whereabouts
from coordinator.repository.writer import Writer


class Repository:
    """Everything the coordinator keeps, in SQLite or PostgreSQL.

    Any method raises Unavailable or Corrupt when the database fails.
    """

    def __init__(self, url: str) -> None:
        """Open the database. Raises Misconfigured, Unavailable, Corrupt."""
        self._engine = connect(url)
        self._whereabouts = Whereabouts(self._engine)
        self._writer = Writer(self._engine)
        self.bus = Bus()

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._whereabouts.close()

    def store(self, batch: Batch) -> Outcome:
        """Store a batch durably, drop what is already there, then tell the bus.

        A message with a value that this database cannot hold is stored as refused. Raises Unavailable or
        Corrupt; then nothing of the batch is stored and it may be given again.
        """
        if self._whereabouts.settle():
            self._writer.forget()
        try:
            outcome = self._writer.store(batch)
        except Rejected:
            batch = self._without_offenders(batch)
            outcome = self._writer.store(batch)
        self._whereabouts.confirm()
        self.bus.publish(_news(batch.messages))
        return outcome

    def _without_offenders(self, batch: Batch) -> Batch:
        """The batch with the messages replaced that cannot be stored; the others are stored on the way."""
        kept = []
        for message in batch.messages:
            try:
                self._writer.store(Batch(batch.received, [message]))
                kept.append(message)
            except Rejected as refused:
                kept.append(_refused(message, refused))
        return Batch(batch.received, kept, batch.statuses, batch.refusals)

    def samples(
        self,
        subject: Subject | str,
        metric: str,
        t0: float,
        t1: float,
        site: str | None = None,
        gateway: str | None = None,
        key: Key | None = None,
    ) -> Samples:
        """The values of `metric` with t0 <= t < t1 (Unix seconds) as typed columns in order of time.

        `subject` is link, node, host or flow; `key` picks one: (transmitter, receiver), address, or
        (source, destination[, class]). Raises Rejected(INVALID) for a key that does not fit.
        """
        return samples.read(self._engine, Question(Subject(subject), metric, t0, t1, site, gateway, key))

    def latest(
        self, subject: Subject | str, t0: float, t1: float, site: str, gateway: str | None = None
    ) -> list[latest.Latest]:
        """The newest value of every metric of every link, node, host or flow within t0 <= t < t1."""
        return latest.read(self._engine, Question(Subject(subject), "", t0, t1, site, gateway))

    def count_links(self, site: str, t0: float, t1: float) -> int:
        """How many different links of a site were measured within t0 <= t < t1."""
        found = self.samples(Subject.LINK, "receiver", t0, t1, site).keys
        return len({*zip(found["transmitter"].tolist(), found["receiver"].tolist(), strict=True)})

    def extent(
        self,
        subject: Subject | str,
        t0: float,
        t1: float,
        site: str | None = None,
        gateway: str | None = None,
    ) -> observations.Extent:
        """How many messages and rows, and which columns, were measured within t0 <= t < t1."""
        return observations.extent(self._engine, Question(Subject(subject), "", t0, t1, site, gateway))

    def messages(
        self,
        subject: Subject | str,
        t0: float,
        t1: float,
        site: str | None = None,
        gateway: str | None = None,
    ) -> Iterator[tuple[str, str, bytes]]:
        """(site, gateway, packed table) of every message that may hold rows within t0 <= t < t1, unsorted."""
        return observations.messages(self._engine, Question(Subject(subject), "", t0, t1, site, gateway))

    def actions(
        self, site: str | None = None, t0: float = 0.0, t1: float = math.inf, limit: int = 100
    ) -> list[history.Action]:
        """The newest actions with a step in t0 <= t < t1, newest first, as they stood at `t1`."""
        return history.actions(self._engine, site, t0, t1, limit)

    def configuration_as_of(self, site: str, t: float, gateway: str | None = None) -> history.Snapshot | None:
        """The site's latest configuration at or before `t`; None when there was none yet."""
        return history.configuration_as_of(self._engine, site, t, gateway)

    def events(
        self, site: str | None = None, t0: float = 0.0, t1: float = math.inf, limit: int = 100
    ) -> list[history.Happening]:
        """The newest events with t0 <= t < t1, newest first."""
        return history.events(self._engine, site, t0, t1, limit)

    def results(self, site: str, received: float) -> list[history.Told]:
        """How commands ended that came in since `received` (the coordinator's Unix time), oldest first."""
        return history.results(self._engine, site, received)

    def gateways(self) -> dict[str, gateways.GatewayRecord]:
        """What is known of every gateway that wrote or was refused, by id."""
        return gateways.gateways(self._engine)

    def current_positions(self) -> list[tuple[str, str, int, int]]:
        """(site, gateway, epoch, acknowledged sequence) of every gateway's newest stream."""
        return gateways.current_positions(self._engine)


def _refused(message: Incoming, refused: Rejected) -> Incoming:
    refusal = Refusal(message.gateway, refused.reason, refused.detail)
    return message._replace(kind=REFUSED, body=str(refused).encode(), record=refusal)


def _news(messages: Iterable[Incoming]) -> list[Stored]:
    """One piece of news per site and kind. Duplicates widen it at most: a reader then reads too much."""
    ranges: dict[tuple[str, str], tuple[float, float]] = {}
    for message in messages:
        key = (message.site, message.kind)
        t0, t1 = ranges.get(key, (message.t0, message.t1))
        ranges[key] = (min(t0, message.t0), max(t1, message.t1))
    return [Stored(s, Kind(k), t0, t1) for (s, k), (t0, t1) in ranges.items() if k != REFUSED]
