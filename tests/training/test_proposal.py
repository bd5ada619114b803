"""The learned proposal: possible placements, and the same numbers in training and use."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from common.placement import Budget, Task, schedule
from common.placement.problem import decoder
from coordinator.training import proposal
from tools.benchmarks.proposal_instances import drawn


def test_drawn_graphs_are_instances_and_the_same_for_a_seed() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert schedule(drawn(3, tasks=(6, 10)), budget=Budget(evaluations=20)).cost <= 1.0 + 1e-9


def _quickest(task: Task) -> int:
    able = [node for node in range(len(task.duration_ms)) if task.may_run_on(node)]
    return min(able, key=lambda node: task.duration_ms[node])


def test_learning_makes_answers_likelier_and_proposals_possible() -> None:
    instances = [drawn(seed, tasks=(6, 10)) for seed in range(4)]
    problems = [proposal.problem_of(one, decoder(one)) for one in instances]
    answers = [[_quickest(task) for task in one.tasks] for one in instances]
    losses: list[float] = []
    weights = proposal.fit(
        problems, answers, 2 * proposal.REPORTED, 1, lambda step, loss: losses.append(loss)
    )
    assert losses[-1] < losses[0]
    for one, problem in zip(instances, problems, strict=True):
        for assignment in proposal.proposals(weights, problem, samples=2, seed=1):
            pairs = zip(one.tasks, assignment.tolist(), strict=True)
            assert all(task.may_run_on(node) for task, node in pairs)


def test_chances_are_the_same_with_jax_and_without() -> None:
    one = drawn(5)
    problem, weights = proposal.problem_of(one, decoder(one)), proposal.initial(2)
    plain, traced = proposal.chances(weights, problem), proposal.chances(weights, problem, jnp)
    for found, wanted in zip(traced, plain, strict=True):
        assert np.asarray(found) == pytest.approx(wanted, abs=1e-4)
