"""The Config server of a real bluetooth-meshd understands what is built here, and is understood."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pytest

from firmware_bridge.access import catalogue
from firmware_bridge.access.composition import Composition, CompositionGet, CompositionStatus
from firmware_bridge.access.config_heartbeat import (
    HeartbeatPublicationGet,
    HeartbeatPublicationStatus,
    HeartbeatSubscriptionGet,
    HeartbeatSubscriptionStatus,
)
from firmware_bridge.access.config_keys import (
    AppKeyAdd,
    AppKeyDelete,
    AppKeyGet,
    AppKeyList,
    AppKeyStatus,
    KeyRefreshPhaseGet,
    KeyRefreshPhaseStatus,
    NetKeyAdd,
    NetKeyDelete,
    NetKeyGet,
    NetKeyList,
    NetKeyStatus,
    NodeIdentityGet,
    NodeIdentityStatus,
    Phase,
)
from firmware_bridge.access.config_models import (
    ModelSubscriptionAdd,
    ModelSubscriptionDeleteAll,
    ModelSubscriptionStatus,
    ModelSubscriptionVirtualAdd,
    SigModelAppGet,
    SigModelAppList,
    SigModelSubscriptionGet,
    SigModelSubscriptionList,
)
from firmware_bridge.access.config_publication import (
    ModelPublicationGet,
    ModelPublicationStatus,
    ModelPublicationVirtualSet,
)
from firmware_bridge.access.config_state import (
    BeaconSet,
    BeaconStatus,
    FeatureState,
    FriendGet,
    FriendStatus,
    GattProxyGet,
    GattProxyStatus,
    LowPowerPollTimeoutGet,
    LowPowerPollTimeoutStatus,
)
from firmware_bridge.access.generic_onoff import SERVER as LAMP
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.access.opcodes import opcode_bytes
from firmware_bridge.stack.upper import virtual_address
from tests.meshlab.raw_node import RawNode
from tests.meshlab.test_meshlab_network import _mesh as mesh

pytestmark = pytest.mark.meshlab

A = TypeVar("A", bound=AccessMessage)

LABEL = bytes(range(16))
VIRTUAL = virtual_address(LABEL)
GROUP = 0xC005


class Client:
    """Asks the second of two real nodes through the first."""

    def __init__(self, node: RawNode, address: int) -> None:
        self._node = node
        self.address = address

    async def ask(self, question: AccessMessage, answer: type[A]) -> A:
        wanted = opcode_bytes(answer.OPCODE)
        parsed = catalogue.parse(await self._node.configure(self.address, build(question), wanted, 5.0))
        assert isinstance(parsed, answer)
        return parsed


async def test_a_real_node_understands_and_is_understood(tmp_path: Path) -> None:
    async with mesh(tmp_path, 2) as (_, nodes):
        client = Client(nodes[0], nodes[1].address)
        await _states(client)
        await _keys(client)
        await _subscriptions(client)
        await _publications(client)


async def _states(client: Client) -> None:
    page = (await client.ask(CompositionGet(), CompositionStatus)).parsed()
    assert isinstance(page, Composition)
    assert (0, LAMP) in list(page.models())
    assert (await client.ask(BeaconSet(True), BeaconStatus)).on
    assert (await client.ask(FriendGet(), FriendStatus)).state == FeatureState.OFF
    assert (await client.ask(GattProxyGet(), GattProxyStatus)).state == FeatureState.UNSUPPORTED
    asleep = await client.ask(LowPowerPollTimeoutGet(0x0077), LowPowerPollTimeoutStatus)
    assert asleep == LowPowerPollTimeoutStatus(0x0077, 0)


async def _keys(client: Client) -> None:
    assert await client.ask(NetKeyAdd(0x123, LABEL), NetKeyStatus) == NetKeyStatus(0, 0x123)
    subnets = await client.ask(NetKeyGet(), NetKeyList)
    assert sorted(subnets.net_key_indexes) == [0, 0x123]
    added = await client.ask(AppKeyAdd(0x123, 0x456, LABEL[::-1]), AppKeyStatus)
    assert added == AppKeyStatus(0, 0x123, 0x456)
    assert (await client.ask(AppKeyGet(0x123), AppKeyList)).app_key_indexes == (0x456,)
    assert (await client.ask(KeyRefreshPhaseGet(0), KeyRefreshPhaseStatus)).phase == Phase.NORMAL
    assert (await client.ask(NodeIdentityGet(0), NodeIdentityStatus)).status == 0
    assert (await client.ask(AppKeyDelete(0x123, 0x456), AppKeyStatus)).status == 0
    assert (await client.ask(NetKeyDelete(0x123), NetKeyStatus)).status == 0


async def _subscriptions(client: Client) -> None:
    element = client.address
    bound = await client.ask(SigModelAppGet(element, LAMP), SigModelAppList)
    assert bound.app_key_indexes == (0,)
    await client.ask(ModelSubscriptionAdd(element, GROUP, LAMP), ModelSubscriptionStatus)
    added = await client.ask(ModelSubscriptionVirtualAdd(element, LABEL, LAMP), ModelSubscriptionStatus)
    assert added == ModelSubscriptionStatus(0, element, VIRTUAL, LAMP)
    listed = await client.ask(SigModelSubscriptionGet(element, LAMP), SigModelSubscriptionList)
    assert {GROUP, VIRTUAL} <= set(listed.addresses)
    cleared = await client.ask(ModelSubscriptionDeleteAll(element, LAMP), ModelSubscriptionStatus)
    assert cleared.status == 0


async def _publications(client: Client) -> None:
    element = client.address
    before = await client.ask(ModelPublicationGet(element, LAMP), ModelPublicationStatus)
    assert (before.status, before.publication.address) == (0, 0)
    wanted = ModelPublicationVirtualSet(element, LABEL, LAMP, ttl=5, period=0)
    after = await client.ask(wanted, ModelPublicationStatus)
    assert (after.status, after.publication.address, after.publication.ttl) == (0, VIRTUAL, 5)
    assert (await client.ask(HeartbeatPublicationGet(), HeartbeatPublicationStatus)).status == 0
    assert (await client.ask(HeartbeatSubscriptionGet(), HeartbeatSubscriptionStatus)).status == 0
