"""A sweep: the same question for every combination of some values, and what each of them comes to. Pure.

Combinations do not depend on each other; whoever asks may ask for several at once. Loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from typing import Any, Final

from common.errors import Rejected, RejectReason
from common.mesh.configuration import Transmit
from coordinator.twin.site_model import SiteConfiguration, SiteModel
from coordinator.twin.whatif_change import Change
from coordinator.twin.whatif_effect import Method

MOST: Final = 400
"""Combinations of one sweep."""

FINALISTS: Final = 12
"""Settings that are asked about again, where only others were simulated."""

WORTH: Final = 0.001
"""Deliveries that differ by less are alike, and the cheaper one is better."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One combination; None stands for what the site has. `load`: everything is sent so often."""

    ttl: int | None = None
    transmit: Transmit | None = None
    retransmit: Transmit | None = None
    load: float = 1.0

    def asked(self) -> dict[str, Any]:
        """In the words of the API's what-if."""
        return {
            "ttl": self.ttl,
            "network_transmit": self.transmit and (self.transmit.count, self.transmit.interval_ms),
            "relay_retransmit": self.retransmit and (self.retransmit.count, self.retransmit.interval_ms),
            "load": self.load,
        }

    def change(self, present: SiteConfiguration, *, times: bool) -> Change:
        """As a change of a site that has the configuration `present`."""
        wanted = SiteConfiguration(
            present.relays,
            self.ttl or present.ttl,
            self.transmit or present.network_transmit,
            self.retransmit or present.relay_retransmit,
        )
        return Change(
            configuration=wanted if wanted != present else None, load=self.load, latency_matters=times
        )


@dataclass(frozen=True, slots=True)
class Row:
    """What a setting comes to. `delivery` is the mean over flows, `low` the lower end of the worst flow's
    90 % interval; `p95_ms` the longest of the flows' 95th percentiles, where times were asked for.
    `occupancy` is the share of channel time around a typical node."""

    setting: Setting
    delivery: float
    worst: float
    low: float
    worse: int
    better: int
    undecided: int
    occupancy: float
    p95_ms: float | None
    method: str

    @property
    def simulated(self) -> bool:
        """Whether the event simulator told, which knows of collisions; the other models' figures are higher
        where there are any, and compare among themselves only."""
        return self.method == Method.SIMULATION

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def settings(
    ttls: Sequence[int] = (),
    transmits: Sequence[Transmit] = (),
    retransmits: Sequence[Transmit] = (),
    loads: Sequence[float] = (),
) -> list[Setting]:
    """Every combination; what has no values stays as it is. Raises Rejected for none, or too many."""
    sizes = [len(values) for values in (ttls, transmits, retransmits, loads) if values]
    if not sizes:
        raise Rejected(RejectReason.INVALID, "a sweep needs values: --ttl 3-8, --transmit 1-4, --load 1,2,4")
    if prod(sizes) > MOST:
        raise Rejected(RejectReason.OVERSIZED, f"{prod(sizes)} combinations; at most {MOST} are possible")
    given = (ttls or (None,), transmits or (None,), retransmits or (None,), loads or (1.0,))
    return [Setting(*values) for values in product(*given)]


def row(setting: Setting, effects: Mapping[str, Any]) -> Row:
    """What the effects of a setting (the API's answer to a what-if) come to."""
    flows = [flow for flow in effects["flows"] if flow["effect"] != "ended"]
    after = [flow["after"] for flow in flows]
    late = [flow["latency_after_ms"][1] for flow in flows if flow["latency_after_ms"] is not None]

    def count(effect: str) -> int:
        return sum(flow["effect"] == effect for flow in effects["flows"])

    return Row(
        setting=setting,
        delivery=sum(one["mean"] for one in after) / len(after) if after else 1.0,
        worst=min((one["mean"] for one in after), default=1.0),
        low=min((one["low"] for one in after), default=1.0),
        worse=count("worse"),
        better=count("better"),
        undecided=count("undecided"),
        occupancy=effects["occupancy"],
        p95_ms=max(late, default=None),
        method=effects["method"],
    )


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The simulated ones, then the others; of either the best first: delivery, and among those alike the one
    that takes less of the channel."""
    return sorted(rows, key=lambda one: (not one.simulated, -round(one.delivery / WORTH), one.occupancy))


def finalists(rows: Sequence[Row]) -> list[Setting]:
    """The settings to ask about again with the simulation, so that they can be ranked with those that were
    simulated at once: the best of the others. None where one model told all."""
    if not any(one.simulated for one in rows):
        return []
    return [one.setting for one in ranked(rows) if not one.simulated][:FINALISTS]


def effects_of(model: SiteModel, setting: Setting, times: bool, seed: int) -> dict[str, Any]:
    """What the API would answer for a model, in whatever process. Raises Rejected."""
    from coordinator.twin.whatif import whatif

    return asdict(whatif(model, setting.change(model.configuration, times=times), seed=seed))


def numbers(text: str, low: int, high: int, what: str) -> list[int]:
    """`3-8`, `3,5,7` or both. Raises Rejected for what is none, or not within `low` to `high`."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(part) > 20:
            raise Rejected(RejectReason.MALFORMED, f"{what} {text[:40]!r}: write it like 3-8 or 3,5,7")
        begin, end = int(first), int(last) if dash else int(first)
        if begin > end:
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"{what} {part[:20]} ends before it begins: write it like 3-8"
            )
        if not low <= begin <= end <= high:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{what} {part[:20]}: {low} to {high} is possible")
        found.extend(range(begin, end + 1))
    return list(dict.fromkeys(found))


def transmits(text: str, what: str) -> list[Transmit]:
    """`1-4` (20 ms apart) or `1x20,3x40`. Raises Rejected."""
    return list(dict.fromkeys(one for part in text.split(",") for one in _transmit(part.strip(), what)))


def loads(text: str) -> list[float]:
    """`1,2,4.5`. Raises Rejected."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise Rejected(RejectReason.MALFORMED, f"--load {text[:40]!r}: write it like 1,2,4.5") from error
    if not all(0.001 <= load <= 1000.0 for load in found):
        raise Rejected(RejectReason.OUT_OF_RANGE, f"--load {text[:40]}: 0.001 to 1000 is possible")
    return list(dict.fromkeys(found))


def _transmit(part: str, what: str) -> Iterator[Transmit]:
    count, times, interval = part.partition("x")
    between = numbers(interval, 10, 320, what)[0] if times else 20
    if between % 10:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"{what} {part[:20]}: an interval is a multiple of 10 ms")
    for number in numbers(count, 1, 8, what):
        yield Transmit(number, between)
