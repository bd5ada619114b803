"""Real bundles without a training, as if a training had made them."""

from __future__ import annotations

from coordinator.training.job import Evaluation, TrainingResult
from tests.models.bundles import persistence
from tests.release.models import NAME, score

GOOD = Evaluation(overall=score(0.03), synthetic=score(0.03))


def trained(version: int, evaluation: Evaluation = GOOD) -> TrainingResult:
    """What a training would have given: a small model, with the evaluation that it is said to have."""
    return TrainingResult(
        name=NAME,
        version=version,
        bundles={"float32": persistence(version, created=1000.0 + version).content},
        evaluations={"float32": evaluation},
        rows={"synthetic": 10},
        seconds=1.0,
    )
