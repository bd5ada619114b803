"""Managed flooding on the stage: relays carry, TTL limits, repeats help."""

from __future__ import annotations

from random import Random

import pytest

from common.mesh.graph import heard_once
from tools.stage.floods import flood

Out = dict[int, dict[int, float]]


def chain(length: int, pdr: float = 1.0) -> Out:
    return {
        node: {other: pdr for other in (node - 1, node + 1) if 1 <= other <= length}
        for node in range(1, length + 1)
    }


def send(
    out: Out, relays: set[int], *, ttl: int = 127, transmissions: int = 1, seed: int = 1
) -> dict[int, int]:
    targets = set(out) - {1}
    repeats = dict.fromkeys(relays, transmissions)
    return flood(out, repeats, 1, ttl, transmissions, targets, len(targets), Random(seed))


def test_relays_carry_hop_by_hop_and_one_that_is_off_ends_the_way() -> None:
    assert send(chain(4), set()) == {2: 1}
    assert send(chain(5), {2, 3, 4}) == {2: 1, 3: 2, 4: 3, 5: 4}
    assert set(send(chain(5), {2, 4})) == {2, 3}


@pytest.mark.parametrize(("ttl", "reached"), [(0, 1), (1, 1), (2, 2), (3, 3), (127, 5)])
def test_ttl_limits_the_hops(ttl: int, reached: int) -> None:
    assert len(send(chain(6), {2, 3, 4, 5}, ttl=ttl)) == reached


def test_a_second_way_carries_when_the_first_is_dead() -> None:
    out: Out = {1: {2: 1.0, 3: 1.0}, 2: {4: 1.0}, 3: {4: 1.0}, 4: {}}
    assert 4 in send(out, {3})
    assert 4 not in send(out, set())


@pytest.mark.parametrize("transmissions", [1, 2, 4])
def test_repeats_raise_delivery_as_independent_trials_do(transmissions: int) -> None:
    out: Out = {1: {2: 0.5}, 2: {}}
    delivered = sum(2 in send(out, set(), transmissions=transmissions, seed=s) for s in range(2000))
    assert delivered / 2000 == pytest.approx(heard_once(0.5, transmissions), abs=0.04)


def test_the_same_seed_gives_the_same_flood() -> None:
    out = chain(6, pdr=0.7)
    assert send(out, {2, 3, 4, 5}, seed=9) == send(out, {2, 3, 4, 5}, seed=9)
    assert len({str(send(out, {2, 3, 4, 5}, seed=s)) for s in range(20)}) > 3
