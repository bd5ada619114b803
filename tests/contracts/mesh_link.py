"""The contract of `MeshLink`, held by every implementation.

A test module of an implementation derives from `MeshLinkContract` and gives the fixture `mesh`, a network
of at least four nodes: the gateway, a node nearby, one that is reached through relays only, one to spare.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from common.errors import NotSupported, Rejected, RejectReason, TimedOut, Unavailable
from common.mesh.configuration import ConfigurationChange, NodeConfiguration, Transmit
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffSet, OnOffSetUnacknowledged, OnOffStatus
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.access.opcodes import split
from firmware_bridge.link import Event, LinkDown, LinkUp, LostNeighbour, MeshLink, NeighbourReport, NodeStatus

T = TypeVar("T")
E = TypeVar("E")

PATIENCE_S = 30.0
READ = ConfigurationChange()


class Mesh(ABC):
    """A network under test. `link` is not open yet; all other nodes run.

    `far` needs relays. `unmonitored` has no link monitor and `without_relay` cannot relay, where the
    network has such nodes. OnOff servers of `near` and `far` are subscribed to `group`.
    """

    link: MeshLink
    gateway: int
    near: int
    far: int
    group: int | None = None
    unmonitored: int | None = None
    without_relay: int | None = None

    @abstractmethod
    async def kill(self, address: int) -> None:
        """A node loses power at once."""

    @abstractmethod
    async def revive(self, address: int) -> None:
        """A killed node starts again with its keys and configuration."""

    @abstractmethod
    async def cut(self) -> None:
        """The gateway loses its network: the daemon dies, or the gateway's node."""

    @abstractmethod
    async def mend(self) -> None:
        """What `cut` took comes back."""

    @abstractmethod
    async def within(self, seconds: float, what: Awaitable[T]) -> T:
        """Let time pass until `what` is done, at most `seconds`; then the test has failed."""


