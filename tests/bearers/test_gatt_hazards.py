"""What real bluetoothd and real links do to a client, one test each."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakDBusError

from common.errors import Unavailable
from firmware_bridge.bearers.bearer import BearerDown, BearerUp, PduReceived
from firmware_bridge.bearers.gatt_liveness import Liveness
from firmware_bridge.bearers.gatt_service import PROXY
from firmware_bridge.stack.proxy import PduType
from tests.bearers.gateway import OURS, STRANGERS, gateway, until
from tools.gattlab.bluez_objects import BluezError
from tools.gattlab.lab import GattLab

BEACON = b"a beacon of 22 bytes.."


async def test_after_a_link_loss_the_dropped_client_is_disconnected_before_reconnecting(lab: GattLab) -> None:
    node = await lab.node(OURS)
    node.subscribed = lambda: node.send(PduType.BEACON, BEACON)
    async with gateway() as ours:
        for _ in range(3):
            await ours.next(BearerUp)
            assert (await ours.next(PduReceived)).data == BEACON
            await node.drop()
            await ours.next(BearerDown)
        await ours.next(BearerUp)
    assert lab.bluez.subscriptions.by_itself == 0


async def test_bluetoothd_subscribes_by_itself_for_a_client_that_was_not_disconnected(lab: GattLab) -> None:
    """The hazard itself, so that the test above means something."""
    node = await lab.node(OURS)
    device = await BleakScanner.find_device_by_address(node.address, timeout=5.0)
    assert device is not None
    dropped = BleakClient(device)
    await dropped.connect()
    await dropped.start_notify(PROXY.data_out, lambda _, __: None)
    await node.drop()
    await until(lambda: not dropped.is_connected)
    async with BleakClient(device):
        assert lab.bluez.subscriptions.by_itself == 1
    await dropped.disconnect()


async def test_after_a_kill_of_bluetoothd_the_own_liveness_check_ends_the_connection(lab: GattLab) -> None:
    await lab.node(OURS)
    async with gateway() as ours:
        await ours.next(BearerUp)
        await lab.bluez.kill()
        down = await ours.next(BearerDown)
        assert "bluetoothd left" in down.reason
        await lab.start_bluetoothd()
        await ours.next(BearerUp)


async def test_after_a_kill_of_bluetoothd_is_connected_stays_true(lab: GattLab) -> None:
    """The hazard itself: no callback either; only the next write raises, ServiceUnknown."""
    node = await lab.node(OURS)
    device = await BleakScanner.find_device_by_address(node.address, timeout=5.0)
    assert device is not None
    lost: list[BleakClient] = []
    client = BleakClient(device, lost.append)
    await client.connect()
    await lab.bluez.kill()
    with pytest.raises(BleakDBusError, match="ServiceUnknown"):
        await client.write_gatt_char(PROXY.data_in, b"\x00", response=False)
    assert client.is_connected
    assert not lost
    with pytest.raises(BleakDBusError):
        await client.disconnect()


async def test_a_write_over_the_mtu_fails_so_pdus_are_split_by_the_negotiated_mtu(lab: GattLab) -> None:
    node = await lab.node(OURS, mtu=33)
    whole: list[bytes] = []
    node.received = lambda _, data: whole.append(data)
    async with gateway() as ours:
        await ours.next(BearerUp)
        await ours.bearer.send(PduType.PROVISIONING, bytes(range(66)))
        await until(lambda: bool(whole))
        assert whole == [bytes(range(66))]
        assert [len(piece) for piece in node.raw] == [30, 30, 9]
        assert ours.bearer._connection is not None
        with pytest.raises(BleakDBusError, match="Failed to initiate write"):
            await ours.bearer._connection._client.write_gatt_char(PROXY.data_in, bytes(31), response=False)


async def test_a_connect_to_a_silent_node_is_bounded_and_another_proxy_is_tried(lab: GattLab) -> None:
    silent = await lab.node(OURS, rssi=-30)
    silent.mute = True
    other = await lab.node(OURS, rssi=-80)
    async with gateway(connect_s=0.5) as ours:
        assert (await ours.next(BearerUp)).peer == other.address
        await until(lambda: not silent.connected)


async def test_a_connect_to_a_node_that_went_away_is_bounded(lab: GattLab) -> None:
    gone = await lab.node(OURS, rssi=-30)
    other = await lab.node(OURS, rssi=-80)
    async with gateway(connect_s=0.5, settle_s=0.5) as ours:
        await until(lambda: lab.bluez.knows(gone.address))
        await gone.hide()
        assert (await ours.next(BearerUp)).peer == other.address
    assert gone.connects == 0
    assert lab.bluez.calls["Connect"] == 2


async def test_a_beacon_sent_during_the_subscription_write_arrives(lab: GattLab) -> None:
    node = await lab.node(OURS)
    node.subscribed = lambda: node.send(PduType.BEACON, BEACON)
    async with gateway() as ours:
        assert await ours.next(PduReceived) == PduReceived(PduType.BEACON, BEACON)
        assert [type(event) for event in ours.told] == [BearerUp, PduReceived]


async def test_a_hanging_bluetoothd_is_noticed_and_closing_stays_quick(lab: GattLab) -> None:
    await lab.node(OURS)
    liveness = Liveness(ask_after_s=0.1, answer_s=0.2)
    async with gateway(liveness=liveness) as ours:
        await ours.next(BearerUp)
        lab.bluez.hang()
        assert "no answer" in (await ours.next(BearerDown)).reason


async def test_a_write_that_fails_ends_the_connection_and_the_next_one_serves(lab: GattLab) -> None:
    await lab.node(OURS)
    async with gateway() as ours:
        await ours.next(BearerUp)
        lab.bluez.fail_next("WriteValue", BluezError("Failed", "Failed to initiate write"))
        with pytest.raises(Unavailable):
            await ours.bearer.send(PduType.NETWORK, b"lost")
        assert "initiate write" in (await ours.next(BearerDown)).reason
        await ours.next(BearerUp)
        await ours.bearer.send(PduType.NETWORK, b"heard")


_CLIENT = """
import asyncio, sys
from bleak import BleakClient, BleakScanner

