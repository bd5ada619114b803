"""One training or evaluation as a job of its own: everything in and out can cross a process boundary.

`train` and `evaluate` are for any `concurrent.futures.Executor`. Only they import JAX, and only when called,
so that whoever submits a job stays light. A killed job leaves nothing behind but its progress file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import SecretStr

from common.errors import Corrupt, Rejected
from common.models import link_forecast

Precision = Literal["float32", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = ("float32", "int8")

Phase = Literal["loading", "fitting", "packing", "evaluating", "done"]


@dataclass(frozen=True, slots=True)
class Observed:
    """Which stored observations: t0 <= t < t1 (Unix seconds), of `sites` or of all.

    `data_folder` holds further measured link traces below `radio/`; None: only the repository. `repository`
    is its URL, which may hold a password; None: no repository.
    """

    repository: SecretStr | None
    t0: float
    t1: float
    sites: tuple[str, ...] | None = None
    data_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """What to train, on what. `created` (Unix seconds) goes into the bundles.

    `quick` trains for a few seconds, for demonstrations. Progress is written to `progress_file` (JSON of
    `Progress`, replaced as a whole). The job ends with `Unavailable` soon after `cancel_file` exists.
    """

    observed: Observed
    version: int
    created: float
    name: str = link_forecast.NAME
    seed: int = 1
    quick: bool = False
    progress_file: Path | None = None
    cancel_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is: `step` of `steps`; loss and held-out loss (nats per window) so far."""

    phase: Phase
    step: int = 0
    steps: int = 0
    loss: float | None = None
    held_out: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Model against the best naive forecast on the same held-out windows.

    Errors are mean absolute errors of the share of probes heard in the next window. `naive` names the best
    naive forecast; `ahead` and `naive_ahead` hold the errors 1, 2, 3 windows ahead (`ahead[0] == error`).
    `coverage` is the share of next windows within the model's central 80 % interval. `uncertainty` is the
    standard error of `error - naive_error`, paired by window; None: not computed, in scores of old.
    """

    error: float
    naive_error: float
    windows: int
    naive: str
    ahead: tuple[float, ...]
    naive_ahead: tuple[float, ...]
    coverage: float
    uncertainty: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores by site, over all sites, by measured trace, and on synthetic links.

    `overall` is None when no site had windows enough to be scored.
    """

    sites: dict[str, Score] = field(default_factory=dict)
    overall: Score | None = None
    traces: dict[str, Score] = field(default_factory=dict)
    synthetic: Score | None = None


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The bundles by precision (complete files with metadata), and how good each of them is.

    `rows` counts training rows by where they came from.
    """

    name: str
    version: int
    bundles: dict[Precision, bytes]
    evaluations: dict[Precision, Evaluation]
    rows: dict[str, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """Score an existing bundle (the file's bytes) on all of what was observed."""

    observed: Observed
    bundle: bytes
    seed: int = 1


def train(request: TrainingRequest) -> TrainingResult:
    """Train a link forecast and score it on what was held out (the last part of each link's series).

    With nothing stored it trains on synthetic links alone, and there is no overall score. `bundles` lacks
    "int8" when the quantizer failed; the log says why. Raises Unavailable (repository, cancelled), Corrupt,
    TimedOut, Misconfigured.
    """
    from coordinator.training import chain

    with _picklable():
        return chain.train(request)


def evaluate(request: EvaluationRequest) -> Evaluation:
    """Score a bundle. Raises Corrupt for one that is not a model of this schema, Unavailable."""
    from coordinator.training import chain

    with _picklable():
        return chain.evaluate(request)


@contextmanager
def _picklable() -> Iterator[None]:
    """Rejected has two arguments and does not survive a pickle; whoever submitted would see a broken pool."""
    try:
        yield
    except Rejected as error:
        raise Corrupt(str(error)) from error