class Recorder:
    """Consumes a link's events and keeps them."""

    def __init__(self, link: MeshLink) -> None:
        self.events: list[Event] = []
        self.ended = False
        self._link = link
        self._came = asyncio.Event()

    async def run(self) -> None:
        """Record until the link is closed."""
        async for event in self._link.events():
            self.events.append(event)
            self._came.set()
        self.ended = True
        self._came.set()

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Return as soon as the condition holds; it is looked at after each event."""
        while not condition():
            self._came.clear()
            await self._came.wait()


class MeshLinkContract:
    """Derive, name the class `Test…`, and give the fixture `mesh`."""

    @pytest_asyncio.fixture
    async def recorder(self, mesh: Mesh) -> AsyncIterator[Recorder]:
        """The events of `mesh.link`, which is open."""
        recorder = Recorder(mesh.link)
        await mesh.within(PATIENCE_S, mesh.link.open())
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            yield recorder
            await mesh.link.close()

    # Opening and closing

    async def test_it_tells_that_it_is_up_and_its_own_address(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.within(PATIENCE_S, recorder.until(lambda: recorder.events))
        first = recorder.events[0]
        assert isinstance(first, LinkUp)
        assert first.address == mesh.gateway

    async def test_opening_twice_changes_nothing(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.within(PATIENCE_S, mesh.link.open())
        await self.read(mesh, mesh.near)
        assert len(recorder.of(LinkUp)) == 1

    async def test_events_end_after_close_which_may_come_twice(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.within(PATIENCE_S, mesh.link.close())
        await mesh.within(PATIENCE_S, recorder.until(lambda: recorder.ended))
        await mesh.within(PATIENCE_S, mesh.link.close())

    async def test_a_link_that_never_opened_can_be_closed(self, mesh: Mesh) -> None:
        await mesh.within(PATIENCE_S, mesh.link.close())

    async def test_before_it_opens_it_is_unavailable(self, mesh: Mesh) -> None:
        await self.expect_unavailable(mesh)
        await mesh.link.close()

    async def test_after_close_it_is_unavailable(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.within(PATIENCE_S, mesh.link.close())
        await self.expect_unavailable(mesh)

    # Configuration

    async def test_an_empty_change_reads_all(self, mesh: Mesh, recorder: Recorder) -> None:
        for address in (mesh.gateway, mesh.near, mesh.far):
            found = await self.read(mesh, address)
            assert found.address == address
            assert None not in (
                found.relay,
                found.default_ttl,
                found.network_transmit,
                found.relay_retransmit,
            )

    @pytest.mark.parametrize("node", ["gateway", "near", "far"])
    async def test_a_change_touches_what_it_names(self, mesh: Mesh, recorder: Recorder, node: str) -> None:
        address = getattr(mesh, node)
        before = await self.read(mesh, address)
        wanted = ConfigurationChange(default_ttl=11, network_transmit=Transmit(3, 30))
        if before.relay_supported:  # a gateway of our own stack does not relay
            wanted = replace(wanted, relay=not before.relay, relay_retransmit=Transmit(4, 40))
        stated = await self.configure(mesh, address, wanted)
        assert (stated.default_ttl, stated.network_transmit) == (11, Transmit(3, 30))
        if before.relay_supported:
            assert (stated.relay, stated.relay_retransmit) == (not before.relay, Transmit(4, 40))
        assert await self.read(mesh, address) == stated
        await self.configure(mesh, address, wanted.undo(before))
        assert await self.read(mesh, address) == before

    async def test_a_relay_change_keeps_the_retransmits(self, mesh: Mesh, recorder: Recorder) -> None:
        before = await self.read(mesh, mesh.near)
        await self.configure(mesh, mesh.near, ConfigurationChange(relay=not before.relay))
        after = await self.read(mesh, mesh.near)
        assert after.relay is not before.relay
        assert after.relay_retransmit == before.relay_retransmit

    async def test_a_change_may_be_repeated(self, mesh: Mesh, recorder: Recorder) -> None:
        change = ConfigurationChange(default_ttl=9)
        first = await self.configure(mesh, mesh.far, change)
        assert await self.configure(mesh, mesh.far, change) == first

    async def test_nodes_statements_are_told_as_events(self, mesh: Mesh, recorder: Recorder) -> None:
        await self.configure(mesh, mesh.far, ConfigurationChange(default_ttl=10))
        await mesh.within(
            PATIENCE_S,
            recorder.until(
                lambda: any(
                    (status.configuration.address, status.configuration.default_ttl) == (mesh.far, 10)
                    for status in recorder.of(NodeStatus)
                )
            ),
        )

    async def test_several_nodes_are_configured_at_once(self, mesh: Mesh, recorder: Recorder) -> None:
        change = ConfigurationChange(default_ttl=12)
        addresses = [mesh.near, mesh.far, mesh.near]
        found = await mesh.within(
            PATIENCE_S, asyncio.gather(*(mesh.link.configure(address, change) for address in addresses))
        )
        assert [(c.address, c.default_ttl) for c in found] == [(address, 12) for address in addresses]

    async def test_a_dead_node_times_out_and_the_link_lives_on(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.kill(mesh.far)
        with pytest.raises(TimedOut):
            await self.read(mesh, mesh.far)
        with pytest.raises(TimedOut):
            await self.ask(mesh, mesh.far, OnOffGet(), timeout=0.5)
        await self.read(mesh, mesh.near)

    async def test_a_node_that_cannot_relay_says_so(self, mesh: Mesh, recorder: Recorder) -> None:
        if mesh.without_relay is None:
            pytest.skip("every node of this network can relay")
        assert not (await self.read(mesh, mesh.without_relay)).relay_supported
        with pytest.raises(NotSupported):
            await self.configure(mesh, mesh.without_relay, ConfigurationChange(relay=True))

    # Messages

    @pytest.mark.parametrize("node", ["near", "far"])
    async def test_a_lamp_does_as_it_is_told(self, mesh: Mesh, recorder: Recorder, node: str) -> None:
        address = getattr(mesh, node)
        for tid, on in enumerate((True, False, True)):
            assert await self.ask(mesh, address, OnOffSet(on, tid)) == OnOffStatus(on)
            assert await self.ask(mesh, address, OnOffGet()) == OnOffStatus(on)

    async def test_a_group_hears_an_unacknowledged_message(self, mesh: Mesh, recorder: Recorder) -> None:
        if mesh.group is None:
            pytest.skip("this network has no group of lamps")
        for address in (mesh.near, mesh.far):
            await self.ask(mesh, address, OnOffSet(False, 1))
        for tid in range(2, 5):  # a flood may be lost
            await mesh.within(
                PATIENCE_S, mesh.link.send(mesh.group, build(OnOffSetUnacknowledged(True, tid)))
            )
        for address in (mesh.near, mesh.far):
            await mesh.within(PATIENCE_S, self.lamp_is_on(mesh, address))

    async def test_an_answer_that_does_not_come_times_out(self, mesh: Mesh, recorder: Recorder) -> None:
        with pytest.raises(TimedOut):
            await mesh.within(
                PATIENCE_S, mesh.link.request(mesh.near, build(OnOffSetUnacknowledged(True, 1)), 0x8204, 0.3)
            )

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            pytest.param(b"\x82\x01" + bytes(379), RejectReason.OVERSIZED, id="381 bytes"),
            pytest.param(b"", RejectReason.TRUNCATED, id="nothing"),
            pytest.param(b"\xc1\x01", RejectReason.TRUNCATED, id="half an opcode"),
        ],
    )
    async def test_what_is_no_message_is_not_sent(
        self, mesh: Mesh, recorder: Recorder, payload: bytes, reason: RejectReason
    ) -> None:
        with pytest.raises(Rejected) as sent:
            await mesh.within(PATIENCE_S, mesh.link.send(mesh.near, payload))
        with pytest.raises(Rejected) as asked:
            await mesh.within(PATIENCE_S, mesh.link.request(mesh.near, payload, 0x8204, 1.0))
        assert sent.value.reason is asked.value.reason is reason

    @pytest.mark.parametrize("address", [-1, 0, 0x10000])
    async def test_what_is_no_address_is_refused(self, mesh: Mesh, recorder: Recorder, address: int) -> None:
        for call in (
            mesh.link.send(address, build(OnOffGet())),
            mesh.link.request(address, build(OnOffGet()), 0x8204, 1.0),
            mesh.link.configure(address, READ),
            mesh.link.restart(address),
        ):
            with pytest.raises(Rejected) as refused:
                await mesh.within(PATIENCE_S, call)
            assert refused.value.reason is RejectReason.OUT_OF_RANGE

    # Restarts

    async def test_a_restarted_node_keeps_its_configuration(self, mesh: Mesh, recorder: Recorder) -> None:
        await self.configure(mesh, mesh.near, ConfigurationChange(default_ttl=13))
        await mesh.within(PATIENCE_S, mesh.link.restart(mesh.near))
        await mesh.within(PATIENCE_S, self.answers(mesh, mesh.near))
        assert (await self.read(mesh, mesh.near)).default_ttl == 13

    async def test_a_node_without_link_monitor_cannot_be_restarted(
        self, mesh: Mesh, recorder: Recorder
    ) -> None:
        if mesh.unmonitored is None:
            pytest.skip("every node of this network has the link monitor")
        with pytest.raises(NotSupported):
            await mesh.within(PATIENCE_S, mesh.link.restart(mesh.unmonitored))

    async def test_a_dead_node_cannot_be_restarted(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.kill(mesh.near)
        with pytest.raises(TimedOut):
            await mesh.within(PATIENCE_S, mesh.link.restart(mesh.near))

    # Monitoring

    async def test_neighbours_are_counted_near_and_far(self, mesh: Mesh, recorder: Recorder) -> None:
        def reporters() -> set[int]:
            return {report.receiver for report in recorder.of(NeighbourReport)}

        await mesh.within(PATIENCE_S, recorder.until(lambda: reporters() >= {mesh.gateway, mesh.far}))
        for report in recorder.of(NeighbourReport):
            for count in report.neighbours:
                assert 0 <= count.heard <= count.expected
                assert 1 <= count.transmissions <= 8
                assert count.transmitter != report.receiver

    async def test_a_killed_node_is_reported_lost(self, mesh: Mesh, recorder: Recorder) -> None:
        def reported() -> set[int]:
            return {
                count.transmitter
                for report in recorder.of(NeighbourReport)
                for count in report.neighbours
                if count.expected
            }

        # Nobody misses what was not heard for a while.
        await mesh.within(PATIENCE_S, recorder.until(lambda: mesh.near in reported()))
        seen = len(recorder.events)
        await mesh.within(
            PATIENCE_S, recorder.until(lambda: len(recorder.of(NeighbourReport)) > 3 * len(reported()))
        )
        await mesh.kill(mesh.near)
        await mesh.within(
            PATIENCE_S,
            recorder.until(
                lambda: any(
                    isinstance(event, LostNeighbour) and event.transmitter == mesh.near and event.missed >= 2
                    for event in recorder.events[seen:]
                )
            ),
        )

    # Losing the network

    async def test_a_cut_is_told_and_healed_by_itself(self, mesh: Mesh, recorder: Recorder) -> None:
        await mesh.cut()
        await mesh.within(PATIENCE_S, recorder.until(lambda: recorder.of(LinkDown)))
        await self.expect_unavailable(mesh)
        await mesh.mend()
        await mesh.within(PATIENCE_S, recorder.until(lambda: len(recorder.of(LinkUp)) == 2))
        await self.read(mesh, mesh.far)

    async def test_a_question_under_way_does_not_outlive_the_network(
        self, mesh: Mesh, recorder: Recorder
    ) -> None:
        await mesh.kill(mesh.far)

        async def cut_meanwhile() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(mesh.link.request(mesh.far, build(OnOffGet()), 0x8204, 3600.0))
                await asyncio.sleep(0)
                await mesh.cut()

        with pytest.raises(ExceptionGroup) as failed:
            await mesh.within(PATIENCE_S, cut_meanwhile())
        assert failed.group_contains(Unavailable)
        await mesh.mend()
        await mesh.within(PATIENCE_S, recorder.until(lambda: len(recorder.of(LinkUp)) == 2))

    # Cancellation

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8])
    async def test_a_cancelled_call_leaves_the_link_usable(
        self, mesh: Mesh, recorder: Recorder, turns: int
    ) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: mesh.link.configure(mesh.near, ConfigurationChange(relay=True, default_ttl=9)),
            lambda: mesh.link.configure(mesh.near, READ),
            lambda: mesh.link.request(mesh.near, build(OnOffGet()), 0x8204, 5.0),
            lambda: mesh.link.send(mesh.near, build(OnOffGet())),
            lambda: mesh.link.restart(mesh.far),
        ]
        for call in calls:
            task = asyncio.ensure_future(call())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await mesh.within(PATIENCE_S, self.answers(mesh, mesh.far))
        assert (await self.configure(mesh, mesh.near, ConfigurationChange(default_ttl=8))).default_ttl == 8
        assert await self.ask(mesh, mesh.near, OnOffSet(True, 77)) == OnOffStatus(True)

    @pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
    async def test_a_cancelled_open_can_be_tried_again(self, mesh: Mesh, turns: int) -> None:
        task = asyncio.ensure_future(mesh.link.open())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await mesh.within(PATIENCE_S, mesh.link.open())
        await self.read(mesh, mesh.near)
        await mesh.within(PATIENCE_S, mesh.link.close())

    async def test_a_cancelled_consumer_loses_no_event(self, mesh: Mesh) -> None:
        await mesh.within(PATIENCE_S, mesh.link.open())
        events = mesh.link.events()
        assert isinstance(await mesh.within(PATIENCE_S, anext(events)), LinkUp)
        for _ in range(3):
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await self.configure(mesh, mesh.near, ConfigurationChange(default_ttl=14))
        stated = None
        while not (isinstance(stated, NodeStatus) and stated.configuration.default_ttl == 14):
            stated = await mesh.within(PATIENCE_S, anext(events))
        await mesh.within(PATIENCE_S, mesh.link.close())

    # Words of the tests above

    async def configure(self, mesh: Mesh, address: int, change: ConfigurationChange) -> NodeConfiguration:
        return await mesh.within(PATIENCE_S, mesh.link.configure(address, change))

    async def read(self, mesh: Mesh, address: int) -> NodeConfiguration:
        return await self.configure(mesh, address, READ)

    async def ask(
        self, mesh: Mesh, address: int, message: AccessMessage, timeout: float | None = None
    ) -> OnOffStatus:
        """Ask a lamp; without `timeout` until it answers, as floods may be lost."""
        for attempt_s in (1.0, 2.0, 4.0) if timeout is None else ():
            try:
                return await self.ask(mesh, address, message, attempt_s)
            except TimedOut:
                continue
        asked = mesh.link.request(address, build(message), OnOffStatus.OPCODE, timeout or 8.0)
        answer = await mesh.within(PATIENCE_S, asked)
        opcode, parameters = split(answer)
        assert opcode == OnOffStatus.OPCODE
        return OnOffStatus.parse(parameters)

    async def answers(self, mesh: Mesh, address: int) -> None:
        """Return once a node answers (again)."""
        while True:
            try:
                await mesh.link.request(address, build(OnOffGet()), OnOffStatus.OPCODE, 0.5)
                return
            except TimedOut:
                continue

    async def lamp_is_on(self, mesh: Mesh, address: int) -> None:
        """Return once a lamp says that it is on."""
        while True:
            try:
                answer = await mesh.link.request(address, build(OnOffGet()), OnOffStatus.OPCODE, 1.0)
            except TimedOut:
                continue
            if OnOffStatus.parse(split(answer)[1]).present:
                return

    async def expect_unavailable(self, mesh: Mesh) -> None:
        """No call reaches the network now."""
        for call in (
            mesh.link.configure(mesh.near, READ),
            mesh.link.send(mesh.near, build(OnOffGet())),
            mesh.link.request(mesh.near, build(OnOffGet()), OnOffStatus.OPCODE, 1.0),
            mesh.link.restart(mesh.near),
        ):
            with pytest.raises(Unavailable):
                await mesh.within(PATIENCE_S, call)
