"""What tasks take on each machine, learned from the runs: by kind and machine the ratio of the measured time
to the kind's hint, with its spread.

Robust: the median of the last runs' log ratios, and their median absolute deviation; one run beside a busy
neighbour changes neither. Few runs are mixed with what the machine says of itself. Where small runs take
longer than their share, a line (so much for any run, so much for each second of the hint) is believed as soon
as it foretells runs that it was not drawn from better. Persisted by the holder.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import exp, isfinite, log
from statistics import median
from typing import Any, Final, Self, TypeVar

from common.kinds.kind import Cost
from edge_agent.tasks.cost_line import Line, drawn

K = TypeVar("K")
V = TypeVar("V")
KEPT: Final = 16
"""Runs by kind and machine: the load of a machine changes, and old runs with it."""

MAX_PAIRS: Final = 2048
PRIOR_RUNS: Final = 2.0
"""With so many runs, they and what the machine says of itself count alike; with more, soon only they."""

OVERHEAD_S: Final = 0.005
"""Of any run, which no hint knows: keeps the ratios of tiny tasks from being about nothing else."""

UNKNOWN_SPREAD: Final = 0.7
"""Standard deviation of the log ratio where nothing is known: a factor of two either way."""

LEAST_SPREAD: Final = 0.05
_MAD_TO_SIGMA: Final = 1.4826
_LIMIT: Final = log(1e4)
_LONGEST_S: Final = 600.0
Run = tuple[float, float]
"""A hint's seconds, and those that the run took."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds that a run will take on a machine, and the standard deviation of their logarithm."""

    seconds: float
    spread: float

    @property
    def expected_s(self) -> float:
        """The mean: runs that are less certain cost more, as they are longer more often than shorter."""
        return self.seconds * exp(min(1.0, self.spread) ** 2 / 2)

    def at(self, deviations: float) -> float:
        """The seconds so many standard deviations above (or below) what is likeliest."""
        return self.seconds * exp(deviations * self.spread)


