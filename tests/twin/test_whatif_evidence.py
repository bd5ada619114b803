"""Predictions start from what was counted, as far as counts can be trusted."""

from __future__ import annotations

import pytest

from coordinator.twin.site_model import Delivered
from coordinator.twin.whatif_effect import Effect, Estimate, FlowEffect, Method, WhatIf
from coordinator.twin.whatif_evidence import corrected, shifts_of


def effect(source: int, before: float, after: float, kind: Effect = Effect.HARMLESS) -> FlowEffect:
    was, will = (Estimate(p, p - 0.01, min(1.0, p + 0.01)) for p in (before, after))
    change = Estimate(after - before, after - before - 0.005, after - before + 0.005)
    return FlowEffect(source, 1, "sensing", False, was, will, change, kind)


def answer(*flows: FlowEffect) -> WhatIf:
    return WhatIf(flows, Method.SIMULATION, "", 0.02, 0.1)


def test_nothing_counted_changes_nothing() -> None:
    said = answer(effect(2, 0.9, 0.8))
    assert corrected(said, {}) is said


def test_a_flow_that_is_counted_well_begins_where_it_was_counted() -> None:
    found = corrected(answer(effect(2, 0.97, 0.97)), {(2, 1, False): Delivered(0.90, 0.005)})
    flow = found.flows[0]
    assert flow.before.mean == pytest.approx(0.90, abs=0.02)
    assert flow.after.mean == pytest.approx(flow.before.mean)
    assert flow.after.low < flow.after.mean < flow.after.high


def test_the_change_is_still_the_simulators() -> None:
    flow = corrected(answer(effect(2, 0.95, 0.75)), {(2, 1, False): Delivered(0.93, 0.005)}).flows[0]
    assert flow.change.mean == pytest.approx(-0.22, abs=0.05)
    assert flow.effect is Effect.WORSE


def test_flows_that_nobody_counts_share_what_the_site_does_to_the_others() -> None:
    flows = [effect(a, 0.97, 0.97) for a in range(2, 12)]
    told = {(a, 1, False): Delivered(0.92, 0.01) for a in range(2, 11)}
    last = corrected(answer(*flows), told).flows[-1]
    assert 0.92 < last.before.mean < 0.96
    assert last.before.high - last.before.low > 0.02


def test_a_few_messages_move_little() -> None:
    sure, unsure = (shifts_of([((0.95, 0.0), Delivered(0.7, error))])[0] for error in (0.02, 0.3))
    assert sure.value < -1.0
    assert abs(unsure.value) < 0.3
    assert unsure.variance > sure.variance


def test_what_ends_or_is_cut_off_stays_so() -> None:
    ended, cut = effect(2, 0.9, 0.0, Effect.ENDED), effect(3, 0.9, 0.0, Effect.WORSE)
    found = corrected(answer(ended, cut), {(3, 1, False): Delivered(0.8, 0.02)})
    assert found.flows[0] == ended
    assert found.flows[1].after.mean == 0.0
