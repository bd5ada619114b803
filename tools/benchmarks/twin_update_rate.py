"""The twin's error against the probing period and the air it takes, and the period an agent settles at."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.mesh.configuration import NodeConfiguration
from common.policy.monitoring import ENTRIES, LONGEST_S, Pace, Surroundings, Variability, Wish, cost, settled
from coordinator.twin.mirror_links import LinkLedger
from edge_agent.act.monitoring import followed
from edge_agent.observe.site import SiteView
from edge_agent.observe.variability import surroundings, variability
from firmware_bridge.link import LinkUp, NeighbourCount, NeighbourReport, NodeStatus
from tools.benchmarks.twin_update_air import (
    GATEWAY,
    LEAST_PDR,
    SEGMENT_S,
    TRANSMIT,
    DriftingSite,
    Probes,
    Reports,
)

PERIODS_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 25.5)
SIZES: Final = (14, 60)
SPREAD: Final = 0.8
"""A report goes out at a random moment of this share of the next window."""

ONCE_S: Final = 60.0
"""How often the agent thinks its pace over."""

BUDGET_PER_S: Final = 100.0
FIRST: Final = Pace(1.0, 10)


class Watched:
    """A site's monitoring from the air to agent and twin: nodes count, reports travel, both estimate."""

    def __init__(self, site: DriftingSite, pace: Pace, seed: int) -> None:
        self.site = site
        self.view = SiteView(GATEWAY, None, 0.0)
        self.twin = LinkLedger()
        self.now = 0.0
        self._random = np.random.default_rng((seed, 5))
        self._ever: set[tuple[int, int]] = set()
        self._on_their_way: list[NeighbourReport] = []
        self.view.apply(LinkUp(0.0, GATEWAY))
        for address in site.addresses:
            state = NodeConfiguration(address, address in site.relays, relay_retransmit=TRANSMIT)
            self.view.apply(NodeStatus(0.0, state))
        self.set(pace)

    def set(self, pace: Pace) -> None:
        """Another pace from now on; windows begin anew."""
        self.pace = pace
        self.reports: Reports = self.site.reports(pace)
        self._phase = self.now - pace.window_s * self._random.random(len(self.site.addresses))
        self._counts: dict[tuple[int, int], dict[int, list[int]]] = {}

    def segment(self) -> None:
        """Let a segment pass, and take in what arrives in it."""
        self.site.pass_time()
        self._count(self.site.probes(self.pace, self.reports))
        self.now += SEGMENT_S
        self._report()
        self._arrive()

    def error(self) -> float:
        """Mean absolute error of the twin's PDRs now, over links that are there or believed in."""
        truth = self.site.truth()
        believed = np.zeros_like(truth)
        for (a, b), row in self.twin.rows(self.now).items():
            believed[a - GATEWAY, b - GATEWAY] = row.belief().pdr
        counts = np.maximum(truth, believed) > LEAST_PDR
        return float(np.abs(truth - believed)[counts].mean())

    def _count(self, probes: Probes) -> None:
        """Nodes count by window: what they heard, and what they expected of whom they ever heard."""
        window = np.floor((self.now + probes.time - self._phase[probes.receiver]) / self.pace.window_s)
        size = len(self.site.addresses)
        key = (window.astype(np.int64) * size + probes.receiver) * size + probes.transmitter
        keys, where = np.unique(key, return_inverse=True)
        expected = np.bincount(where)
        heard = np.bincount(where, weights=probes.heard).astype(int)
        for packed, n, h in zip(keys.tolist(), expected.tolist(), heard.tolist(), strict=True):
            rest, transmitter = divmod(packed, size)
            number, receiver = divmod(rest, size)
            if h:
                self._ever.add((transmitter, receiver))
            if (transmitter, receiver) in self._ever:
                count = self._counts.setdefault((number, receiver), {}).setdefault(transmitter, [0, 0])
                count[0] += h
                count[1] += n

    def _report(self) -> None:
        """Windows that ended go out, spread over the next, and arrive or do not."""
        for number, receiver in sorted(self._counts):
            end = self._phase[receiver] + (number + 1) * self.pace.window_s
            if end > self.now:
                continue
            rows = sorted(self._counts.pop((number, receiver)).items())
            for first in range(0, len(rows), ENTRIES):
                if self._random.random() < self.reports.delivery[receiver]:
                    told = tuple(_row(*row) for row in rows[first : first + ENTRIES])
                    late = end + SPREAD * self.pace.window_s * self._random.random()
                    self._on_their_way.append(NeighbourReport(late, receiver + GATEWAY, told))

    def _arrive(self) -> None:
        here = sorted((r for r in self._on_their_way if r.t <= self.now), key=lambda report: report.t)
        self._on_their_way = [report for report in self._on_their_way if report.t > self.now]
        for report in here:
            self.view.apply(report)
        if here:
            self.twin.take("gw-1", _table(here))


