"""The agent's pace of monitoring: what it measures of its links, and what it tells the nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest

from common.clock import ManualClock
from common.mesh.configuration import NodeConfiguration, Transmit
from common.mesh.graph import heard_once
from edge_agent.act.monitoring import CHECK_S, RECONSIDER_S, Monitoring
from edge_agent.config import MonitoringSection
from edge_agent.observe.links import LinkBook
from edge_agent.observe.site import SiteView
from edge_agent.observe.variability import surroundings, variability
from firmware_bridge.access.link_monitor import MONITOR_PROBES, MonitorSet
from firmware_bridge.access.message import build
from firmware_bridge.link import LinkUp, MeshLink, NeighbourCount, NeighbourReport, NodeStatus

GATEWAY, PROBES, WINDOW_S = 1, 10, 10.0


def told(links: int, drift: float, transmissions: int = 2, seed: int = 3, windows: int = 8) -> LinkBook:
    """Links whose PDR starts between 0.3 and 0.7 and wanders by `drift` (deviation) a window."""
    random, book = Random(seed), LinkBook()
    for number in range(links):
        pdr = random.uniform(0.3, 0.7)
        for window in range(windows):
            heard = sum(random.random() < heard_once(pdr, transmissions) for _ in range(PROBES))
            row = NeighbourCount(100 + number, heard, PROBES, transmissions)
            book.report(NeighbourReport(window * WINDOW_S, 2, (row,)), 0.5)
            pdr = min(0.9, max(0.1, pdr + random.gauss(0.0, drift)))
    return book


@pytest.mark.parametrize("transmissions", [1, 2])
def test_drift_is_told_from_the_scatter_of_counts(transmissions: int) -> None:
    still = variability(told(300, 0.0, transmissions))
    moving = variability(told(300, 0.05, transmissions))
    assert still is not None
    assert moving is not None
    assert still.drift_per_s < 5e-5
    assert moving.drift_per_s == pytest.approx(0.05**2 / WINDOW_S, rel=0.5)
    assert still.share > 0.9


def test_links_that_are_always_heard_do_not_vary() -> None:
    book = told(100, 0.0)
    for window in range(8):
        rows = tuple(NeighbourCount(500 + number, PROBES, PROBES, 2) for number in range(100))
        book.report(NeighbourReport(window * WINDOW_S, 3, rows), 0.5)
    found = variability(book)
    assert found is not None
    assert 0.4 < found.share < 0.6


def test_few_windows_tell_nothing_of_how_links_vary() -> None:
    assert variability(told(300, 0.0, windows=2)) is None
    assert variability(told(5, 0.0)) is None
    assert variability(LinkBook()) is None


def site(nodes: int, windows: int = 8) -> SiteView:
    """Everybody hears everybody else half of the time; every third node relays."""
    view, random = SiteView(GATEWAY, None, 0.0), Random(5)
    view.apply(LinkUp(0.0, GATEWAY))
    for address in range(GATEWAY, GATEWAY + nodes):
        relay = address % 3 == 0
        state = NodeConfiguration(address, relay, default_ttl=7, relay_retransmit=Transmit(2, 20))
        view.apply(NodeStatus(0.0, state))
    for window in range(windows):
        for receiver in range(GATEWAY, GATEWAY + nodes):
            heard = {a: sum(random.random() < 0.75 for _ in range(PROBES)) for a in range(1, 1 + nodes)}
            rows = [NeighbourCount(a, h, PROBES, 2, None) for a, h in heard.items() if a != receiver]
            view.apply(NeighbourReport(window * WINDOW_S, receiver, tuple(rows)))
    return view


def test_the_surroundings_are_counted_from_what_nodes_told() -> None:
    found = surroundings(site(9))
    assert (found.nodes, found.neighbours, found.entries) == (9, 8.0, 2)
    # Three relays, of which a node hears 2.7 others', twice each, every other time.
    assert found.copies == pytest.approx(1.0 + 2 * 3 * 8 / 9 * 0.5, rel=0.1)
    assert found.relay_rate == 25.0
    assert surroundings(SiteView(GATEWAY, None, 0.0)).relay_rate == float("inf")


class Air:
    """The one method of a link that setting the pace needs."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, destination: int, payload: bytes) -> None:
        assert destination == MONITOR_PROBES
        self.sent.append(payload)


async def played(
    view: SiteView, seconds: float, may_set: Callable[[], bool] = lambda: True, **settings: Any
) -> tuple[Monitoring, list[bytes]]:
    air, clock = Air(), ManualClock()
    section = MonitoringSection(**settings)
    monitoring = Monitoring(cast(MeshLink, air), view, section, clock, may_set)
    task = asyncio.ensure_future(monitoring.run())
    await clock.advance(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return monitoring, air.sent


def told_to_nodes(period_s: float, report_every: int = 10) -> bytes:
    return build(MonitorSet(round(period_s * 10), report_every, 2))


async def test_by_default_the_period_is_kept_even_when_another_would_cost_less() -> None:
    monitoring, sent = await played(site(14), 600.0)
    assert monitoring.period_s == 1.0
    assert {payload[3] for payload in sent} == {10}
    assert monitoring.pace.report_every >= 10


async def test_a_site_is_learnt_at_the_wanted_pace_and_then_watched_on_the_knee() -> None:
    view = site(30)
    monitoring, sent = await played(view, 60.0 + 2 * RECONSIDER_S, longest_probe_period_s=25.5)
    assert sent[0][3] == 10
    assert monitoring.period_s > 1.5
    assert sent[-1] == told_to_nodes(monitoring.period_s, monitoring.pace.report_every)
    assert view.window_s == pytest.approx(1.2 * monitoring.pace.window_s)


async def test_the_nodes_are_told_three_times_and_then_once_a_minute() -> None:
    _, sent = await played(site(4), 4 * CHECK_S)
    assert len(sent) == 3
    _, later = await played(site(4), 4 * CHECK_S + 120.0)
    assert len(later) == 5


async def test_a_gateway_that_does_not_act_knows_the_pace_and_tells_nobody() -> None:
    monitoring, sent = await played(site(30), 200.0, may_set=lambda: False, longest_probe_period_s=25.5)
    assert not sent
    assert monitoring.period_s > 1.5
