"""The lab's site files: what `cdb` reads from them is what was planned."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from common.errors import Rejected, RejectReason
from common.mesh import cdb
from common.mesh.configuration import Transmit
from firmware_bridge.access.fields import ModelId
from firmware_bridge.bluez.attachment import NodeIdentity
from firmware_bridge.foundation.commissioner import GATEWAY_MODELS, NODE_MODELS
from tools.meshlab import sitefile
from tools.meshlab.sitefile import SitePlan

PLAN = SitePlan(5, gateways=2, relays=frozenset({3}), default_ttl=5, network_transmit=Transmit(3, 30))


def test_the_file_says_what_was_planned(tmp_path: Path) -> None:
    site = sitefile.write(tmp_path / "site.json", PLAN)
    assert [node.unicast_address for node in site.live_nodes()] == [PLAN.address_of(i) for i in range(5)]
    relay, plain = (site.node(PLAN.address_of(index)).configuration() for index in (3, 4))
    assert (relay.relay, plain.relay) == (True, False)
    assert (plain.default_ttl, plain.network_transmit) == (5, Transmit(3, 30))
    assert site.app_keys[0].bound_net_key == site.net_keys[0].index


def test_gateways_and_lamps_have_their_models(tmp_path: Path) -> None:
    site = sitefile.write(tmp_path / "site.json", PLAN)
    for index, models in ((1, GATEWAY_MODELS), (2, NODE_MODELS)):
        (element,) = site.node(PLAN.address_of(index)).elements
        listed = [ModelId.from_site_file(model.model_id) for model in element.models]
        assert listed == [ModelId(0), *models]


def test_every_key_is_another_one_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    site = sitefile.write(path, PLAN)
    keys = {node.device_key.reveal() for node in site.nodes}
    keys |= {site.net_keys[0].key.reveal(), site.app_keys[0].key.reveal()}
    assert len(keys) == 7
    assert cdb.permissions_warning(path) is None
    assert sitefile.write(path, PLAN).net_keys[0].key.reveal() not in keys


def test_a_seed_makes_the_same_site_again(tmp_path: Path) -> None:
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    for path in (first, second):
        sitefile.write(path, PLAN, Random(4).randbytes)
    assert json.loads(first.read_text()) == json.loads(second.read_text())


def test_identities_are_valid_for_the_daemon(tmp_path: Path) -> None:
    site = sitefile.write(tmp_path / "site.json", PLAN)
    uuid = NodeIdentity.of(site, PLAN.address_of(4)).uuid
    assert (uuid[6] >> 4, uuid[8] >> 6) == (4, 0b10)


def test_addresses_and_indices_belong_together() -> None:
    assert [PLAN.index_of(PLAN.address_of(index)) for index in range(5)] == list(range(5))
    with pytest.raises(Rejected) as refused:
        PLAN.address_of(5)
    assert refused.value.reason is RejectReason.OUT_OF_RANGE
    for address in (1, PLAN.address_of(4) + 1):
        with pytest.raises(Rejected):
            PLAN.index_of(address)


@pytest.mark.parametrize(("gateways", "relay"), [(0, 1), (6, 1), (1, 5), (1, -1)])
def test_a_plan_without_gateways_or_with_strange_relays_is_refused(gateways: int, relay: int) -> None:
    with pytest.raises(Rejected):
        SitePlan(5, gateways=gateways, relays=frozenset({relay}))
