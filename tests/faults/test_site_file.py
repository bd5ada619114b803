"""The site file is edited, half written, broken or taken away while the agent runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from common.clock import ManualClock
from common.errors import MeshtwinError, TimedOut
from common.mesh import cdb
from common.mesh.cdb import SiteFile
from common.mesh.configuration import ConfigurationChange
from common.mesh.site_changes import SiteChanges
from edge_agent.observe.site import SiteView
from edge_agent.observe.site_file import PERIOD_S, SiteFileWatch
from firmware_bridge.link import KeyKeeper, NeighbourCount, NeighbourReport
from tests.bridge.real_site import GATEWAY, RealSite, address_of, insist, site_document
from tests.healing.gateways import running_gateways
from tests.healing.test_healing import LEARNING_S, site
from tools.meshlab.topology import Topology

FIRST, SECOND, NEW = address_of(1), address_of(2), address_of(3)


@dataclass
class Watched:
    """A watch over a file, and what it told."""

    path: Path
    clock: ManualClock
    document: dict[str, Any]
    view: SiteView
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    warned: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    adopted: list[SiteChanges] = field(default_factory=list)

    async def adopt(self, site_file: SiteFile, changes: SiteChanges) -> None:
        self.adopted.append(changes)
        self.view.adopt(site_file, changes, self.clock.monotonic())

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and the thread that reads the file end."""
        for _ in range(int(seconds / PERIOD_S) + 1):
            await self.clock.advance(PERIOD_S)
            await asyncio.sleep(0.02)

    async def write(self, text: str | None = None) -> None:
        """Replace the file's content and give the watch its time."""
        self.path.write_text(json.dumps(self.document) if text is None else text)
        await self.pass_time(3 * PERIOD_S)


@asynccontextmanager
async def watched(folder: Path, count: int = 3) -> AsyncIterator[Watched]:
    path, clock, document = folder / "site.json", ManualClock(), site_document(count)
    path.write_text(json.dumps(document))
    start = cdb.read(path)
    found = Watched(path, clock, document, SiteView(GATEWAY, start, 0.0))
    watch = SiteFileWatch(
        path,
        start,
        GATEWAY,
        clock,
        found.adopt,
        lambda name, **fields: found.told.append((name, fields)),
        lambda name, **fields: found.warned.append((name, fields)),
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch.run())
        await found.pass_time(PERIOD_S)
        yield found
        task.cancel()


def report(receiver: int, *transmitters: int, t: float = 1.0) -> NeighbourReport:
    return NeighbourReport(t, receiver, tuple(NeighbourCount(a, 10, 10, 1, None) for a in transmitters))


