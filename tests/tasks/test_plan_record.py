"""What is kept of plans: the same after it was written down, and nothing after damage."""

from __future__ import annotations

import pytest

from common.errors import Corrupt
from edge_agent.tasks.costs import Costs
from edge_agent.tasks.plan_record import PlanRecord, unpacked
from edge_agent.tasks.planning import alternatives, plan
from tests.tasks.running import measured
from tests.tasks.test_planning import HOME, MEC, ROUNDS, work


def record() -> PlanRecord:
    made = plan(work(measured("a", rounds=ROUNDS)), [HOME, MEC], Costs())
    return PlanRecord(made, made, 0.25, {"a": (0.5, 1.5)}, 2.5)


def test_a_plan_is_explained_from_its_record_as_before() -> None:
    kept = record()
    found = unpacked(kept.packed())
    assert found.first is not None
    assert kept.first is not None
    assert alternatives(found.first, "a") == alternatives(kept.first, "a")
    assert found.promised_s == 2.5
    assert found.ran == {"a": (0.5, 1.5)}


def test_nothing_planned_is_a_record_too() -> None:
    assert unpacked(PlanRecord().packed()) == PlanRecord()


def test_a_damaged_record_is_a_named_error() -> None:
    packed = record().packed()
    for at in range(0, len(packed), 7):
        with pytest.raises(Corrupt):
            unpacked(packed[:at])
    with pytest.raises(Corrupt):
        unpacked(b"[]")