async def main():
    device = await BleakScanner.find_device_by_address(sys.argv[1], timeout=10.0)
    client = BleakClient(device)
    await client.connect()
    await client.start_notify(sys.argv[2], lambda _, __: None)
    print("connected", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_after_a_kill_of_ourselves_the_proxy_that_bluetoothd_keeps_connected_is_found(
    lab: GattLab,
) -> None:
    """It does not advertise while connected: nobody would hear it again."""
    node = await lab.node(OURS)
    command = [sys.executable, "-c", _CLIENT, node.address, PROXY.data_out]
    client = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert await client.stdout.readline() == b"connected\n"
    client.kill()
    await client.wait()
    await until(lambda: not node.listened_to)
    assert node.connected
    async with gateway() as ours:
        await ours.next(BearerUp)


async def test_connections_that_are_not_to_our_network_are_left_alone(lab: GattLab) -> None:
    strangers = await lab.node(STRANGERS)
    device = await BleakScanner.find_device_by_address(strangers.address, timeout=5.0)
    assert device is not None
    async with BleakClient(device):
        await lab.node(OURS)
        async with gateway() as ours:
            await ours.next(BearerUp)
            assert strangers.connected


async def test_discovery_survives_a_bearer_that_is_closed_while_it_scans(lab: GattLab) -> None:
    """A StartDiscovery whose answer nobody took would make every later scan end as being in progress."""
    await lab.node(OURS)
    for turn in range(8):
        async with gateway():
            for _ in range(turn):
                await asyncio.sleep(0)
    async with gateway() as ours:
        await ours.next(BearerUp)
