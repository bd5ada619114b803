"""Gateways and lamps on real nodes over the lab's air: losses, deaths, returns, bad input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from common.errors import Misconfigured, NotSupported, TimedOut, Unavailable
from common.mesh import cdb
from common.mesh.configuration import ConfigurationChange
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffSet, OnOffStatus
from firmware_bridge.access.link_monitor import (
    MONITOR_REPORTS,
    Lost,
    MonitorGet,
    MonitorSet,
    MonitorStatus,
    Restart,
    RestartStatus,
)
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.access.opcodes import opcode_bytes
from firmware_bridge.bluez.attachment import DaemonPlace
from firmware_bridge.bluez_mesh import BluezMeshLink, BluezSettings
from firmware_bridge.link import Event, LinkDown, LinkUp, LostNeighbour, MeshLink, NeighbourReport
from tests.bridge.real_site import GATEWAY, RealSite, address_of, eventually, insist, site_document
from tools.meshlab.topology import Topology

pytestmark = pytest.mark.meshlab

E = TypeVar("E")
QUICK_MONITOR = MonitorSet(period_units=4, report_every=3, transmissions=1)
LAMP = address_of(1)


class Events:
    """What a link told, while the context lasts."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.all if isinstance(event, kind)]

    def losses(self, receiver: int, transmitter: int) -> int:
        return sum((e.receiver, e.transmitter) == (receiver, transmitter) for e in self.of(LostNeighbour))

    def links_heard(self) -> set[tuple[int, int]]:
        return {
            (count.transmitter, report.receiver)
            for report in self.of(NeighbourReport)
            for count in report.neighbours
            if count.heard == count.expected > 1
        }


@asynccontextmanager
async def recorded(link: MeshLink) -> AsyncIterator[Events]:
    events = Events()

    async def record() -> None:
        async for event in link.events():
            events.all.append(event)

    task = asyncio.create_task(record())
    try:
        yield events
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(link: MeshLink, address: int, question: AccessMessage, answer: type[AccessMessage]) -> bytes:
    """Ask until there is an answer."""
    found: list[bytes] = []

    async def once() -> None:
        found.append(await link.request(address, build(question), answer.OPCODE, 0.5))

    await insist(once, TimedOut)
    return found[0]


async def test_a_death_behind_relays_is_told_by_its_neighbours(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(4)) as site:
        await site.link.open()
        await site.commission(relays=(1, 2))
        # A line with a way around: 0-1-3, 0-2-3, and 1 and 2 hear each other.
        await site.lab.set_topology(Topology.from_links(4, [(0, 1), (0, 2), (1, 3), (2, 3), (1, 2)]))
        await site.hasten(QUICK_MONITOR)
        async with recorded(site.link) as events:
            far, dying = address_of(3), address_of(1)
            await eventually(lambda: {(dying, GATEWAY), (dying, far)} <= events.links_heard())
            await eventually(lambda: len(events.of(NeighbourReport)) > 12)
            await site.lab.kill(1)
            await eventually(lambda: events.losses(GATEWAY, dying) and events.losses(far, dying))


async def test_a_lamp_whose_daemon_returns_attaches_by_itself_and_keeps_its_configuration(
    tmp_path: Path,
) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        await site.link.open()
        await site.commission(relays=(1,))
        await ask(site.link, LAMP, OnOffSet(True, 1), OnOffStatus)
        before = await site.link.configure(LAMP, ConfigurationChange())
        await site.lab.kill(1)
        with pytest.raises(TimedOut):
            await site.link.request(LAMP, build(OnOffGet()), OnOffStatus.OPCODE, 0.3)
        await site.lab.restart(1)
        await ask(site.link, LAMP, OnOffGet(), OnOffStatus)
        assert before.relay
        assert await site.link.configure(LAMP, ConfigurationChange()) == before


