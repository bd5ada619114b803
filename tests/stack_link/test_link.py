"""What the link over our own stack does besides the contract: IV index, filter, numbers, hostile PDUs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from common.errors import Misconfigured, Rejected, TimedOut, Unavailable
from common.mesh.cdb import SiteFile
from common.mesh.configuration import ConfigurationChange, Transmit
from firmware_bridge.access.config_state import DefaultTtlGet
from firmware_bridge.access.generic_onoff import OnOffGet, OnOffStatus
from firmware_bridge.access.link_monitor import MonitorGet, MonitorSet
from firmware_bridge.access.message import build
from firmware_bridge.link import LinkDown, LinkUp, NeighbourCount, NeighbourReport
from firmware_bridge.stack.keys import DeviceKey
from firmware_bridge.stack.proxy import PduType
from firmware_bridge.stack_link import iv_keeper
from firmware_bridge.stack_link.outgoing import MOST
from tests.bridge.real_site import site_document
from tests.stack_link.wired import (
    GATEWAY,
    LAMP,
    PROXY,
    SITE,
    PeerLamp,
    WiredAir,
    WiredBearer,
    new_link,
    until,
    wired,
)


async def test_a_first_beacon_tells_the_iv_index_however_high(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredBearer(iv_index=5_000_001)) as here:
        assert (await here.switch(True)).present
    async with wired(tmp_path, WiredBearer(5_000_001, lamp=here.bearer.lamp)) as again:
        assert (await again.switch(False)).present is False


async def test_once_it_is_known_the_iv_index_follows_the_rules(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredBearer(iv_index=7)) as here:
        here.bearer.beacon(7 + 43)
        assert (await here.switch(True)).present


async def test_a_node_on_the_air_waits_for_no_beacon(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredAir()) as here:
        assert (await here.switch(True)).present


async def test_a_proxy_that_confirms_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.stack_link.proxy_filter.REPEAT_S", 0.01)
    bearer = WiredBearer()
    bearer.deaf = True
    link = new_link(bearer, tmp_path)
    opening = asyncio.ensure_future(link.open())
    await until(lambda: bearer.opened >= 2)
    bearer.deaf = False
    await opening
    await link.close()


async def test_only_what_is_for_us_is_asked_of_a_proxy(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        kept = here.bearer._server.filter
        assert kept.passes(GATEWAY)
        assert kept.passes(0xFFFF)
        assert kept.passes(0xC101)
        assert not kept.passes(LAMP)


async def test_a_proxy_is_told_as_a_perfect_neighbour(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        await here.link.send(GATEWAY, build(MonitorSet(period_units=1, report_every=3, transmissions=1)))

        def reports() -> dict[int, tuple[NeighbourCount, ...]]:
            told = [event for event in here.events if isinstance(event, NeighbourReport)]
            return {report.receiver: report.neighbours for report in told}

        await until(lambda: len(reports()) == 2)
        assert reports() == {
            GATEWAY: (NeighbourCount(PROXY, 3, 3),),
            PROXY: (NeighbourCount(GATEWAY, 3, 3),),
        }


async def test_a_probe_goes_on_air_as_often_as_it_says(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredAir()) as here:
        await here.link.send(GATEWAY, build(MonitorSet(period_units=1, report_every=3, transmissions=3)))
        await until(lambda: any(each is not None for _, _, each in here.bearer.sent))
        assert {each for _, _, each in here.bearer.sent} <= {None, Transmit(2, 20), Transmit(3, 20)}
        await until(lambda: Transmit(3, 20) in [each for _, _, each in here.bearer.sent])


@pytest.mark.parametrize("killed", [False, True])
async def test_numbers_go_on_over_lives(tmp_path: Path, killed: bool) -> None:
    used: list[int] = []
    lamp = PeerLamp(0)
    for life in range(3):
        async with wired(tmp_path, WiredBearer(lamp=lamp)) as here:
            await here.switch(True, life)
            used += here.numbers()
            if killed:
                here.link._own._put_away = lambda node: None  # type: ignore[method-assign]
    assert len(used) == len(set(used)) == 3
    assert used == sorted(used)
    # An orderly end wastes nothing, a kill the rest of a block.
    assert (used[-1] > 2 * 256) is killed


async def test_a_message_of_an_earlier_life_is_a_replay(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredAir()) as here:
        here.bearer.lamp.node.send(GATEWAY, build(OnOffGet()), 0.0, application=0)
        (recorded,) = here.bearer.lamp.node.outgoing()
        here.bearer.tell(PduType.NETWORK, recorded)
        await until(lambda: len(here.messages()) == 1)
    async with wired(tmp_path, WiredAir()) as again:
        again.bearer.tell(PduType.NETWORK, recorded)
        await until(lambda: again.link.refused)
        assert not again.messages()


async def test_a_node_that_was_added_is_known_and_may_count_anew(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredAir()) as here:
        here.bearer.lamp.node.sequence.take(1000)
        await here.switch(True)
        document = site_document(3, seed=1)
        document["nodes"][1]["deviceKey"] = bytes(16).hex()
        await here.link.adopt(SiteFile.model_validate(document), {LAMP})
        here.bearer.lamp = type(here.bearer.lamp)(0)
        assert (await here.switch(True, 1)).present


async def test_what_was_adopted_while_closed_is_known_when_it_opens(tmp_path: Path) -> None:
    document = site_document(3)
    document["nodes"][1]["deviceKey"] = bytes(16).hex()
    link = new_link(WiredAir(), tmp_path)
    await link.adopt(SiteFile.model_validate(document), {LAMP})
    await link.open()
    parts = link._own._parts
    assert parts is not None
    assert parts.node.keyring.device(LAMP).key == bytes(16)
    await link.close()


async def test_an_unknown_node_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        with pytest.raises(Rejected):
            await here.link.configure(0x0666, ConfigurationChange())


async def test_config_messages_of_others_are_not_answered(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredAir()) as here:
        lamp = here.bearer.lamp.node
        lamp.keyring.devices[GATEWAY] = DeviceKey(SITE.node(GATEWAY).device_key.reveal())
        lamp.send(GATEWAY, build(DefaultTtlGet()), 0.0, device=GATEWAY)
        here.bearer.tell(PduType.NETWORK, lamp.outgoing()[0])
        await here.switch(True)
        assert [event.application for event in here.bearer.lamp.heard] == [0]


async def test_a_long_question_is_not_queued_behind_itself(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        here.bearer.lamp.take = lambda data: []  # type: ignore[method-assign]
        payload = bytes.fromhex("fef105") + bytes(40)
        for _ in range(50):
            await here.link.send(LAMP, payload)
        assert len(here.link._own.speaker()._under_way) == 1


async def test_a_disk_that_is_full_stops_sending_and_nothing_else(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        await here.switch(True)
        here.link._own._state.close()
        with pytest.raises(Unavailable):
            await asyncio.gather(*(here.link.send(LAMP, build(OnOffGet())) for _ in range(300)))
        here.link._own._state.open()
        assert (await here.switch(False, 1)).present is False


async def test_a_second_agent_on_the_same_state_is_turned_away(tmp_path: Path) -> None:
    async with wired(tmp_path):
        with pytest.raises(Misconfigured):
            await new_link(WiredBearer(), tmp_path).open()


async def test_noise_of_every_kind_changes_nothing(tmp_path: Path) -> None:
    random = Random(5)
    async with wired(tmp_path) as here:
        for _ in range(3000):
            here.bearer.tell(random.choice(list(PduType)), random.randbytes(random.randrange(70)))
            if random.random() < 0.01:
                await asyncio.sleep(0)
        assert (await here.switch(True)).present
        assert not [event for event in here.events if isinstance(event, LinkDown)]


async def test_questions_beyond_what_waits_are_dropped_and_counted(tmp_path: Path) -> None:
    async with wired(tmp_path, WiredAir()) as here:
        lamp, speaker = here.bearer.lamp.node, here.link._own.speaker()
        for _ in range(400):
            lamp.send(GATEWAY, build(MonitorGet()), 0.0, application=0)
        gate, bearer = asyncio.Event(), here.bearer

        async def slowly(kind: PduType, data: bytes, transmit: Transmit | None = None) -> None:
            await gate.wait()
            bearer.take(kind, data, transmit)

        here.bearer.send = slowly  # type: ignore[method-assign]
        for pdu in lamp.outgoing():
            here.bearer.tell(PduType.NETWORK, pdu)
        await until(lambda: speaker.replies_dropped > 200)
        gate.set()
        assert (await here.switch(True)).present


async def test_a_lost_wire_is_told_once_and_found_again(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        here.bearer.down()
        await until(lambda: [e for e in here.events if isinstance(e, LinkDown)])
        with pytest.raises(Unavailable):
            await here.link.send(LAMP, build(OnOffGet()))
        here.bearer.up()
        await until(lambda: len([e for e in here.events if isinstance(e, LinkUp)]) == 2)
        assert (await here.switch(True)).present
        assert len([e for e in here.events if isinstance(e, LinkDown)]) == 1


async def test_an_answer_that_was_lost_times_out(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        here.bearer.lamp.take = lambda data: []  # type: ignore[method-assign]
        with pytest.raises(TimedOut):
            await here.link.request(LAMP, build(OnOffGet()), OnOffStatus.OPCODE, 0.05)


async def test_low_numbers_make_the_gateway_move_the_iv_index_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iv_keeper, "BEACON_PERIOD_S", 0.01)
    async with wired(tmp_path, WiredBearer(iv_index=7)) as here:
        await here.switch(True)
        node = here.link._own._parts
        assert node is not None
        node.node.iv = replace(node.node.iv, since=0.0)  # as four days after we joined
        node.node.sequence.take(0xC0_0000)
        await until(lambda: [kind for kind, _, _ in here.bearer.sent if kind is PduType.BEACON])
        assert (node.node.iv.index, node.node.iv.updating) == (8, True)


async def test_what_a_bearer_does_not_take_is_bounded(tmp_path: Path) -> None:
    async with wired(tmp_path) as here:
        parts = here.link._own._parts
        assert parts is not None
        for _ in range(MOST + 5):
            parts.outgoing.put(PduType.NETWORK, bytes(20))
        assert parts.outgoing.left_out == 5
        assert parts.outgoing.full
