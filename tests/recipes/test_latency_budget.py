"""When a flow's share in time is called too small."""

from __future__ import annotations

import pytest

from common.radio import FlowOutcome
from coordinator.recipes.timing_questions import Timed, _at_most
from coordinator.twin.site_model import SiteFlow


def timed(sent: int, within: float) -> Timed:
    flow = SiteFlow(source=1, destination=2, period_s=60.0, payload_bytes=3)
    found = FlowOutcome(
        source=1, destination=2, sent=sent, delivered=round(sent * within), pdr=within, reached_any=within,
        hops=1.0, one_way_ms=None, round_trip_ms=None, answered=0,
    )  # fmt: skip
    return Timed(flow, found, 150.0, within)


@pytest.mark.parametrize(("sent", "within"), [(12, 11 / 12), (6, 5 / 6), (30, 0.9)])
def test_a_lost_message_of_few_decides_nothing(sent: int, within: float) -> None:
    assert _at_most(timed(sent, within)) >= 0.95


@pytest.mark.parametrize(("sent", "within"), [(12, 0.5), (300, 0.9), (5000, 0.94)])
def test_what_chance_does_not_explain_is_late(sent: int, within: float) -> None:
    assert _at_most(timed(sent, within)) < 0.95
