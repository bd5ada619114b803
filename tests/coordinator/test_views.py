"""From what is stored to what is shown."""

from __future__ import annotations

from typing import Literal

import pytest

from common.messages import Status
from coordinator.api import views
from coordinator.api.models import Gateway
from coordinator.identity.fleet import Fleet
from coordinator.repository.gateways import GatewayRecord
from coordinator.repository.latest import Latest


@pytest.mark.parametrize("pdr", [-(2.0**63), 5e300, float("inf"), -0.01, 1.01])
def test_a_delivery_ratio_that_cannot_be_is_not_shown(pdr: float) -> None:
    (link,) = views.links([_link(pdr)], now=10.0)
    assert (link.pdr, link.values) == (None, {"samples": 3.0})


@pytest.mark.parametrize("pdr", [0.0, 0.5, 1.0])
def test_a_delivery_ratio_is_shown_as_told(pdr: float) -> None:
    (link,) = views.links([_link(pdr)], now=10.0)
    assert (link.pdr, link.values) == (pdr, {"pdr": pdr, "samples": 3.0})


def _link(pdr: float) -> Latest:
    return Latest("office", "gw-1", {"transmitter": 1, "receiver": 2}, 9.0, {"pdr": pdr, "samples": 3.0})


def _gateways(*told: Status) -> list[Gateway]:
    records = {one.gateway: GatewayRecord(one.gateway, "office", 99.0, True, one) for one in told}
    return views.gateways(records, Fleet(), now=100.0)


def test_a_site_whose_gateways_all_lost_their_mesh_is_shown_so() -> None:
    def status(name: str, *, up: bool, tier: Literal["gateway", "mec"] = "gateway") -> Status:
        return Status(site="office", gateway=name, time=99.0, online=True, mesh_up=up, tier=tier)

    assert views.mesh_up(_gateways(status("gw-1", up=False), status("gw-2", up=True))) is True
    assert views.mesh_up(_gateways(status("gw-1", up=False), status("a-mec", up=True, tier="mec"))) is False
    assert views.mesh_up(_gateways(status("a-mec", up=False, tier="mec"))) is None
    (site,) = views.sites(_gateways(status("gw-1", up=False)), {})
    assert site.mesh_up is False
