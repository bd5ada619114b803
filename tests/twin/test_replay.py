"""A recorded stretch of a site: a mesh that an agent lives again, and input of a twin."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from common import recording as files
from common.clock import ManualClock
from common.errors import Misconfigured, NotSupported, Rejected, TimedOut, Unavailable
from common.mesh.configuration import ConfigurationChange, NodeConfiguration
from common.messages import Kind
from common.recording import Recording
from coordinator.repository.store import Repository
from coordinator.twin import mirror_history, replay
from edge_agent.agent import Agent
from edge_agent.observe.site import SiteView
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffStatus
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.link import LinkDown, LostNeighbour
from firmware_bridge.replay import FastClock, ReplayLink
from tests.contracts.mesh_link import READ, Mesh, MeshLinkContract, Recorder
from tests.healing.gateways import KnownPeers, RecordedStream, agent_config
from tests.twin.living_site import START, LivingSite
from tests.twin.test_mirror import living, model_of

T = TypeVar("T")
DEAD = 7


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Repository, LivingSite]]:
    """Three minutes of a site, in the last of which a node dies."""
    folder = tmp_path_factory.mktemp("lived")
    site = living(nodes=12)
    with Repository(f"sqlite:///{folder / 'repository.db'}") as repository:
        repository.store(site.batch(site.live(120.0)))
        site.site.down(DEAD)
        repository.store(site.batch(site.live(60.0)))
        yield repository, site


@pytest.fixture(scope="module")
def recorded(lived: tuple[Repository, LivingSite]) -> Recording:
    return replay.record(lived[0], "hall", "gw-1", START, START + 180.0)


class ReplayedMesh(Mesh):
    """A replay: nothing can be done to it but to end it."""

    gateway, near, far = 1, 2, 5

    def __init__(self, recorded: Recording) -> None:
        self.clock = ManualClock()
        self.link = ReplayLink(recorded, self.clock)

    async def kill(self, address: int) -> None:
        pytest.skip("a recorded site cannot be changed")

    async def revive(self, address: int) -> None:
        pytest.skip("a recorded site cannot be changed")

    async def cut(self) -> None:
        pytest.skip("a recorded site cannot be changed")

    async def mend(self) -> None:
        pytest.skip("a recorded site cannot be changed")

    async def within(self, seconds: float, what: Awaitable[T]) -> T:
        task = asyncio.ensure_future(what)
        end = self.clock.monotonic() + seconds
        while not task.done() and self.clock.monotonic() < end:
            await self.clock.advance(0.05)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise AssertionError(f"not done within {seconds} s")
        return task.result()


class TestReplayLink(MeshLinkContract):
    """The parts of the contract that make sense where nothing can be changed."""

    @pytest_asyncio.fixture
    async def mesh(self, recorded: Recording) -> AsyncIterator[ReplayedMesh]:
        mesh = ReplayedMesh(recorded)
        yield mesh
        await mesh.link.close()

    async def test_several_nodes_are_configured_at_once(self, mesh: Mesh, recorder: Recorder) -> None:
        found = await mesh.within(5.0, asyncio.gather(*(mesh.link.configure(a, READ) for a in (2, 5, 2))))
        assert [configuration.address for configuration in found] == [2, 5, 2]

    async def configure(self, mesh: Mesh, address: int, change: ConfigurationChange) -> NodeConfiguration:
        if change:
            pytest.skip("a recorded site cannot be changed")
        return await super().configure(mesh, address, change)

    async def ask(
        self, mesh: Mesh, address: int, message: AccessMessage, timeout: float | None = None
    ) -> OnOffStatus:
        if not isinstance(message, OnOffGet):
            pytest.skip("a recorded site cannot be changed")
        return await super().ask(mesh, address, message, timeout)


async def test_what_would_change_the_site_is_refused(recorded: Recording) -> None:
    mesh = ReplayedMesh(recorded)
    await mesh.link.open()
    with pytest.raises(NotSupported):
        await mesh.link.configure(mesh.near, ConfigurationChange(relay=True))
    with pytest.raises(NotSupported):
        await mesh.link.restart(mesh.near)
    await mesh.link.close()


async def test_an_agent_sees_what_it_saw_then(
    recorded: Recording, lived: tuple[Repository, LivingSite]
) -> None:
    """Its view of links and configuration, and that a node died, after the same time."""
    mesh = ReplayedMesh(recorded)
    recorder = Recorder(mesh.link)
    await mesh.link.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        await mesh.within(recorded.seconds + 1.0, recorder.until(lambda: recorder.of(LinkDown)))
        with pytest.raises(Unavailable):
            await mesh.link.request(mesh.near, build(OnOffGet()), OnOffStatus.OPCODE, 1.0)
        await mesh.link.close()
    view = SiteView(1, None, 0.0)
    for event in recorder.events:
        view.apply(event)
    original = lived[1].ears[0].view
    assert view.relays() == {a for a, node in lived[1].site.nodes.items() if node.relay and a != DEAD}
    pdr = {key: estimate.pdr for key, estimate in view.links.items()}
    known = {key: estimate.pdr for key, estimate in original.links.items()}
    assert pdr.keys() == known.keys()
    assert all(pdr[key] == pytest.approx(known[key], abs=0.05) for key in known)
    assert {event.transmitter for event in recorder.of(LostNeighbour)} == {DEAD}


async def test_a_node_that_died_then_is_silent_now(recorded: Recording) -> None:
    mesh = ReplayedMesh(recorded)
    await mesh.link.open()
    assert await mesh.within(5.0, mesh.link.configure(DEAD, READ))
    await mesh.clock.advance(140.0)
    with pytest.raises(TimedOut):
        await mesh.within(10.0, mesh.link.configure(DEAD, READ))
    with pytest.raises(TimedOut):
        await mesh.within(10.0, mesh.link.request(DEAD, build(OnOffGet()), OnOffStatus.OPCODE, 1.0))
    await mesh.link.close()


async def test_a_fast_clock_makes_minutes_of_seconds() -> None:
    slow = ManualClock(wall=5.0)
    fast = FastClock(slow, 60.0, wall=1000.0)
    sleeping = asyncio.ensure_future(fast.sleep(120.0))
    await slow.advance(1.9)
    assert not sleeping.done()
    await slow.advance(0.2)
    assert sleeping.done()
    assert fast.monotonic() == pytest.approx(126.0)
    assert fast.wall() == pytest.approx(1126.0)
    with pytest.raises(Misconfigured):
        FastClock(slow, 0.0)


def test_a_twin_that_is_fed_the_recording_holds_what_the_mirror_held(
    recorded: Recording, lived: tuple[Repository, LivingSite]
) -> None:
    steps = [t for t, _ in replay.replay(recorded)]
    (_, state) = list(replay.replay(recorded))[-1]
    mirrored = mirror_history.as_of(lived[0], "hall", START + 180.0)
    assert steps[-1] == START + 180.0
    assert model_of(state, steps[-1]) == model_of(mirrored, steps[-1])
    assert (state.dead(), state.configuration()) == (mirrored.dead(), mirrored.configuration())


async def test_a_recording_is_played_in_step_with_a_clock(recorded: Recording) -> None:
    slow = ManualClock()
    steps: list[float] = []

    async def play() -> None:
        async for t, _ in replay.replay_in_step(recorded, FastClock(slow, 10.0), every_s=60.0):
            steps.append(t - START)

    playing = asyncio.ensure_future(play())
    await slow.advance(7.0)
    assert steps == [60.0]
    await slow.advance(11.5)
    await playing
    assert steps == [60.0, 120.0, 180.0]


def test_a_recording_survives_its_file(recorded: Recording, tmp_path: Path) -> None:
    path = tmp_path / "hall.recording"
    files.write(path, recorded.header, recorded.entries)
    assert files.read(path) == recorded
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_cut_or_altered_is_refused_by_name(recorded: Recording, tmp_path: Path) -> None:
    path = tmp_path / "hall.recording"
    files.write(path, recorded.header, recorded.entries[:40])
    whole = path.read_bytes()
    for size in {0, 1, 10, 30, *range(50, len(whole), max(1, len(whole) // 40))}:
        path.write_bytes(whole[:size])
        with pytest.raises(Rejected):
            files.read(path)
    for content in (b"no gzip", gzip.compress(b""), gzip.compress(b"\xff" * 100), gzip.compress(bytes(8))):
        path.write_bytes(content)
        with pytest.raises(Rejected):
            files.read(path)
    with pytest.raises(Misconfigured):
        files.read(tmp_path / "none")


def test_what_was_not_recorded_cannot_be_replayed(lived: tuple[Repository, LivingSite]) -> None:
    for site, gateway, t0, t1 in (
        ("hall", "gw-9", START, START + 60.0),
        ("hall", "gw-1", START - 9000.0, START - 8000.0),
        ("hall", "gw-1", START + 60.0, START),
        ("nowhere", "gw-1", START, START + 60.0),
    ):
        with pytest.raises(Rejected):
            replay.record(lived[0], site, gateway, t0, t1)


async def test_an_agent_lives_a_recording(recorded: Recording, tmp_path: Path) -> None:
    """Observes, decides and sends telemetry as it would at the site; what it would change is refused."""
    clock = ManualClock()
    link = ReplayLink(recorded, clock)
    stream, peers = RecordedStream(), KnownPeers("gw-1")
    agent = Agent(agent_config(tmp_path, "gw-1", 1), link, None, stream, peers, clock)
    agent.recover()
    await link.open()
    parts = [asyncio.ensure_future(part()) for part in agent.parts().values()]
    while clock.monotonic() < 150.0:
        await clock.advance(0.5)
    assert agent.site.nodes.dead() == {DEAD}
    assert agent.site.learned(clock.monotonic())
    assert {Kind.LINKS, Kind.NODES, Kind.CONFIGURATION} <= stream.kinds()
    assert "confirmed" not in stream.states()
    await link.close()
    for part in parts:
        part.cancel()
    ended = await asyncio.gather(*parts, return_exceptions=True)
    assert not [e for e in ended if isinstance(e, Exception) and not isinstance(e, asyncio.CancelledError)]
