"""The fleet view: which sites are worst, and whose twin is not to be trusted."""

from __future__ import annotations

import pytest

from coordinator.twin.calibration import Calibration
from coordinator.twin.fleet import Held, LastPlan, Standing, ranked, standing
from coordinator.twin.fleet_order import Order
from coordinator.twin.mirror_judgement import Judgement
from coordinator.twin.mirror_state import ObservedFlow
from coordinator.twin.score import FlowScore, score
from coordinator.twin.score_prediction import Foretold

NOW = 1_700_000_000.0


def judged(observed: float, foretold: float, trials: float = 100.0) -> Judgement:
    """Five flows that fared alike, the last one a little worse than the others."""
    flows = [
        FlowScore(
            ObservedFlow(source, 1, "sensing", False, trials, trials * (observed - 0.02 * (source == 6))),
            Foretold(foretold, 0.01),
        )
        for source in range(2, 7)
    ]
    return Judgement(NOW - 10.0, score(flows), Calibration(None, None, None))


def held(site: str, judgement: Judgement | None, age_s: float = 5.0, dead: int = 0) -> Held:
    return Held(site, NOW - age_s, 100, dead, 2, judgement)


def stand(one: Held, plan: LastPlan | None = None) -> Standing:
    return standing(one, plan, NOW)


def names(order: Order, *sites: Held, limit: int | None = None) -> list[str]:
    return [one.site for one in ranked(map(stand, sites), order, limit)]


GOOD = held("good", judged(0.95, 0.95))
BAD = held("bad", judged(0.55, 0.55))
"""A bad site with a good twin."""
WRONG = held("wrong", judged(0.9, 0.5))
NEW = held("new", None)
SILENT = held("silent", judged(0.95, 0.95), age_s=3600.0, dead=7)


def test_a_site_whose_mesh_is_down_is_not_to_be_trusted_and_comes_first() -> None:
    down, well = standing(GOOD, None, NOW, mesh_up=False), standing(BAD, None, NOW, mesh_up=True)
    assert (down.mesh_up, down.doubt, well.doubt) == (False, "its mesh is down", "")
    assert [one.site for one in ranked([well, down])] == ["good", "bad"]


def test_a_site_shows_what_arrives_and_what_its_twin_is_worth() -> None:
    plan = LastPlan("lighting-1", "lighting", "applied", NOW - 60.0)
    found = stand(BAD, plan)
    assert (found.site, found.age_s, found.nodes, found.gateways, found.plan) == ("bad", 5.0, 100, 2, plan)
    assert found.delivery == pytest.approx(0.546)
    assert found.worst is not None
    assert found.worst.source == 6
    assert found.worst.delivery == pytest.approx(0.53)
    assert found.score is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.score <= found.high
    assert (found.verdict, found.doubt, found.scored_s) == ("trusted", "", 10.0)


@pytest.mark.parametrize(
    ("one", "doubt"),
    [(WRONG, "error of delivery"), (NEW, "not scored yet"), (SILENT, "nothing was measured for 60 min")],
)
def test_a_twin_that_is_not_to_be_trusted_says_why(one: Held, doubt: str) -> None:
    assert doubt in stand(one).doubt


def test_flows_of_few_messages_are_not_named_the_worst() -> None:
    assert stand(held("young", judged(0.5, 0.5, trials=10.0))).worst is None


def test_the_worst_come_first_by_whatever_is_asked() -> None:
    sites = (GOOD, BAD, WRONG, NEW, SILENT)
    assert names(Order.TRUST, *sites) == ["new", "wrong", "silent", "bad", "good"]
    assert names(Order.DELIVERY, *sites) == ["new", "bad", "wrong", "good", "silent"]
    assert names(Order.AGE, *sites)[0] == "silent"
    assert names(Order.DEAD, *sites)[0] == "silent"
    assert names(Order.SITE, *sites) == ["bad", "good", "new", "silent", "wrong"]
    assert names(Order.TRUST, *sites, limit=2) == ["new", "wrong"]
