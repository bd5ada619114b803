"""Nodes added and removed through the agent's desk: device, desk and file are real, the air is simulated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from common.clock import ManualClock
from common.errors import (
    MeshtwinError,
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)
from edge_agent.nodes import readying, removing
from edge_agent.nodes.desk import Desk
from edge_agent.nodes.store import PlainSite
from firmware_bridge.provisioning.pdus import Capabilities, InputAction, OutputAction
from tests.nodes.site import GATEWAY, Site

SHOWS = Capabilities(2, output_size=6, output_actions=1 << OutputAction.NUMBER)
TYPED = Capabilities(2, input_size=4, input_actions=1 << InputAction.NUMBER)
LABELLED = Capabilities(2, static_oob=True)


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[Site]:
    async with site.running():
        yield site


@pytest.fixture
def at(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Site]]:
    def made(capabilities: Capabilities, static: bytes | None = None) -> AbstractAsyncContextManager[Site]:
        return running(Site(tmp_path, capabilities, static, ManualClock()))

    return made


Sites = Callable[..., AbstractAsyncContextManager[Site]]


async def add(site: Site, answer: str | None = None, **more: Any) -> list[dict[str, Any]]:
    job = (await site.desk.add({"uuid": site.device.uuid.hex(), **more}))["job"]
    return await site.steps(job, answer)


async def test_a_scan_lists_devices_by_their_signal(at: Sites) -> None:
    async with at(Capabilities(1)) as site:
        (device,) = (await site.over(site.desk.scan({"seconds": 0.3})))["devices"]
        assert device == {
            "uuid": site.device.uuid.hex(),
            "rssi_dbm": -60,
            "oob": ["on the device"],
            "bearers": ["PB-ADV"],
        }


async def test_an_added_node_is_authenticated_kept_and_set_up(at: Sites) -> None:
    async with at(SHOWS) as site:
        steps = await add(site, "shown", name="Hall 3", relay=True)
        assert [step["step"] for step in steps] == [
            "connecting", "authenticating", "question", "kept", "joined", "composition", "configured", "done",
        ]  # fmt: skip
        assert site.device.joined is not None
        data = site.device.joined.data
        assert (data.address, data.iv_index) == (0x0100, 7)
        file = site.file()
        entry = file["nodes"][-1]
        assert bytes.fromhex(entry["deviceKey"]) == site.device.joined.device_key
        assert (entry["name"], entry["security"], entry["configComplete"]) == ("Hall 3", "secure", True)
        assert entry["features"]["relay"] == 1
        assert [len(element["models"]) for element in entry["elements"]] == [4, 1]
        assert [model["bind"] for model in entry["elements"][0]["models"]] == [[], [1], [1], [1]]
        # What only the phone understands is still there.
        assert file["scenes"] == [{"name": "Evening"}]
        assert file["provisioners"][0]["x"] == 1
        assert {address for address, _ in site.server.heard} == {0x0100}
        assert site.told == ["operator-added-node"]
        assert site.refreshed == 2


async def test_a_value_is_entered_on_the_device(at: Sites) -> None:
    async with at(TYPED) as site:
        steps = await add(site)
        assert "done" in [step["step"] for step in steps]


async def test_a_static_value_is_used_and_told_nobody(at: Sites) -> None:
    value = bytes(range(16))
    async with at(LABELLED, value) as site:
        steps = await add(site, static=value.hex())
        assert steps[-1] == {"step": "done", "node": "0x0100"}
        assert value.hex() not in repr(steps)


async def test_a_wrong_value_leaves_the_site_file_as_it_was(at: Sites) -> None:
    async with at(SHOWS) as site:
        before = site.path.read_text()
        steps = await add(site, "1")
        assert steps[-1]["step"] == "failed"
        assert "confirmation failed" in steps[-1]["error"]
        assert site.path.read_text() == before


async def test_a_device_that_vanishes_after_its_key_was_kept_stays_in_the_file(at: Sites) -> None:
    async with at(Capabilities(1)) as site:
        keep, refresh = site.path, site.desk

        async def deaf() -> None:
            site.air.loss = 1.0

        refresh._refresh = deaf
        steps = await add(site)
        assert "may be node 0x0100" in steps[-1]["error"]
        assert '"0100"' in keep.read_text()
        assert site.file()["nodes"][-1]["configComplete"] is False


async def test_a_node_that_was_never_set_up_is_set_up_when_it_is_added_again(
    at: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readying, "COMPOSITION_S", 0.3)
    async with at(Capabilities(1)) as site:
        site.server.silent = True
        assert "did not answer" in (await add(site))[-1]["error"]
        assert site.device.joined is not None
        site.server.silent = False
        steps = await add(site)
        assert [step["step"] for step in steps] == ["composition", "configured", "done"]
        assert site.file()["nodes"][-1]["configComplete"] is True


async def test_a_known_device_is_not_added_twice(at: Sites) -> None:
    async with at(Capabilities(1)) as site:
        await add(site)
        steps = await add(site)
        assert "is node 0x0100" in steps[-1]["error"]


async def test_a_site_file_that_cannot_be_written_is_told_before_anything_is_asked(
    at: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object, __: object) -> None:
        raise Misconfigured("read-only", "import it")

    monkeypatch.setattr(PlainSite, "write", refuse)
    async with at(SHOWS) as site:
        (last,) = await add(site)
        assert last["kind"] == "Misconfigured"
        assert site.device.shown.empty()


async def test_one_node_is_added_at_a_time(at: Sites) -> None:
    async with at(SHOWS) as site:
        await site.desk.add({"uuid": site.device.uuid.hex()})
        with pytest.raises(Rejected, match="another node"):
            await site.desk.add({"uuid": site.device.uuid.hex()})


async def test_a_removed_node_is_reset_and_its_addresses_excluded(at: Sites) -> None:
    async with at(Capabilities(1)) as site:
        await add(site)
        told = await site.over(site.desk.remove({"node": "0x0100"}))
        assert told == {"node": "0x0100", "reset": True, "last_word": True, "advice": ""}
        assert site.file()["networkExclusions"] == [{"ivIndex": 7, "addresses": ["0100", "0101"]}]
        assert len(site.file()["nodes"]) == 1
        assert site.told[-1] == "operator-removed-node"


async def test_a_silent_node_is_struck_out_only_when_asked(
    at: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "PRESENT_S", 0.3)
    async with at(Capabilities(1)) as site:
        await add(site)
        site.server.silent = True
        with pytest.raises(TimedOut, match="--forget"):
            await site.desk.remove({"node": "0x0100"})
        told = await site.desk.remove({"node": "0x0100", "forget": True})
        assert "refresh" in told["advice"]
        assert site.file()["nodes"][-1]["excluded"] is True


@pytest.mark.parametrize("stays", [False, True])
async def test_a_node_whose_last_word_is_lost_is_asked_whether_it_is_gone(
    at: Sites, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    monkeypatch.setattr(removing, "PRESENT_S", 0.3)
    monkeypatch.setattr(removing, "RESET_S", 0.3)
    async with at(Capabilities(1)) as site:
        await add(site)
        site.server.leaves_silently = not stays
        site.server.ignores_reset = stays
        if stays:
            with pytest.raises(Rejected, match="still answers") as refused:
                await site.desk.remove({"node": "0x0100"})
            assert refused.value.reason is RejectReason.REFUSED_BY_NODE
            assert len(site.file()["nodes"]) == 2
        else:
            told = await site.desk.remove({"node": "0x0100"})
            assert (told["reset"], told["last_word"]) == (True, False)
            assert "refresh the network's keys" in told["advice"]
            assert site.file()["networkExclusions"][0]["addresses"] == ["0100", "0101"]


async def test_why_a_node_was_not_expelled_stays_the_reason_it_was(
    at: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("there is no connection to a proxy")

    monkeypatch.setattr(removing, "expel", away)
    async with at(Capabilities(1)) as site:
        await add(site)
        with pytest.raises(Unavailable, match="no connection to a proxy"):
            await site.desk.remove({"node": "0x0100"})


async def test_the_gateway_and_strangers_are_not_removed(at: Sites) -> None:
    async with at(Capabilities(1)) as site:
        with pytest.raises(Rejected, match="gateway itself"):
            await site.desk.remove({"node": GATEWAY})
        with pytest.raises(Misconfigured, match="0x0999"):
            await site.desk.remove({"node": "0x0999"})


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"uuid": 5}, {"uuid": "00"}, {"uuid": "zz" * 16}, {"uuid": "00" * 16, "method": "magic"},
        {"uuid": "00" * 16, "static": "x"}, {"uuid": "00" * 16, "method": "static"},
        {"uuid": "00" * 16, "relay": 1}, {"uuid": "00" * 16, "name": "a\nb"},
        {"uuid": "00" * 16, "name": "x" * 65}, {"uuid": "00" * 16, "static": "00" * 33},
    ],
)  # fmt: skip
async def test_a_bad_request_is_refused_by_name(at: Sites, asked: dict[str, Any]) -> None:
    async with at(Capabilities(1)) as site:
        with pytest.raises(Rejected):
            await site.desk.add(asked)


async def test_questions_about_no_job_are_refused(at: Sites) -> None:
    async with at(Capabilities(1)) as site:
        for question in (site.desk.follow({"job": 3}), site.desk.answer({"value": "1"})):
            with pytest.raises(Rejected, match="no such job"):
                await question
        for seconds in (0, 61, True, "5"):
            with pytest.raises(Rejected):
                await site.desk.scan({"seconds": seconds})


async def test_a_link_that_can_do_nothing_says_so(tmp_path: Path) -> None:
    async def nothing() -> None:
        """There is nothing to refresh."""

    desk = Desk(1, PlainSite(tmp_path / "none"), None, nothing, ManualClock(), lambda *_, **__: None)
    asked: dict[str, Any] = {"uuid": "00" * 16, "seconds": 1}
    for question in (desk.scan, desk.add):
        with pytest.raises(NotSupported):
            await question(asked)
    with pytest.raises(MeshtwinError):
        await desk.remove({"node": 5})