def _row(transmitter: int, counts: list[int]) -> NeighbourCount:
    return NeighbourCount(transmitter + GATEWAY, counts[0], counts[1], TRANSMIT.count)


def _table(reports: list[NeighbourReport]) -> dict[str, NDArray[Any]]:
    """The columns that an agent stores."""
    rows = [(r.t, n.transmitter, r.receiver, n.heard, n.expected) for r in reports for n in r.neighbours]
    columns = np.array(rows, dtype=np.float64).T
    names = ("t", "transmitter", "receiver", "heard", "expected")
    table: dict[str, NDArray[Any]] = dict(zip(names, columns, strict=True))
    table["transmissions"] = np.full(len(rows), TRANSMIT.count)
    return table


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("twin-update-rate")
    group.add_argument("--drift-db", type=float, default=2.0, help="deviation of a link's signal (2)")
    group.add_argument("--drift-s", type=float, default=1800.0, help="seconds until it forgets (1800)")
    group.add_argument("--minutes", type=float, default=30.0, help="simulated time of each period (30)")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH, by size of the site."""
    return await asyncio.to_thread(_figures, options)


def _figures(options: argparse.Namespace) -> dict[str, Any]:
    return {f"nodes_{nodes}": _size(nodes, options) for nodes in SIZES}


def _size(nodes: int, options: argparse.Namespace) -> dict[str, Any]:
    minutes = min(10.0, options.minutes) if options.quick else options.minutes
    wish = Wish(min(PERIODS_S), LONGEST_S, FIRST.report_every, TRANSMIT.count, BUDGET_PER_S)

    def site() -> DriftingSite:
        return DriftingSite(nodes, options.drift_db, options.drift_s, options.seed)

    agent = _agent(site(), wish, minutes, options.seed)
    pace = Pace(**agent["settles_at"])
    swept = [Pace(period, pace.report_every) for period in PERIODS_S]
    rows = [_period(site(), each, minutes, options.seed) for each in swept]
    best = min(rows, key=lambda row: float(row["pdr_error"]))
    at_knee = _period(site(), pace, minutes, options.seed)
    return {"periods": rows, "knee_period_s": best["period_s"], "agent": agent | {"found_there": at_knee}}


def _agent(site: DriftingSite, wish: Wish, minutes: float, seed: int) -> dict[str, Any]:
    """Where the agent's own choice goes when it begins at a probe a second."""
    watched = Watched(site, FIRST, seed)
    varies, paces = Variability(), [FIRST]
    for _ in range(int(minutes * 60.0 / ONCE_S)):
        for _ in range(int(ONCE_S / SEGMENT_S)):
            watched.segment()
        varies = followed(varies, variability(watched.view.links))
        varies = replace(varies, watched_s=watched.now)
        pace = settled(watched.pace, surroundings(watched.view), varies, wish)
        if pace != watched.pace:
            watched.set(pace)
            paces.append(pace)
    found: Surroundings = surroundings(watched.view)
    return {
        "settles_at": {"period_s": watched.pace.period_s, "report_every": watched.pace.report_every},
        "changes": len(paces) - 1,
        "neighbours": round(found.neighbours, 1),
        "drift_per_s": float(f"{varies.drift_per_s:.2g}"),
        "noise": round(varies.noise, 3),
        "links_that_vary": round(varies.share, 2),
        "error_foreseen": round(cost(watched.pace, found, varies, TRANSMIT.count), 4),
    }


def _period(site: DriftingSite, pace: Pace, minutes: float, seed: int) -> dict[str, Any]:
    """One pace kept, judged over the last two thirds of the time."""
    watched = Watched(site, pace, seed)
    warm_s = max(2.0 * pace.window_s, minutes * 20.0)
    errors: list[float] = []
    while watched.now < warm_s + minutes * 40.0:
        watched.segment()
        if watched.now > warm_s:
            errors.append(watched.error())
    heard = site.heard_share(pace, watched.reports)
    return {
        "period_s": pace.period_s,
        "pdr_error": round(float(np.mean(errors)), 4),
        "channel_share_percent": round(100.0 * heard, 2),
        "site_air_percent": round(100.0 * site.sent_share(pace, watched.reports), 1),
        "reports_delivered": round(float(watched.reports.delivery[1:].mean()), 3),
    }
