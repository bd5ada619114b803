"""The GATT proxy bearer through bleak's own BlueZ backend."""

from __future__ import annotations

import asyncio

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from common.clock import SystemClock
from common.errors import MeshtwinError, Misconfigured, RejectReason, Unavailable
from firmware_bridge.bearers.bearer import BearerDown, BearerUp, ChoosingBearer, PduReceived
from firmware_bridge.bearers.gatt_liveness import Check, Liveness
from firmware_bridge.bearers.gatt_proxy import GattProxyBearer
from firmware_bridge.bearers.gatt_scan import MOST_ADVERTISEMENTS, ProxyScan
from firmware_bridge.bearers.gatt_service import PROXY
from firmware_bridge.stack.beacons import node_identity, private_network_identity
from firmware_bridge.stack.proxy import PduType
from tests.bearers.gateway import KEY, OURS, PATIENCE_S, STRANGERS, gateway, until
from tools.gattlab.bluez_objects import BluezError
from tools.gattlab.lab import GattLab

RANDOM = bytes(range(8))


async def test_pdus_pass_both_ways_through_the_proxy_of_our_network(lab: GattLab) -> None:
    await lab.node(STRANGERS, rssi=-30)
    node = await lab.node(OURS, rssi=-80)
    heard: list[tuple[PduType, bytes]] = []
    node.received = lambda kind, data: heard.append((kind, data))
    async with gateway() as ours:
        assert await ours.next(BearerUp) == BearerUp(node.address, filters=True)
        await ours.bearer.send(PduType.NETWORK, b"to the mesh")
        await until(lambda: bool(heard))
        assert heard == [(PduType.NETWORK, b"to the mesh")]
        node.send(PduType.NETWORK, b"from the mesh")
        assert await ours.next(PduReceived) == PduReceived(PduType.NETWORK, b"from the mesh")
    await until(lambda: not node.connected)


@pytest.mark.parametrize(
    ("data", "who"),
    [
        (b"\x01" + node_identity(KEY, RANDOM, 7) + RANDOM, "node 0x0007"),
        (b"\x02" + private_network_identity(KEY, RANDOM) + RANDOM, "F1:00:00:00:00:01"),
        (b"\x03" + node_identity(KEY, RANDOM, 7, private=True) + RANDOM, "node 0x0007"),
    ],
    ids=["node-identity", "private-network-identity", "private-node-identity"],
)
async def test_a_proxy_is_found_by_each_kind_of_identity(lab: GattLab, data: bytes, who: str) -> None:
    await lab.node(data)
    async with gateway() as ours:
        assert (await ours.next(BearerUp)).peer == who


async def test_many_pdus_arrive_in_order_whatever_their_length(lab: GattLab) -> None:
    node = await lab.node(OURS, mtu=23)
    heard: list[bytes] = []
    node.received = lambda _, data: heard.append(data)
    pdus = [bytes((number,)) * (1 + number) for number in range(60)]
    async with gateway() as ours:
        await ours.next(BearerUp)
        await asyncio.gather(*(ours.bearer.send(PduType.NETWORK, each) for each in pdus))
        for each in pdus:
            node.send(PduType.NETWORK, each)
        assert [(await ours.next(PduReceived)).data for _ in pdus] == pdus
        await until(lambda: len(heard) == len(pdus))
    assert heard == pdus


async def test_the_strongest_proxy_is_chosen_and_another_takes_over_when_it_dies(lab: GattLab) -> None:
    strong = await lab.node(OURS, rssi=-40)
    weak = await lab.node(OURS, rssi=-75)
    async with gateway(settle_s=0.3) as ours:
        assert (await ours.next(BearerUp)).peer == strong.address
        await strong.stop()
        await ours.next(BearerDown)
        with pytest.raises(Unavailable):
            await ours.bearer.send(PduType.NETWORK, b"nowhere")
        assert (await ours.next(BearerUp)).peer == weak.address


async def test_a_proxy_that_refuses_is_passed_over(lab: GattLab) -> None:
    refusing = await lab.node(OURS, rssi=-40)
    refusing.refuse = True
    willing = await lab.node(OURS, rssi=-75)
    async with gateway(settle_s=0.3, connect_s=0.7) as ours:
        while (await ours.next(BearerUp)).peer != willing.address:
            pass
        assert refusing.connects >= 1
        assert ours.bearer.history.resting(refusing.address, asyncio.get_running_loop().time())


async def test_a_connect_that_bluetoothd_refuses_is_tried_again(lab: GattLab) -> None:
    await lab.node(OURS)
    lab.bluez.fail_next("Connect", BluezError("Failed", "br-connection-canceled"))
    async with gateway() as ours:
        await ours.next(BearerUp)
    assert lab.bluez.calls["Connect"] == 2


async def test_a_proxy_that_breaks_the_rules_of_pieces_is_hung_up_on_and_counted(lab: GattLab) -> None:
    node = await lab.node(OURS)
    async with gateway() as ours:
        await ours.next(BearerUp)
        node.notify(b"\xc0a last piece without a first")
        assert "invalid" in (await ours.next(BearerDown)).reason
        await ours.next(BearerUp)
        assert ours.bearer.refused == {RejectReason.INVALID: 1}


async def test_a_proxy_that_stops_answering_is_left(lab: GattLab) -> None:
    node = await lab.node(OURS)
    async with gateway(liveness=Liveness(ask_after_s=0.1, answer_s=0.3)) as ours:
        await ours.next(BearerUp)
        node.mute = True
        await ours.next(BearerDown)
        node.mute = False
        await ours.next(BearerUp)


