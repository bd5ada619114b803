"""The plan of kills: as many as asked for, the same for a seed, nobody and no circumstance left out."""

from __future__ import annotations

from random import Random

import pytest

from tools.stage.killing import BROKER, COORDINATOR, UPLINK, Circumstance, plan

GATEWAYS = ["gw-1", "gw-2", "gw-3"]
PLANNED = {c for c in Circumstance if c is not Circumstance.OUTAGE}


@pytest.mark.parametrize("kills", [0, 1, 6, 24, 101])
def test_a_plan_has_exactly_the_kills_that_were_asked_for(kills: int) -> None:
    for seed in range(20):
        assert sum(len(r.victims) for r in plan(kills, GATEWAYS, Random(seed))) == kills


def test_a_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert plan(24, GATEWAYS, Random(1)) == plan(24, GATEWAYS, Random(1))
    assert plan(24, GATEWAYS, Random(1)) != plan(24, GATEWAYS, Random(2))


def test_every_process_and_every_circumstance_has_its_turn() -> None:
    for seed in range(20):
        rounds = plan(24, GATEWAYS, Random(seed))
        assert {r.circumstance for r in rounds} == PLANNED
        assert {v for r in rounds for v in r.victims} == {BROKER, COORDINATOR, *GATEWAYS}


def test_those_who_die_together_are_different_and_a_backlog_needs_a_lost_uplink() -> None:
    for seed in range(20):
        for round_ in plan(24, GATEWAYS, Random(seed)):
            if round_.circumstance is Circumstance.TOGETHER:
                assert len(set(round_.victims)) == len(round_.victims) > 1
            if round_.circumstance is Circumstance.DRAINING:
                assert round_.victims[0] in UPLINK
