"""The registry as a value: versions, plans, and the way back."""

from __future__ import annotations

import pytest

from common.errors import Rejected
from coordinator.release.plans import way_back
from coordinator.release.registry import KEPT_PLANS, KEPT_VERSIONS, Plan, Registry
from coordinator.training.job import Evaluation
from tests.release.models import (
    NAME,
    change,
    digest,
    live,
    plan_of,
    registry,
    released,
    score,
    version,
)


def test_versions_count_up_even_after_the_newest_is_gone() -> None:
    found = registry(1, 2, 3)
    assert found.next_version(NAME) == 4
    assert found.model_copy(update={"versions": ()}).next_version(NAME) == 4


def test_an_unknown_version_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(Rejected, match="9 is not known; there are: 1, 2"):
        registry(1, 2).version(NAME, 9)
    with pytest.raises(Rejected, match="coordinator models train"):
        Registry().version(NAME)


def test_a_model_goes_from_candidate_to_released_to_retired() -> None:
    found = registry(1, 2)
    first, second = found.of(NAME)
    assert found.state_of(first) == "candidate"
    found = released(found, 1)
    assert (found.state_of(first), found.state_of(second)) == ("released", "candidate")
    found = released(found, 2)
    assert (found.state_of(first), found.state_of(second)) == ("retired", "released")
    found = found.without_latest_plan(NAME, change("rollback"))
    assert (found.state_of(first), found.state_of(second)) == ("released", "retired")


def test_a_canary_goes_to_its_sites_and_the_rest_keeps_what_it_has() -> None:
    found = released(released(registry(1, 2), 1), 2, "office")
    plan = plan_of(found)
    assert plan.digest_for("office", "gw-1") == digest(2)
    assert plan.digest_for("depot", "gw-2") == digest(1)
    one = plan.with_bundle(digest(1), gateways=["gw-1"])
    assert one.digest_for("office", "gw-1") == digest(1)
    assert one.digest_for("office", "gw-3") == digest(2)
    assert one.with_bundle(digest(2)) == Plan(everywhere=digest(2))


def test_rollbacks_undo_release_after_release_down_to_none() -> None:
    found = released(released(registry(1, 2), 1), 2, "office")
    found = found.without_latest_plan(NAME, change("rollback"))
    assert plan_of(found) == Plan(everywhere=digest(1))
    for _ in range(3):
        found = found.without_latest_plan(NAME, change("rollback"))
        assert plan_of(found) == Plan()


def test_releasing_what_is_released_is_a_new_issue_of_the_same_plan() -> None:
    found = released(registry(1, 2), 1)
    again = released(found, 1)
    assert (plan_of(again), again.course(NAME).earlier) == (plan_of(found), found.course(NAME).earlier)
    assert (found.course(NAME).issued, again.course(NAME).issued) == ({digest(1): 1}, {digest(1): 2})
    assert again.with_plan(NAME, plan_of(again), change()) is again


def test_a_rollback_can_pass_over_plans() -> None:
    found = released(released(released(registry(1, 2, 3), 1), 2), 3)
    back = found.without_latest_plan(NAME, change("rollback"), skipped=1)
    assert plan_of(back) == Plan(everywhere=digest(1))
    assert plan_of(found.without_latest_plan(NAME, change("rollback"), skipped=9)) == Plan()


def test_the_way_back_passes_over_what_was_refused_or_found_worse() -> None:
    found = released(released(released(registry(1, 2, 3), 1), 2), 3).with_said(
        [live("worse-than-naive", number=2), live("in-use", number=1)], 1.0
    )
    earlier = found.course(NAME).earlier
    skipped, (reason,) = way_back(found, earlier, force=False)
    assert skipped == 1
    assert reason.startswith(f"{NAME} 2 float32: gw-1 of site office found it worse")
    assert way_back(found, earlier, force=True) == (0, [reason])
    found = found.with_said([live("refused", "malformed: x", number=1)], 2.0)
    # The plan before all releases: none.
    assert way_back(found, earlier, force=False)[0] == 2
    assert way_back(found, (), force=False) == (0, [])


def test_old_versions_go_but_never_one_that_is_released_or_can_be_returned_to() -> None:
    found = released(released(registry(1, 2, 3), 2), 1)
    for number in range(4, KEPT_VERSIONS + 10):
        found = found.with_version(version(number))
    numbers = [v.version for v in found.of(NAME)]
    assert numbers[:2] == [1, 2]
    assert 3 not in numbers
    assert len(numbers) == KEPT_VERSIONS + 2


def test_plans_to_return_to_are_bounded() -> None:
    found = registry(1, 2)
    for number in range(3 * KEPT_PLANS):
        found = released(found, 1 + number % 2)
    assert len(found.course(NAME).earlier) == KEPT_PLANS


def test_everything_survives_its_file() -> None:
    evaluation = Evaluation(sites={"office": score(0.03)}, overall=score(0.03), synthetic=score(0.05))
    found = Registry().with_version(version(1, evaluation, evaluation))
    found = released(found, 1, "office").with_observed(digest(1), evaluation)
    found = found.with_said([live("worse-than-naive"), live("refused", "x")], 5.0)
    assert found.holding(digest(1))[1].verdicts  # type: ignore[index]
    assert Registry.model_validate_json(found.model_dump_json()) == found
