"""The virtual link beyond the contract of mesh links: clocks, two gateways on one site, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar

import pytest
import pytest_asyncio

from common.clock import ManualClock
from common.errors import Misconfigured, Unavailable
from common.logs import LineFormatter
from common.mesh.configuration import ConfigurationChange, Transmit
from edge_agent.supervisor import PartFailed, Supervisor
from firmware_bridge.access.generic_onoff import OnOffSet, OnOffStatus
from firmware_bridge.access.link_monitor import MonitorGet, MonitorSet, MonitorStatus
from firmware_bridge.access.message import build
from firmware_bridge.link import Event, LinkDown, LostNeighbour, NeighbourReport
from firmware_bridge.virtual import SiteFailed, VirtualLink, VirtualSite, virtual_site

T = TypeVar("T")


def ring(size: int, pdr: float = 1.0) -> dict[tuple[int, int], float]:
    """Links both ways around a ring of nodes 1 to `size`."""
    pairs = [(node, node % size + 1) for node in range(1, size + 1)]
    return {key: pdr for a, b in pairs for key in ((a, b), (b, a))}


async def passing(clock: ManualClock, what: Awaitable[T]) -> T:
    """Let time pass until `what` is done."""
    task = asyncio.ensure_future(what)
    while not task.done():
        await clock.advance(0.01)
    return task.result()


class Two:
    """Two gateways, 1 and 4, on a ring of six."""

    def __init__(self) -> None:
        self.clock = ManualClock(monotonic=1000.0)
        self.site = VirtualSite(
            ring(6), relays=[2, 3, 4, 5, 6], gateways=[1, 4], monitor=MonitorStatus(5, 4, 2)
        )
        self.first = VirtualLink(self.site, 1, self.clock)
        self.second = VirtualLink(self.site, 4, self.clock)


@pytest_asyncio.fixture
async def two() -> AsyncIterator[Two]:
    both = Two()
    await both.first.open()
    await both.clock.advance(7.0)
    await both.second.open()
    yield both
    await both.first.close()
    await both.second.close()


def so_far(link: VirtualLink) -> list[Event]:
    """Events that nobody consumed yet."""
    return list(link._queue._events)


async def read(link: VirtualLink) -> None:
    """Take events until there are no more."""
    async for _ in link.events():
        pass


async def test_both_gateways_hear_of_a_death_at_the_same_time_on_one_clock(two: Two) -> None:
    await two.clock.advance(30.0)
    two.site.down(2)
    died = two.clock.monotonic()
    await two.clock.advance(3.0)
    told = [
        {(e.receiver, round(e.t - died, 1)) for e in so_far(link) if isinstance(e, LostNeighbour)}
        for link in (two.first, two.second)
    ]
    assert {receiver for receiver, _ in told[0]} == {receiver for receiver, _ in told[1]} == {1, 3}
    assert all(0.4 < t < 1.8 for one in told for _, t in one)


async def test_events_are_stamped_with_the_clock(two: Two) -> None:
    await two.clock.advance(20.0)
    for link in (two.first, two.second):
        stamps = [event.t for event in so_far(link) if isinstance(event, NeighbourReport)]
        assert stamps == sorted(stamps)
        assert 1000.0 <= stamps[0] <= stamps[-1] <= two.clock.monotonic()


async def test_a_relay_is_not_switched_from_memory(two: Two) -> None:
    off, on = ConfigurationChange(relay=False), ConfigurationChange(relay=True)
    await passing(two.clock, two.first.configure(3, off))
    await passing(two.clock, two.second.configure(3, on))
    change = ConfigurationChange(relay_retransmit=Transmit(4, 10))
    assert (await passing(two.clock, two.first.configure(3, change))).relay
    assert two.site.nodes[3].relay


async def test_one_gateway_goes_on_when_the_other_closes(two: Two) -> None:
    await two.first.close()
    answer = await passing(
        two.clock, two.second.request(2, build(OnOffSet(True, 1)), OnOffStatus.OPCODE, 2.0)
    )
    assert answer == build(OnOffStatus(True))
    seen = len([e for e in so_far(two.second) if isinstance(e, LostNeighbour)])
    await two.clock.advance(5.0)
    # It took its leave: nobody missed it.
    assert len([e for e in so_far(two.second) if isinstance(e, LostNeighbour)]) == seen


async def test_it_opens_again_after_a_close_without_living_through_the_time_between(two: Two) -> None:
    await two.first.close()
    await two.second.close()
    before = two.site.now
    await two.clock.advance(86_400.0)
    await two.first.open()
    assert await passing(two.clock, two.first.configure(2, ConfigurationChange()))
    assert two.site.now - before < 10.0


async def test_monitoring_is_adapted_over_the_air(two: Two) -> None:
    for request in (MonitorSet(20, 7, 3), MonitorGet()):
        answer = await passing(two.clock, two.first.request(2, build(request), MonitorStatus.OPCODE, 2.0))
        assert answer == build(MonitorStatus(20, 7, 3))


async def test_an_address_that_is_no_node_is_a_misconfiguration() -> None:
    with pytest.raises(Misconfigured, match="0x0009"):
        await VirtualLink(VirtualSite(ring(3)), 9).open()


async def test_a_gateway_without_power_is_unavailable() -> None:
    site = VirtualSite(ring(3))
    site.down(1)
    with pytest.raises(Unavailable):
        await VirtualLink(site, 1).open()


async def test_a_broken_simulation_ends_the_events_of_every_gateway_with_its_name(two: Two) -> None:
    two.site.after(1.0, lambda: 1 // 0)
    await two.clock.advance(2.0)
    for link in (two.first, two.second):
        last = so_far(link)[-1]
        assert isinstance(last, LinkDown)
        assert "ZeroDivisionError" in last.reason
        with pytest.raises(SiteFailed, match=r"failed at 8.* s: ZeroDivisionError") as failed:
            await read(link)
        assert isinstance(failed.value.__cause__, ZeroDivisionError)
        assert [event async for event in link.events()] == []
        with pytest.raises(Unavailable):
            await link.configure(2, ConfigurationChange())


async def test_a_question_that_finds_the_simulation_broken_is_refused_and_no_bug_of_the_asker() -> None:
    clock = ManualClock()
    site = VirtualSite(ring(3))
    link = VirtualLink(site, 1, clock, quantum_s=0.5)
    await link.open()
    await clock.advance(0.1)
    site.after(0.1, lambda: 1 // 0)
    await clock.advance(0.3)  # the driver sleeps still
    with pytest.raises(SiteFailed):
        await link.send(2, build(OnOffSet(True, 1)))
    await link.close()
    with pytest.raises(SiteFailed, match="make it anew"):
        await link.open()


async def test_a_broken_simulation_ends_the_agent_which_says_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    site = VirtualSite(ring(3))
    link = VirtualLink(site, 1, clock)
    await link.open()

    supervisor = Supervisor(clock)
    supervisor.essential("mesh", lambda: read(link))
    site.after(1.0, lambda: 1 // 0)
    with pytest.raises(PartFailed, match="mesh failed: the simulated site failed"):
        await passing(clock, supervisor.run())
    [record] = caplog.records
    assert record.getMessage() == "part-failed"
    assert "ZeroDivisionError" in LineFormatter().format(record)
    await link.close()


async def test_an_hour_passes_in_a_moment_on_a_manual_clock() -> None:
    clock = ManualClock()
    site = VirtualSite(ring(5), relays=[2, 3, 4, 5])
    link = VirtualLink(site, 1, clock, quantum_s=0.5, queue_limit=100)
    await link.open()
    await clock.advance(3600.0)
    assert 3599.0 <= site.now <= 3601.0
    assert len(so_far(link)) == 100
    assert link.dropped_events > 500
    await link.close()


async def test_it_runs_by_the_machines_clock() -> None:
    link = VirtualLink(virtual_site(12, 1), 1)
    await link.open()
    for node in (2, 12):
        answer = await link.request(node, build(OnOffSet(True, 1)), OnOffStatus.OPCODE, 30.0)
        assert answer == build(OnOffStatus(True))
    await link.close()