class Costs:
    """Learns from `learn`, answers `predict`. No clock, no files: `document` and `of` are for those."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[str, str], deque[float]] = {}
        self._cpu: dict[tuple[str, str], deque[float]] = {}
        self._runs: dict[tuple[str, str], deque[Run]] = {}
        self._lines: dict[tuple[str, str], Line | None] = {}
        self._extra: dict[str, deque[float]] = {}
        self._whole: dict[str, deque[float]] = {}
        self.learned = 0

    def learn(self, kind: str, machine: str, hint: Cost, seconds: float, cpu_s: float | None = None) -> None:
        """A run took `seconds` there, and `cpu_s` of them the processor."""
        for where, took in ((self._ratios, seconds), (self._cpu, cpu_s)):
            if took is not None and isfinite(took):
                ratio = log(max(took, 1e-6) + OVERHEAD_S) - log(hint.cpu_s + OVERHEAD_S)
                _kept(where, (machine, kind)).append(max(-_LIMIT, min(_LIMIT, ratio)))
        if isfinite(seconds):
            runs = _kept(self._runs, (machine, kind))
            runs.append((hint.cpu_s, max(seconds, 1e-6)))
            self._lines[machine, kind] = drawn(list(runs), OVERHEAD_S)
        self.learned += 1

    def learn_extra(self, machine: str, seconds: float) -> None:
        """From the start to the result it took so much longer than the run itself and the transfers: workers
        that had to be started, letters that waited."""
        _kept(self._extra, machine).append(max(0.0, min(60.0, seconds)))

    def learn_whole(self, machine: str, seconds: float) -> None:
        """A task of whatever kind kept a slot of the machine for so long."""
        _kept(self._whole, machine).append(max(0.0, min(_LONGEST_S, seconds)))

    def whole_s(self, machine: str) -> float:
        """How long a task of which nothing is known keeps a slot there; 0 while none has."""
        known = self._whole.get(machine)
        return median(known) if known else 0.0

    def extra_s(self, machine: str) -> float:
        """What to expect besides run and transfers; of a machine that is not known, as of those that are."""
        known = self._extra.get(machine)
        return median(known) if known else median([median(one) for one in self._extra.values()] or [0.0])

    def predict(
        self, kind: str, machine: str, hint: Cost, told: Mapping[str, float] | None = None
    ) -> Prediction:
        """How long a run will take there. `told` is what the machine says of itself (`Load.speed`)."""
        prior, prior_spread = self._prior(kind, machine, told or {})
        known = self._ratios.get((machine, kind), ())
        middle, spread = prior, prior_spread
        if known:
            share = len(known) ** 2 / (len(known) ** 2 + PRIOR_RUNS**2)
            own = median(known)
            middle = share * own + (1 - share) * prior
            deviation = _MAD_TO_SIGMA * median(abs(ratio - own) for ratio in known)
            spread = share * max(LEAST_SPREAD, deviation) + (1 - share) * prior_spread
        if (line := self._lines.get((machine, kind))) is not None:
            return Prediction(max(1e-4, line.at(hint.cpu_s)), max(LEAST_SPREAD, line.spread))
        seconds = max(1e-4, (hint.cpu_s + OVERHEAD_S) * exp(middle) - OVERHEAD_S)
        return Prediction(seconds, spread)

    def predict_cpu_s(self, kind: str, machine: str, hint: Cost, seconds: float) -> float:
        """CPU time of a run that is expected to take `seconds`: on a busy machine less than those."""
        known = self._cpu.get((machine, kind))
        if not known:
            return seconds
        return max(0.0, (hint.cpu_s + OVERHEAD_S) * exp(median(known)) - OVERHEAD_S)

    def has_run(self, kind: str, machine: str) -> bool:
        """Whether any run of the kind there was learned."""
        return (machine, kind) in self._ratios

    def speeds(self, machine: str) -> dict[str, float]:
        """What a machine tells others of itself: the factor of each kind that it has run, and "" for any."""
        found = {kind: exp(median(runs)) for (name, kind), runs in self._ratios.items() if name == machine}
        if found:
            found[""] = exp(self._any(machine))
        return {kind: round(factor, 4) for kind, factor in found.items()}

    def table(self) -> list[dict[str, Any]]:
        """For people: what is known of each kind on each machine."""
        return [
            {
                "machine": machine,
                "kind": kind,
                "runs": len(runs),
                "factor": round(exp(median(runs)), 3),
                "spread": round(_MAD_TO_SIGMA * median(abs(r - median(runs)) for r in runs), 3),
            }
            for (machine, kind), runs in sorted(self._ratios.items())
        ]

    def document(self) -> dict[str, Any]:
        """For `of`."""
        return {
            "ratios": _rows(self._ratios),
            "cpu": _rows(self._cpu),
            "runs": [
                [machine, kind, [[round(hint, 5), round(took, 5)] for hint, took in runs]]
                for (machine, kind), runs in self._runs.items()
            ],
            "extra": {name: [round(v, 4) for v in values] for name, values in self._extra.items()},
            "whole": {name: [round(v, 4) for v in values] for name, values in self._whole.items()},
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """What was learned before. Whatever is no such thing is left out."""
        costs = cls()
        _restore(costs._ratios, document.get("ratios"))
        _restore(costs._cpu, document.get("cpu"))
        _restore_seconds(costs._extra, document.get("extra"), 60.0)
        _restore_seconds(costs._whole, document.get("whole"), _LONGEST_S)
        _restore_runs(costs._runs, document.get("runs"))
        costs._lines = {key: drawn(list(runs), OVERHEAD_S) for key, runs in costs._runs.items()}
        return costs

    def _prior(self, kind: str, machine: str, told: Mapping[str, float]) -> tuple[float, float]:
        """What to believe before this kind was run there."""
        if kind in told:
            return log(told[kind]), UNKNOWN_SPREAD / 2
        if any(name == machine for name, _ in self._ratios):
            return self._any(machine), UNKNOWN_SPREAD
        return log(told.get("", 1.0)), UNKNOWN_SPREAD

    def _any(self, machine: str) -> float:
        runs = (ratios for (name, _), ratios in self._ratios.items() if name == machine)
        return median(chain.from_iterable(runs))


def _rows(where: Mapping[tuple[str, str], deque[float]]) -> list[Any]:
    return [[machine, kind, [round(r, 4) for r in runs]] for (machine, kind), runs in where.items()]


def _restore(where: dict[tuple[str, str], deque[float]], rows: Any) -> None:
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == 3 and isinstance(row[2], list):
            runs = [float(r) for r in row[2] if isinstance(r, int | float) and abs(r) <= _LIMIT]
            if runs:
                _kept(where, (str(row[0])[:64], str(row[1])[:64])).extend(runs)


def _restore_seconds(where: dict[str, deque[float]], rows: Any, most: float) -> None:
    for name, values in rows.items() if isinstance(rows, dict) else ():
        good = [float(v) for v in values if _is_within(v, most)] if isinstance(values, list) else []
        if good:
            _kept(where, str(name)[:64]).extend(good)


def _restore_runs(where: dict[tuple[str, str], deque[Run]], rows: Any) -> None:
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, list) and len(row) == 3 and isinstance(row[2], list):
            runs = [(float(pair[0]), max(1e-6, float(pair[1]))) for pair in row[2] if _is_run(pair)]
            if runs:
                _kept(where, (str(row[0])[:64], str(row[1])[:64])).extend(runs)


def _is_run(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(_is_within(v, 1e6) for v in pair)


def _is_within(value: Any, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most


def _kept(where: dict[K, deque[V]], key: K) -> deque[V]:
    """The last runs of a key. When there are too many keys, the one that was learned first goes."""
    if key not in where and len(where) >= MAX_PAIRS:
        del where[next(iter(where))]
    return where.setdefault(key, deque(maxlen=KEPT))
