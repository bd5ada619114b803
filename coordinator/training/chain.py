"""The training chain from what was observed to bundles and their scores: what `job` runs.

Four phases, reported as they begin: loading, fitting, packing (write, quantize, golden vectors), evaluating.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from common.errors import Corrupt, TimedOut, Unavailable
from common.files import write_file
from common.logs import get_logger
from coordinator.training import bundle, evaluation, observations, physics, traces
from coordinator.training.fit import FULL, QUICK, Effort, Source, Weights, fit
from coordinator.training.job import (
    Evaluation,
    EvaluationRequest,
    Observed,
    Phase,
    Precision,
    Progress,
    Score,
    TrainingRequest,
    TrainingResult,
)
from coordinator.training.quantize import quantize
from coordinator.training.windows import Split, Windows, newest, split

SYNTHETIC: Final = "synthetic"

WHOLE: Final = 20_000
"""Rows at which a site or trace counts half as much as it can, which is as much as all synthetic links.
Fewer would be learnt by heart."""

_LEARNT_SEED: Final = 1000
_TRIED_SEED: Final = 2000
_TRIED_LINKS: Final = 400
_TRIED_WINDOWS: Final = 60

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is learnt, and for how long: synthetic links with their windows, the newest windows of each
    site or trace."""

    effort: Effort
    links: int
    windows: int
    newest: int


_FULL: Final = Scale(FULL, 14_000, 32, 300_000)
_QUICK: Final = Scale(QUICK, 5000, 32, 30_000)


def train(request: TrainingRequest) -> TrainingResult:
    """As `job.train`."""
    began = time.monotonic()
    desk = _Desk(request.progress_file, request.cancel_file)
    desk.tell(Progress("loading"))
    scale = _QUICK if request.quick else _FULL
    data = load(request.observed).newest(scale.newest)
    sources = _sources(data, scale, request.seed)
    weights = fit(sources, scale.effort, request.seed, desk.fitting)
    desk.phase("packing")
    made = bundles(weights, bundle.Label(request.name, request.version, request.created))
    desk.phase("evaluating")
    trials = _trials(data, request.seed, held_out=True)
    evaluations = {precision: _evaluate(content, trials) for precision, content in made.items()}
    desk.phase("done")
    rows = {name: len(source.learnt) for name, source in sources.items()}
    seconds = time.monotonic() - began
    log.info(
        "model-trained", name=request.name, version=request.version, seconds=round(seconds, 1), rows=rows
    )
    return TrainingResult(request.name, request.version, made, evaluations, rows, seconds)


def evaluate(request: EvaluationRequest) -> Evaluation:
    """As `job.evaluate`."""
    bundle.read(request.bundle)
    return _evaluate(request.bundle, _trials(load(request.observed), request.seed, held_out=False))


@dataclass(frozen=True, slots=True)
class Data:
    """What was measured: windows by site and by trace."""

    sites: Mapping[str, Windows]
    traces: Mapping[str, Windows]

    def newest(self, most: int) -> Data:
        """At most so many windows of each."""
        kept = (
            {name: newest(part, most) for name, part in kind.items()} for kind in (self.sites, self.traces)
        )
        return Data(*kept)


def load(observed: Observed) -> Data:
    """Read sites and traces. Raises Unavailable, Corrupt, Misconfigured."""
    return Data(observations.load(observed), traces.load_all(observed.data_folder))


def _sources(data: Data, scale: Scale, seed: int) -> dict[str, Source]:
    """What to learn from, by name: `site:NAME`, `trace:NAME` and `synthetic`."""
    drawn = split_off(physics.generate(scale.links, scale.windows, _LEARNT_SEED + seed))
    sources = {SYNTHETIC: Source(drawn.learnt, drawn.held_out, 1.0)}
    measured = {f"site:{name}": part for name, part in data.sites.items()}
    measured |= {f"trace:{name}": part for name, part in data.traces.items()}
    for name, windows in measured.items():
        parts = split_off(windows)
        sources[name] = Source(parts.learnt, parts.held_out, len(parts.learnt) / (len(parts.learnt) + WHOLE))
    return sources


def split_off(windows: Windows) -> Split:
    """What may be learnt of `windows`, and what is held out."""
    return split(windows, evaluation.held_out(windows))


def bundles(weights: Weights, label: bundle.Label) -> dict[Precision, bytes]:
    """Bundles in every precision; without int8, and a warning, when the quantizer fails. Raises Corrupt."""
    made: dict[Precision, bytes] = {"float32": bundle.float32(weights, label)}
    try:
        made["int8"] = bundle.int8(quantize(bundle.model_of(weights)), weights, label)
    except (Corrupt, TimedOut) as error:
        log.warning("int8-left-out", reason=str(error))
    return made


@dataclass(frozen=True, slots=True)
class Trials:
    """What a model is scored on."""

    sites: Mapping[str, evaluation.Trial]
    traces: Mapping[str, evaluation.Trial]
    synthetic: evaluation.Trial


def _trials(data: Data, seed: int, held_out: bool) -> Trials:
    """Sites and traces, only their held-out parts where asked; synthetic links that no training saw."""

    def tried(parts: Mapping[str, Windows]) -> dict[str, evaluation.Trial]:
        cuts = {name: evaluation.held_out(part) if held_out else None for name, part in parts.items()}
        return {name: evaluation.trial(part, cuts[name]) for name, part in parts.items()}

    drawn = physics.generate(_TRIED_LINKS, _TRIED_WINDOWS, _TRIED_SEED + seed)
    return Trials(tried(data.sites), tried(data.traces), evaluation.trial(drawn))


def _evaluate(content: bytes, trials: Trials) -> Evaluation:
    _, model = bundle.read(content)

    def scores(parts: Mapping[str, evaluation.Trial]) -> dict[str, Score]:
        found = {name: evaluation.score(model, part) for name, part in parts.items()}
        return {name: score for name, score in found.items() if score is not None}

    every = list(trials.sites.values())
    overall = evaluation.score(model, evaluation.joined(every)) if every else None
    synthetic = evaluation.score(model, trials.synthetic)
    return Evaluation(scores(trials.sites), overall, scores(trials.traces), synthetic)


class _Desk:
    """Where a job tells how far it is, and learns that it is no longer wanted."""

    def __init__(self, progress_file: Path | None, cancel_file: Path | None) -> None:
        self._progress_file, self._cancel_file = progress_file, cancel_file

    def tell(self, progress: Progress) -> None:
        """Raises Unavailable when the job was cancelled."""
        if self._cancel_file is not None and self._cancel_file.exists():
            raise Unavailable("the training was cancelled")
        if self._progress_file is not None:
            write_file(self._progress_file, json.dumps(asdict(progress)))

    def phase(self, phase: Phase) -> None:
        self.tell(Progress(phase))

    def fitting(self, step: int, steps: int, loss: float, held_out: float) -> None:
        self.tell(Progress("fitting", step, steps, loss, held_out))
