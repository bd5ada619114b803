"""From what is stored to what is shown."""

from __future__ import annotations

import pytest

from coordinator.api import views
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