async def test_a_node_that_was_added_is_known_and_told(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        found.document["nodes"].append(site_document(4)["nodes"][3] | {"name": "attic"})
        await found.write()
        assert found.told == [("site-file-changed", {"added": f"0x{NEW:04x}"})]
        assert found.view.nodes[NEW].name == "attic"


async def test_a_node_that_was_removed_is_forgotten_although_it_is_still_heard(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        found.view.apply(report(FIRST, SECOND, GATEWAY))
        del found.document["nodes"][2]
        await found.write()
        assert found.told == [("site-file-changed", {"removed": f"0x{SECOND:04x}"})]
        found.view.apply(report(FIRST, SECOND, GATEWAY, t=2.0))
        found.view.apply(report(SECOND, FIRST, t=3.0))
        assert SECOND not in found.view.nodes
        assert [key for key, _ in found.view.links.items()] == [(GATEWAY, FIRST)]
        # Named again, it is taken in again.
        found.document["nodes"].append(site_document(3)["nodes"][2])
        await found.write()
        found.view.apply(report(FIRST, SECOND, t=4.0))
        assert (SECOND, FIRST) in found.view.links


async def test_a_new_name_is_taken_over(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        found.document["nodes"][1]["name"] = "stairs"
        await found.write()
        assert found.view.nodes[FIRST].name == "stairs"
        assert found.told == [("site-file-changed", {"renamed": f"0x{FIRST:04x}"})]


async def test_a_changed_network_key_asks_for_a_restart_and_is_not_shown(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        key = found.document["netKeys"][0]["key"] = "0123456789abcdef" * 2
        await found.write()
        ((name, fields),) = found.warned
        assert (name, fields["restart_for"]) == ("site-file-changed", "network key 0")
        assert fields["fix"] == "restart the agent to use the new keys"
        assert key not in str(found.warned)


async def test_a_changed_device_key_goes_to_the_link_and_the_gateways_own_needs_a_restart(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as found:
        for node in found.document["nodes"][:2]:
            node["deviceKey"] = "fedcba9876543210" * 2
        await found.write()
        (changes,) = found.adopted
        assert changes.rekeyed == (FIRST,)
        assert changes.keys == ("the gateway's own node",)


async def test_a_half_written_file_changes_nothing_and_is_told_with_the_fix(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        await found.write(json.dumps(found.document)[:-20])
        ((name, fields),) = found.warned
        assert (name, fields["kept"]) == ("site-file-refused", "the former one")
        assert "is not JSON" in fields["reason"]
        assert "export the network again" in fields["fix"]
        await found.pass_time(60.0)
        assert len(found.warned) == 1
        assert len(found.view.nodes) == 3
        await found.write()
        assert (found.told, found.adopted) == ([], [])


async def test_a_file_that_is_being_written_is_left_alone_until_it_rests(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        text = json.dumps(found.document | {"meshName": "tower"})
        for end in range(100, len(text), len(text) // 8):
            found.path.write_text(text[:end])
            await found.clock.advance(PERIOD_S)
        await found.write(text)
        assert found.warned == []


async def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        found.path.unlink()
        await found.pass_time(3 * PERIOD_S)
        assert "cannot be read" in found.warned[0][1]["reason"]
        assert len(found.view.nodes) == 3


async def test_no_two_bytes_of_a_key_are_ever_told(tmp_path: Path) -> None:
    async with watched(tmp_path) as found:
        whole = json.dumps(found.document)
        for cut in range(0, len(whole), 97):
            await found.write(whole[:cut] + "x" + whole[cut + 1 :])
        told = str((found.told, found.warned))
        assert found.document["netKeys"][0]["key"][:6] not in told
        assert all(node["deviceKey"][:6] not in told for node in found.document["nodes"])


async def test_a_removed_relay_is_no_death_and_makes_no_action(tmp_path: Path) -> None:
    clock, mesh = ManualClock(), site()
    async with running_gateways(tmp_path, mesh, clock, {"gw-1": 1}) as gateways:
        await clock.advance(LEARNING_S)
        agent, stream = gateways["gw-1"].agent, gateways["gw-1"].stream
        document = site_document(1)
        rest = {address for address, _ in agent.site.nodes.items()} - {6}
        document["nodes"] = [
            {"UUID": f"{a:032x}", "unicastAddress": f"{a:04X}", "deviceKey": f"{a:032x}"}
            for a in sorted(rest)
        ]
        agent.adopt_site_file(cdb.parse(json.dumps(document)), SiteChanges(removed=(6,)))
        await clock.advance(20.0)
        mesh.down(6)
        await clock.advance(60.0)
        assert "node-dead" not in stream.events()
        assert stream.actions() == []
        mesh.down(2)
        await clock.advance(15.0)
        assert stream.states() == ["applying", "applied", "confirmed"]


@pytest.mark.meshlab
async def test_a_new_node_can_be_configured_without_a_restart_of_the_real_link(tmp_path: Path) -> None:
    async with RealSite(tmp_path, Topology.star(2)) as real:
        whole = real.site
        real.site = whole.model_copy(update={"nodes": whole.nodes[:1]})
        real.link = real.new_link()
        async with asyncio.timeout(30.0):
            await real.link.open()
            try:
                with pytest.raises(MeshtwinError):
                    await real.link.configure(FIRST, ConfigurationChange())
                assert isinstance(real.link, KeyKeeper)
                await real.link.adopt(whole, {FIRST})
                await insist(lambda: real.link.configure(FIRST, ConfigurationChange()), TimedOut)
            finally:
                await real.link.close()
