"""What the kernel takes back is gone, and what it keeps counts for what it costs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.placement import Instance, Loads
from common.placement.kernel.decoder import Decoder
from common.placement.kernel.portfolio import Portfolio
from common.placement.problem import decoder
from tests.placement.graphs import random_graph

BUSY = Loads(
    busy_until_ms={"mec": (40.0,)},
    channel_until_ms={"lan": 70.0},
    utilisation={"lan": 0.7, "mec": 0.9},
    deadline_ms=500.0,
)


def _spans(placed: Decoder) -> list[list[tuple[float, float]]]:
    """What is busy on each resource."""
    offset, count = list(placed.offset), list(placed.count)
    first, last = list(placed.first), list(placed.last)
    return [
        [(first[x], last[x]) for x in range(offset[r], offset[r] + count[r])] for r in range(placed.resources)
    ]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tasks=st.integers(1, 16), share=st.floats(0.0, 1.0))
def test_bookings_that_are_taken_back_leave_no_trace(seed: int, tasks: int, share: float) -> None:
    placed = decoder(Instance.parse(random_graph(seed, tasks)), BUSY if seed % 2 else None)
    for i in range(1, placed.tasks - 1):
        placed.node[i] = (seed + i) % placed.nodes
    placed.clear()
    order = list(placed.order)
    some = int(share * len(order))
    for i in order[:some]:
        placed.place(i)
    before, logged = _spans(placed), placed.logged
    for i in order[some:]:
        placed.place(i)
    after = _spans(placed)
    placed.undo(logged)
    assert _spans(placed) == before
    for i in order[some:]:
        placed.place(i)
    assert _spans(placed) == after


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), tasks=st.integers(1, 16))
def test_a_candidate_costs_what_decoding_it_anew_says(seed: int, tasks: int) -> None:
    p = Portfolio(decoder(Instance.parse(random_graph(seed, tasks)), BUSY if seed % 2 else None), seed, 6)
    p.try_home()
    p.try_again(0.0, 2)
    p.try_list(15, 1.0, 0.5)
    for x in range(p.size):
        p.improve(x, 80, 0.03, 0.001)
        assert _anew(p, x) == pytest.approx(p.costs[x], abs=1e-12)
        p.polish(x, 40, 20, 0.001, 0.0001)
        assert _anew(p, x) == pytest.approx(p.costs[x], abs=1e-12)


def _anew(p: Portfolio, x: int) -> float:
    """What a candidate costs when it is decoded from the start."""
    p.take(x)
    return p.s.weigh()