async def test_a_quiet_proxy_that_answers_is_kept_until_the_mesh_was_silent_for_too_long(
    lab: GattLab,
) -> None:
    node = await lab.node(OURS)
    async with gateway(liveness=Liveness(ask_after_s=0.1, answer_s=2.0, silence_s=0.8)) as ours:
        await ours.next(BearerUp)
        assert "nothing was heard" in (await ours.next(BearerDown)).reason
        assert lab.bluez.calls["ReadValue"] >= 2
    assert node.connects >= 1


async def test_a_pretended_proxy_that_the_link_distrusts_makes_way_for_a_true_one(lab: GattLab) -> None:
    pretended = await lab.node(OURS, rssi=-30)
    true = await lab.node(OURS, rssi=-80)
    async with gateway(settle_s=0.3) as ours:
        assert isinstance(ours.bearer, ChoosingBearer)
        assert (await ours.next(BearerUp)).peer == pretended.address
        ours.bearer.distrust("it does not confirm its filter")
        assert (await ours.next(BearerDown)).reason == "it does not confirm its filter"
        assert (await ours.next(BearerUp)).peer == true.address


async def test_a_proxy_that_refuses_the_question_has_answered(lab: GattLab) -> None:
    node = await lab.node(OURS)
    async with gateway(liveness=Liveness(ask_after_s=0.1, answer_s=2.0)) as ours:
        await ours.next(BearerUp)
        for _ in range(3):
            lab.bluez.fail_next("ReadValue", BluezError("NotPermitted", "Read not permitted"))
        await until(lambda: lab.bluez.calls.get("ReadValue", 0) > 3)
        node.send(PduType.NETWORK, b"still here")
        assert (await ours.next(PduReceived)).data == b"still here"
        assert ours.bearer.history.trust(node.address, 0.0) == 0.5


async def test_a_proxy_that_forgot_the_subscription_is_connected_to_anew(lab: GattLab) -> None:
    node = await lab.node(OURS)
    async with gateway(liveness=Liveness(ask_after_s=0.1, answer_s=2.0)) as ours:
        await ours.next(BearerUp)
        node.forget_subscription()
        assert "forgot" in (await ours.next(BearerDown)).reason
        await ours.next(BearerUp)
        node.send(PduType.NETWORK, b"subscribed again")
        assert (await ours.next(PduReceived)).data == b"subscribed again"


def test_silences_are_judged_by_their_length() -> None:
    liveness = Liveness(ask_after_s=10.0, silence_s=100.0)
    assert liveness.check(heard=0.0, answered=0.0, now=4.0) == (Check.WAIT, 6.0)
    assert liveness.check(heard=0.0, answered=0.0, now=10.0) == (Check.ASK, 10.0)
    assert liveness.check(heard=0.0, answered=10.0, now=12.0) == (Check.WAIT, 8.0)
    assert liveness.check(heard=0.0, answered=95.0, now=96.0) == (Check.WAIT, 4.0)
    assert liveness.check(heard=0.0, answered=99.0, now=100.0) == (Check.GIVE_UP, 0.0)


async def test_a_bearer_may_be_closed_twice_and_opened_again(lab: GattLab) -> None:
    await lab.node(OURS)
    async with gateway() as ours:
        await ours.next(BearerUp)
        await ours.bearer.close()
        await ours.bearer.close()
        assert [type(event) async for event in ours.bearer.events()] == [BearerDown]
        await ours.bearer.open()
        events = ours.bearer.events()
        assert isinstance(await anext(events), BearerUp)


async def test_without_an_adapter_that_is_on_opening_names_the_fix() -> None:
    async with GattLab(powered=False):
        with pytest.raises(Misconfigured, match="bluetoothctl power on"):
            await GattProxyBearer(lambda _: None).open()


async def test_without_bluetoothd_opening_says_so(lab: GattLab) -> None:
    await lab.bluez.kill()
    with pytest.raises(Unavailable):
        await GattProxyBearer(lambda _: None).open()


async def test_without_a_message_bus_opening_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nowhere = tmp_path_factory.mktemp("bus") / "none"
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={nowhere}")
    with pytest.raises(MeshtwinError):
        await GattProxyBearer(lambda _: None).open()


async def test_closing_in_the_moment_when_the_connection_ends_closes(lab: GattLab) -> None:
    await lab.node(OURS)
    for turns in range(6):
        async with gateway() as ours:
            await ours.next(BearerUp)
            lab.bluez.fail_next("WriteValue", BluezError("Failed", "Failed to initiate write"))
            with pytest.raises(Unavailable):
                await ours.bearer.send(PduType.NETWORK, b"lost")
            for _ in range(turns):
                await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE_S):
                await ours.bearer.close()


async def test_a_flood_of_made_up_identities_costs_a_bounded_number_of_hashes() -> None:
    looked_into: list[bytes] = []
    scan = ProxyScan(looked_into.append, SystemClock())
    device = BLEDevice("F1:00:00:00:00:01", None, {})
    for number in range(2 * MOST_ADVERTISEMENTS):
        for _ in range(2):
            data = b"\x01" + number.to_bytes(16, "big")
            scan.heard(device, AdvertisementData(None, {}, {PROXY.service: data}, [], None, -50, ()))
    assert len(looked_into) == MOST_ADVERTISEMENTS
    assert scan.ignored == 2 * MOST_ADVERTISEMENTS
    assert scan.found == []
