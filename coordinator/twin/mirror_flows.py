"""How a site's flows really fare: faded counts of messages, questions, answers, hops and round trips.

What gateways tell of flows is kept here as it was observed; what the twin would have said is the score's.
The faded number of answers out of questions is what predictions of delivery are held against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, log, sqrt
from typing import Any, Final

from numpy.typing import NDArray

HALF_LIFE_S: Final = 600.0
"""How long it takes until what was observed counts half."""

FORGET_S: Final = 3600.0
MAX_FLOWS: Final = 100_000
"""Of one site. Flows beyond are refused and counted."""

FlowKey = tuple[int, int, int]
"""(source, destination, index into `common.messages.FLOW_CLASSES`)."""


@dataclass(slots=True)
class Average:
    """A faded mean with its spread. `weight` is how much went in, `squares` the sum of squared weights."""

    weight: float = 0.0
    squares: float = 0.0
    total: float = 0.0
    total_squares: float = 0.0

    def fade(self, factor: float) -> None:
        """Let the past count less."""
        self.weight *= factor
        self.squares *= factor * factor
        self.total *= factor
        self.total_squares *= factor

    def add(self, value: float, weight: float) -> None:
        """Take in a mean over `weight` observations."""
        self.weight += weight
        self.squares += weight * weight
        self.total += weight * value
        self.total_squares += weight * value * value

    @property
    def mean(self) -> float | None:
        """None when nothing was observed."""
        return self.total / self.weight if self.weight > 1e-9 else None

    @property
    def standard_error(self) -> float:
        """Of the mean, from the spread of what came in; 0 for a single observation."""
        if self.weight <= 1e-9:
            return 0.0
        mean = self.total / self.weight
        variance = max(0.0, self.total_squares / self.weight - mean * mean)
        return sqrt(variance * self.squares) / self.weight


@dataclass(slots=True)
class FlowRecord:
    """One flow as one gateway saw it. Counts are faded; `since` and `seen_at` are Unix times."""

    since: float
    seen_at: float
    rows: int = 0
    messages: float = 0.0
    bytes: float = 0.0
    requests: float = 0.0
    answers: float = 0.0
    hops: Average | None = None
    round_trip_ms: Average | None = None

    def rate(self, count: float, t: float) -> float:
        """Events per second behind a faded count."""
        life = HALF_LIFE_S / log(2.0)
        # A flow's first row tells of the time before it, too: as long as it is between two rows.
        before = (self.seen_at - self.since) / (self.rows - 1) if self.rows > 1 else 5.0
        watched = max(5.0, t - self.since + before)
        kept = count * 2.0 ** (-max(0.0, t - self.seen_at) / HALF_LIFE_S)
        return float(kept / (life * (1.0 - 2.0 ** (-watched / HALF_LIFE_S))))

    def take(self, t: float, row: dict[str, float]) -> None:
        """Count one row of a flows table."""
        fade = 2.0 ** (-max(0.0, t - self.seen_at) / HALF_LIFE_S)
        self.seen_at = max(t, self.seen_at)
        self.rows += 1
        self.messages = self.messages * fade + row["messages"]
        self.bytes = self.bytes * fade + row["bytes"]
        self.requests = self.requests * fade + row["requests"]
        self.answers = self.answers * fade + min(row["answers"], row["requests"])
        self.hops = _add(self.hops, fade, row["hops"], row["messages"])
        self.round_trip_ms = _add(self.round_trip_ms, fade, row["round_trip_ms"], row["answers"])


class FlowLedger:
    """Every flow that the gateways of a site told of."""

    def __init__(self) -> None:
        self._flows: dict[tuple[str, FlowKey], FlowRecord] = {}
        self.refused = 0

    def __len__(self) -> int:
        return len(self._flows)

    def take(self, gateway: str, table: dict[str, NDArray[Any]]) -> None:
        """Count the rows of a flows table in order of time. Absent columns count as nothing observed."""
        columns = {name: _values(table, name) for name in _METRICS}
        keys = zip(
            table["source"].tolist(), table["destination"].tolist(), table["flow_class"].tolist(), strict=True
        )
        for row, (t, key) in enumerate(zip(table["t"].tolist(), keys, strict=True)):
            values = {name: _clean(name, column[row], limit) for name, column, limit in _limited(columns)}
            record = self._record((gateway, key), t)
            if record is not None:
                record.take(t, values)

    def items(self, t: float) -> Iterator[tuple[str, FlowKey, FlowRecord]]:
        """(gateway, flow, record) of each flow that was seen lately."""
        for (gateway, key), record in self._flows.items():
            if t - record.seen_at <= FORGET_S:
                yield gateway, key, record

    def _record(self, place: tuple[str, FlowKey], t: float) -> FlowRecord | None:
        record = self._flows.get(place)
        if record is None:
            if len(self._flows) >= MAX_FLOWS:
                self.refused += 1
                return None
            record = self._flows[place] = FlowRecord(since=t, seen_at=t)
        return record


_METRICS: Final = {
    "messages": 1e6,
    "bytes": 1e9,
    "requests": 1e6,
    "answers": 1e6,
    "hops": 127.0,
    "round_trip_ms": 600_000.0,
}
"""What is read of a flow's row, and the most that can be meant."""

_MEANS: Final = frozenset({"hops", "round_trip_ms"})


def _limited(columns: dict[str, list[float]]) -> Iterator[tuple[str, list[float], float]]:
    return ((name, columns[name], limit) for name, limit in _METRICS.items())


def _values(table: dict[str, NDArray[Any]], name: str) -> list[float]:
    found: list[float] = table[name].tolist() if name in table else [float("nan")] * len(table["t"])
    return found


def _clean(name: str, value: float, limit: float) -> float:
    """A count that is none is 0, a mean that is none NaN."""
    if isfinite(value) and 0.0 <= value <= limit:
        return value
    return float("nan") if name in _MEANS else 0.0


def _add(average: Average | None, fade: float, value: float, weight: float) -> Average | None:
    if average is not None:
        average.fade(fade)
    if not (isfinite(value) and weight > 0):
        return average
    average = average or Average()
    average.add(value, weight)
    return average
