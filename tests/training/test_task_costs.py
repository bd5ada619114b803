"""The cost model finds what hints leave out, runs on gateways as fitted, and takes no nonsense for runs."""

from __future__ import annotations

import json
import random
from math import log
from pathlib import Path
from statistics import median

import pytest

from common.errors import Misconfigured
from common.kinds.kind import Cost
from coordinator.training import task_costs
from coordinator.training.task_costs import Run
from edge_agent.tasks.cost_model import corrector, prepare


def runs(count: int, seed: int = 1) -> list[Run]:
    """Of a kind whose hint knows the data's size, but neither its method nor its rounds; on two machines."""
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        size, rounds = int(10 ** dice.uniform(4, 6)), int(10 ** dice.uniform(0, 2))
        method = dice.choice(("quick", "thorough"))
        machine, factor = dice.choice((("fast", 0.5), ("slow", 3.0)))
        hint = Cost(1e-6 * size)
        seconds = hint.cpu_s * factor * rounds**0.5 * (8.0 if method == "thorough" else 1.0)
        seconds *= dice.lognormvariate(0, 0.05)
        parameters = {"method": method, "rounds": rounds}
        made.append(Run("pack", machine, parameters, {"data": size}, hint, seconds, seconds))
    return made


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("runs")
    lines = [json.dumps(one.as_json()) for one in runs(200)]
    (folder / "runs.jsonl").write_text("\n".join([*lines, lines[0][:50], "{}", "[]", "nan"]))
    told = task_costs.learn([folder / "runs.jsonl"], folder / "model", created=1000.0)
    assert (told["runs"], told["bad_lines"]) == (200, 4)
    return (folder / "model").read_bytes()


def test_a_model_foretells_runs_that_it_has_not_seen(learned: bytes) -> None:
    correct, errors = corrector(prepare(learned)), []
    factors = {"fast": 0.5, "slow": 3.0}
    for one in runs(100, seed=2):
        factor = correct(one.kind, one.parameters, one.sizes, one.hint)
        errors.append(log(factor * one.hint.cpu_s * factors[one.machine] / one.cpu_s))
    # What is the same for all runs is the gateway's to learn.
    middle = median(errors)
    assert median(abs(error - middle) for error in errors) < 0.15


def test_too_few_runs_are_refused() -> None:
    with pytest.raises(Misconfigured, match="too few"):
        task_costs.fit(runs(10))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.jsonl"):
        task_costs.learn([tmp_path / "none.jsonl"], tmp_path / "model", created=1.0)


@pytest.mark.parametrize(
    "change",
    [
        {"cpu_s": "x"},
        {"cpu_s": -1.0},
        {"wall_s": float("nan")},
        {"sizes": {"data": float("inf")}},
        {"sizes": []},
        {"hint": {"cpu_s": 1.0}},
        {"parameters": 3},
    ],
)
def test_what_is_no_run_is_left_out(change: dict[str, object]) -> None:
    line = json.dumps(runs(1)[0].as_json() | change)
    assert task_costs.read([line]) == ([], 1)
