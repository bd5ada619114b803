"""A model beside the robust estimate: it corrects the hints of kinds by what a run's features tell, and is
used for the kinds where it was better on runs that it had not seen.

Both are scored on every run before they learn from it, so that every run is a held-out one. A runtime is
loaded when the first task is planned with a model, not before. Where models come from is not decided here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite, log, sqrt
from statistics import median
from threading import Lock
from typing import Any, Final, TypeGuard

from common.errors import MeshtwinError, Rejected, RejectReason
from common.kinds.kind import Cost, Parameters, TaskKind
from common.logs import get_logger
from common.models import task_cost
from common.models.container import check_shape, read_metadata
from edge_agent.infer.runtime import Interpreter, check_golden
from edge_agent.tasks.costs import OVERHEAD_S, Costs, Prediction

Corrector = Callable[[str, Mapping[str, Any], Mapping[str, int], Cost], float]
"""(kind, complete parameters, sizes of inputs, hint) to the factor on the hint's seconds."""

TRIAL_RUNS: Final = 20
"""Of a kind: before so many were compared the model is not used for it."""

KEPT_RUNS: Final = 200
CLEAR: Final = 2.0
"""Standard errors of the mean gain. The model is used for a kind once it was better by more than that, until
it is worse by more than that."""

MAX_KNOWN: Final = 512
"""Factors that are kept: a kilobyte each."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Corrected(Cost):
    """A kind's hint, what it was made of, and the factor by which a model would correct its seconds; None
    without a model."""

    factor: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict, compare=False)
    sizes: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def plain(self) -> Cost:
        """The cost as the model has it."""
        return Cost(self.cpu_s * (self.factor or 1.0), self.output_bytes, self.memory_bytes)


class Duel:
    """Model against estimate for one kind, run by run: a paired comparison of absolute log errors."""

    def __init__(self) -> None:
        self._pairs: deque[tuple[float, float]] = deque(maxlen=KEPT_RUNS)
        self.used = False

    def add(self, model: float, estimate: float) -> None:
        """Count a run: how far both were off, as |log(predicted / measured)|."""
        self._pairs.append((model, estimate))
        if len(self._pairs) >= TRIAL_RUNS:
            gain, error = self._gain()
            # The same evidence for either change: what is not clear stays as it is.
            self.used = gain > CLEAR * error or (self.used and gain >= -CLEAR * error)

    def told(self) -> dict[str, Any]:
        """For people: the state, why, and the median relative errors."""
        if not self._pairs:
            return {"runs": 0, "used": "estimate", "why": "no run yet"}
        gain, error = self._gain()
        trial = len(self._pairs) < TRIAL_RUNS
        told = f"the model is better by {gain:.3f} ± {error:.3f} in log seconds"
        return {
            "runs": len(self._pairs),
            "used": "model" if self.used else "estimate",
            "why": f"on trial for {TRIAL_RUNS} runs" if trial else told,
            "model_error": round(median(pair[0] for pair in self._pairs), 4),
            "estimate_error": round(median(pair[1] for pair in self._pairs), 4),
        }

    def _gain(self) -> tuple[float, float]:
        """Mean and its standard error."""
        gains = [estimate - model for model, estimate in self._pairs]
        mean = sum(gains) / len(gains)
        squares = sum((gain - mean) ** 2 for gain in gains)
        return mean, sqrt(squares / max(1, len(gains) - 1) / len(gains))


class ModelledCosts(Costs):
    """Costs that also follow a model where hints are `Corrected`. Without such hints, what `Costs` are.

    Corrected hints have ratios of their own, and so their own spread: what the model explains makes a
    prediction more certain. They are not kept over a restart, nor is the duel: a model proves itself anew.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_model = Costs()
        self.duels: dict[str, Duel] = {}
        self.note: Callable[[str, str, Corrected, float, float], None] = lambda *_: None
        """Called with kind, machine, hint, wall and CPU seconds of every run: models learn from them."""

    def forget_model(self) -> None:
        """Another model comes, or none."""
        self._by_model = Costs()
        self.duels = {}

    def learn(self, kind: str, machine: str, hint: Cost, seconds: float, cpu_s: float | None = None) -> None:
        """As `Costs.learn`; with a model, both are scored first."""
        if isinstance(hint, Corrected):
            self.note(kind, machine, hint, seconds, seconds if cpu_s is None else cpu_s)
        if _has_factor(hint) and isfinite(seconds):
            if self._by_model.has_run(kind, machine):
                self._score(kind, machine, hint, seconds)
            self._by_model.learn(kind, machine, hint.plain, seconds, cpu_s)
        super().learn(kind, machine, hint, seconds, cpu_s)

    def predict(
        self, kind: str, machine: str, hint: Cost, told: Mapping[str, float] | None = None
    ) -> Prediction:
        """As `Costs.predict`, by the model where it won and the machine has run the kind since it came."""
        if _has_factor(hint) and self._follows(kind, machine):
            return self._by_model.predict(kind, machine, hint.plain, told)
        return super().predict(kind, machine, hint, told)

    def predict_cpu_s(self, kind: str, machine: str, hint: Cost, seconds: float) -> float:
        """As `Costs.predict_cpu_s`."""
        if _has_factor(hint) and self._follows(kind, machine):
            return self._by_model.predict_cpu_s(kind, machine, hint.plain, seconds)
        return super().predict_cpu_s(kind, machine, hint, seconds)

    def _follows(self, kind: str, machine: str) -> bool:
        duel = self.duels.get(kind)
        return duel is not None and duel.used and self._by_model.has_run(kind, machine)

    def _score(self, kind: str, machine: str, hint: Corrected, seconds: float) -> None:
        taken = log(max(seconds, 1e-6) + OVERHEAD_S)
        model = self._by_model.predict(kind, machine, hint.plain).seconds
        estimate = super().predict(kind, machine, hint).seconds
        errors = (abs(log(guess + OVERHEAD_S) - taken) for guess in (model, estimate))
        self.duels.setdefault(kind, Duel()).add(*errors)


