"""Managed flooding: relays carry, TTL limits, repeats help."""

from __future__ import annotations

from random import Random

import pytest

from common.mesh.configuration import Transmit
from common.mesh.graph import heard_once
from firmware_bridge.virtual.flood import Arrival, flood

ONCE, TWICE = Transmit(1, 20), Transmit(2, 20)
Out = dict[int, dict[int, float]]


def chain(length: int, pdr: float = 1.0) -> Out:
    return {
        node: {other: pdr for other in (node - 1, node + 1) if 1 <= other <= length}
        for node in range(1, length + 1)
    }


def send(
    out: Out, relays: set[int], *, ttl: int = 127, transmit: Transmit = ONCE, seed: int = 1
) -> dict[int, Arrival]:
    targets = set(out) - {1}
    return flood(out, dict.fromkeys(relays, transmit), 1, ttl, transmit, targets, len(targets), Random(seed))


def test_without_relays_only_neighbours_hear() -> None:
    assert set(send(chain(4), set())) == {2}


def test_relays_carry_hop_by_hop_and_each_hop_takes_its_time() -> None:
    found = send(chain(5), {2, 3, 4})
    assert [found[node].hops for node in (2, 3, 4, 5)] == [1, 2, 3, 4]
    delays = [found[node].delay_s for node in (2, 3, 4, 5)]
    assert delays == sorted(delays)
    assert all(0.003 < b - a < 0.060 for a, b in zip(delays, delays[1:], strict=False))


def test_a_relay_that_is_off_ends_the_way() -> None:
    assert set(send(chain(5), {2, 4})) == {2, 3}


@pytest.mark.parametrize(("ttl", "reached"), [(0, 1), (1, 1), (2, 2), (3, 3), (127, 5)])
def test_ttl_limits_the_hops(ttl: int, reached: int) -> None:
    assert len(send(chain(6), {2, 3, 4, 5}, ttl=ttl)) == reached


def test_a_second_way_carries_when_the_first_is_dead() -> None:
    out: Out = {1: {2: 1.0, 3: 1.0}, 2: {4: 1.0}, 3: {4: 1.0}, 4: {}}
    assert 4 in send(out, {3})
    assert 4 not in send(out, set())


@pytest.mark.parametrize("transmit", [ONCE, TWICE, Transmit(4, 20)])
def test_repeats_raise_delivery_as_independent_trials_do(transmit: Transmit) -> None:
    delivered = sum(2 in send({1: {2: 0.5}, 2: {}}, set(), transmit=transmit, seed=s) for s in range(2000))
    assert delivered / 2000 == pytest.approx(heard_once(0.5, transmit.count), abs=0.04)


def test_the_same_seed_gives_the_same_flood() -> None:
    out = chain(6, pdr=0.7)
    assert send(out, {2, 3, 4, 5}, seed=9) == send(out, {2, 3, 4, 5}, seed=9)
    assert len({str(send(out, {2, 3, 4, 5}, seed=s)) for s in range(20)}) > 5


def test_it_is_followed_only_until_all_targets_have_it() -> None:
    found = flood(chain(9), dict.fromkeys(range(2, 9), ONCE), 1, 127, ONCE, {3}, 1, Random(1))
    assert set(found) == {3}