async def test_a_repeated_restart_message_reboots_a_lamp_once(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        await site.link.open()
        await site.commission()
        pid = site.lab.daemon_pid(1)
        await ask(site.link, LAMP, Restart(77), RestartStatus)
        await eventually(lambda: site.lab.status()[1].pid not in (None, pid))
        second = site.lab.daemon_pid(1)
        await ask(site.link, LAMP, Restart(77), RestartStatus)
        await ask(site.link, LAMP, OnOffSet(True, 1), OnOffStatus)
        assert await ask(site.link, LAMP, OnOffGet(), OnOffStatus) == build(OnOffStatus(True))
        assert site.lab.daemon_pid(1) == second


async def test_monitoring_is_set_read_and_turned_off_without_an_alarm(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(3)) as site:
        await site.link.open()
        await site.commission()
        await site.hasten(QUICK_MONITOR)
        found = await ask(site.link, LAMP, MonitorGet(), MonitorStatus)
        assert found == build(MonitorStatus(4, 3, 1))
        async with recorded(site.link) as events:
            await eventually(lambda: (LAMP, GATEWAY) in events.links_heard())
            await eventually(lambda: len(events.of(NeighbourReport)) > 8)
            await ask(site.link, LAMP, MonitorSet(0, 3, 1), MonitorStatus)
            seen = len(events.of(NeighbourReport))
            await eventually(lambda: len(events.of(NeighbourReport)) > seen + 6)
            assert events.losses(GATEWAY, LAMP) == 0


async def test_two_gateways_share_a_site(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.full(3), lamps=(2,)) as site:
        second = site.new_link(1)
        lamp = address_of(2)
        await site.link.open()
        await second.open()
        try:
            await site.commission()
            for link, ttl in ((site.link, 8), (second, 9)):
                stated = await link.configure(lamp, ConfigurationChange(default_ttl=ttl))
                assert stated.default_ttl == ttl
                await ask(link, lamp, OnOffGet(), OnOffStatus)
            async with recorded(second) as events:
                await second.request(address_of(1), build(QUICK_MONITOR), MonitorStatus.OPCODE, 1.0)
                await site.hasten(QUICK_MONITOR)
                await eventually(lambda: (lamp, address_of(1)) in events.links_heard())
                # The other gateway reports what it hears as every node does.
                await eventually(lambda: (lamp, GATEWAY) in events.links_heard())
        finally:
            await second.close()


async def test_what_a_foreign_node_garbles_is_dropped_and_the_link_lives_on(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.full(3), lamps=(2,)) as site:
        second = site.new_link(1)
        await site.link.open()
        await second.open()
        try:
            await site.commission()
            async with recorded(site.link) as events:
                for tail in (b"", b"\x01", b"\xff" * 8, bytes(11)):
                    await second.send(MONITOR_REPORTS, opcode_bytes(Lost.OPCODE) + tail)
                await second.send(MONITOR_REPORTS, build(Lost(0x0555, 3, 200)))
                await eventually(lambda: events.losses(address_of(1), 0x0555))
                assert len(events.of(LostNeighbour)) == 1
            await ask(site.link, address_of(2), OnOffGet(), OnOffStatus)
        finally:
            await second.close()


async def test_a_daemon_that_hangs_is_a_link_down_until_it_runs_again(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        await site.link.open()
        await site.commission()
        async with recorded(site.link) as events:
            await site.lab.pause(0)
            await eventually(lambda: events.of(LinkDown))
            with pytest.raises(Unavailable):
                await site.link.send(LAMP, build(OnOffGet()))
            await site.lab.resume(0)
            await eventually(lambda: len(events.of(LinkUp)) == 2)
            await ask(site.link, LAMP, OnOffGet(), OnOffStatus)


async def test_tokens_are_for_the_owner_alone_and_attach_the_same_node_again(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        await site.link.open()
        await site.link.close()
        (token,) = (tmp_path / "gateway-0" / "tokens").iterdir()
        assert token.stat().st_mode & 0o777 == 0o600
        assert token.parent.stat().st_mode & 0o777 == 0o700
        written = token.read_bytes()
        again = site.new_link()
        await again.open()
        await again.close()
        assert token.read_bytes() == written


async def test_a_lost_token_is_the_operators_to_mend(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        await site.link.open()
        await site.link.close()
        (token,) = (tmp_path / "gateway-0" / "tokens").iterdir()
        token.write_text("no token")
        again = site.new_link()
        with pytest.raises(Misconfigured, match="token is lost"):
            await again.open()


async def test_without_a_bus_or_a_daemon_opening_is_unavailable(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        for place in (
            DaemonPlace("unix:path=/nonexistent/bus"),
            DaemonPlace(site.lab.bus_address, 1 << 22),
        ):
            settings = BluezSettings(site.site, GATEWAY, tmp_path / "other", place)
            with pytest.raises(Unavailable):
                await BluezMeshLink(settings, open_timeout_s=0.5).open()


async def test_an_address_that_the_site_file_does_not_have_is_misconfigured(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        with pytest.raises(Misconfigured):
            BluezMeshLink(BluezSettings(site.site, 0x0777, tmp_path / "other", site.place(0)))


async def test_a_token_that_cannot_be_stored_leaves_no_orphan_in_the_daemon(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2), lamps=()) as site:
        obstacle = tmp_path / "gateway-0"
        obstacle.write_text("a file where a folder should be")
        with pytest.raises(Misconfigured):
            await site.link.open()
        obstacle.unlink()
        # The daemon dropped the node when it heard that its token was not kept.
        await insist(site.link.open, Misconfigured)


async def test_configuration_gets_through_a_bad_link_by_repeating(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as site:
        await site.link.open()
        await site.commission()
        await site.lab.set_loss(0, 1, 0.4, both_ways=True)
        for on in (True, False, True):
            stated = await site.link.configure(LAMP, ConfigurationChange(relay=on))
            assert stated.relay is on


async def test_a_node_without_link_monitor_in_the_site_file_is_not_asked_to_restart(tmp_path: Path) -> None:
    document = site_document(2)
    document["nodes"][1]["elements"] = [{"index": 0, "models": [{"modelId": "1000"}]}]
    site = cdb.parse(json.dumps(document))
    link = BluezMeshLink(BluezSettings(site, GATEWAY, tmp_path, DaemonPlace("unix:path=/nonexistent/bus")))
    with pytest.raises(NotSupported):
        await link.restart(LAMP)


async def test_a_site_file_with_another_key_is_the_operators_to_mend(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2), lamps=()) as site:
        await site.link.open()
        await site.link.close()
        (key,) = site.site.app_keys
        other = site.site.model_copy(
            update={"app_keys": (key.model_copy(update={"key": cdb.Secret(bytes(16))}),)}
        )
        settings = BluezSettings(other, GATEWAY, tmp_path / "gateway-0", site.place(0))
        with pytest.raises(Misconfigured, match="does not fit the site file"):
            await BluezMeshLink(settings).open()