class CostModel:
    """The model that there is, if any, and kinds whose hints it corrects.

    `use` takes what was tried before (`prepare`); it is loaded when the first kind is asked for its cost. A
    model that cannot be loaded or run is let go, told once, and the hints stay as they are.
    """

    def __init__(self, find: Callable[[str], TaskKind], changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called when another model counts from now on, or none."""
        self._find = find
        self._changed = changed
        self._content: bytes | None = None
        self._correct: Corrector | None = None
        self.failure = ""

    def use(self, content: bytes | None) -> None:
        """Follow this bundle from now on; None: none."""
        self._content, self._correct, self.failure = content, None, ""
        self._changed()

    @property
    def present(self) -> bool:
        """Whether there is one that was not let go."""
        return self._content is not None

    @property
    def loaded(self) -> bool:
        """Whether a runtime was loaded for it."""
        return self._correct is not None

    def find(self, name: str) -> TaskKind:
        """The kind, its hints with what they were made of, corrected where there is a model. Raises as the
        catalogue does."""
        kind = self._find(name)
        return replace(kind, hint=partial(self._hinted, kind))

    def _hinted(self, kind: TaskKind, given: Parameters, sizes: Mapping[str, int]) -> Cost:
        hint, parameters = kind.hint(given, sizes), given.model_dump()
        factor = self._factor(kind.name, parameters, sizes, hint)
        return Corrected(hint.cpu_s, hint.output_bytes, hint.memory_bytes, factor, parameters, dict(sizes))

    def _factor(
        self, kind: str, parameters: Mapping[str, Any], sizes: Mapping[str, int], hint: Cost
    ) -> float | None:
        if self._content is None:
            return None
        try:
            self._correct = self._correct or corrector(prepare(self._content))
            return self._correct(kind, parameters, sizes, hint)
        except MeshtwinError as error:
            self.use(None)
            self.failure = str(error)[:200]
            _log.warning("cost-model-dropped", reason=self.failure)
            return None


def _has_factor(hint: Cost) -> TypeGuard[Corrected]:
    return isinstance(hint, Corrected) and hint.factor is not None


def prepare(bundle: bytes) -> Interpreter:
    """A cost model that reproduces its golden vectors. A hostile one may crash the process.

    Raises Rejected as `read_metadata`, `check_shape` and `check_golden` do, and NotSupported.
    """
    metadata = read_metadata(bundle)
    check_shape(metadata, task_cost.NAME, task_cost.schema_hash(), (task_cost.INPUTS, task_cost.OUTPUTS))
    interpreter = Interpreter(bundle)
    found = (interpreter.inputs, interpreter.outputs)
    if found != (metadata.inputs, metadata.outputs):
        raise Rejected(RejectReason.WRONG_OUTPUT, f"the model has {found[0]} inputs, {found[1]} outputs")
    check_golden(interpreter, metadata.golden)
    return interpreter


def corrector(model: Interpreter) -> Corrector:
    """The factor on a hint, by a model. The same task is planned again and again: the last ones are kept.

    For any thread: large jobs are checked aside, and an interpreter is for one at a time.
    """
    known: dict[bytes, float] = {}
    turn = Lock()

    def correct(kind: str, parameters: Mapping[str, Any], sizes: Mapping[str, int], hint: Cost) -> float:
        row = task_cost.encode(kind, parameters, sizes, hint)
        key = row.tobytes()
        with turn:
            if key not in known:
                if len(known) >= MAX_KNOWN:
                    known.clear()
                known[key] = task_cost.decode(model.run([row])[0][0])
            return known[key]

    return correct
