"""A model beside the estimate: used for the kinds where it won, and harmless wherever it did not."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import Misconfigured, Rejected, RejectReason
from common.kinds import catalogue
from common.kinds.kind import Cost
from common.models import task_cost
from common.models.metadata import BUFFER, Golden, Metadata, to_bytes
from coordinator.training.tflite_writer import Graph, with_metadata
from edge_agent.tasks.cost_model import TRIAL_RUNS, Corrected, CostModel, Duel, ModelledCosts, prepare
from edge_agent.tasks.cost_model_runs import MAX_FILE_BYTES, PENDING, RunRecords
from tests.models.bundles import persistence
from tests.tasks.agent import AgentProcess, graph_file
from tests.tasks.running import measured


def bundle(correction: float) -> bytes:
    """Every hint is off by the same."""
    graph, bias = Graph(task_cost.INPUTS), np.array([correction], np.float32)
    output = graph.dense(graph.input, np.zeros((task_cost.INPUTS, 1), np.float32), bias)
    told = Metadata(
        name=task_cost.NAME,
        version=1,
        created=1.0,
        schema_hash=task_cost.schema_hash(),
        inputs=task_cost.INPUTS,
        outputs=task_cost.OUTPUTS,
        golden=Golden(inputs=[[0.0] * task_cost.INPUTS], outputs=[[correction]], tolerance=1e-3),
    )
    return with_metadata(graph.model(output, "constant"), BUFFER, to_bytes(told))


def ran(costs: ModelledCosts, runs: int, kind: str, knows: bool, seed: int = 1) -> None:
    """Runs whose sizes the hint misses: the model knows them, or guesses as wildly."""
    dice = random.Random(seed)
    for _ in range(runs):
        size, guess = (dice.lognormvariate(0, 1) for _ in range(2))
        costs.learn(kind, "gw-1", Corrected(1.0, factor=size if knows else guess), 2.0 * size)


def test_a_model_that_wins_on_new_runs_is_used_for_that_kind_and_is_more_certain() -> None:
    costs = ModelledCosts()
    ran(costs, 60, "good", knows=True)
    ran(costs, 60, "bad", knows=False)
    assert {kind: duel.told()["used"] for kind, duel in costs.duels.items()} == {
        "good": "model",
        "bad": "estimate",
    }
    hint = Corrected(1.0, factor=5.0)
    good, bad = (costs.predict(kind, "gw-1", hint) for kind in ("good", "bad"))
    assert good.seconds == pytest.approx(10.0, rel=0.05)
    assert bad.seconds < 5.0
    assert good.spread < bad.spread
    assert costs.predict_cpu_s("good", "gw-1", hint, 10.0) == 10.0


def test_a_model_is_on_trial_first_and_hints_without_it_are_as_ever() -> None:
    costs = ModelledCosts()
    ran(costs, TRIAL_RUNS, "good", knows=True)
    assert costs.duels["good"].told()["why"].startswith("on trial")
    assert costs.predict("good", "gw-1", Corrected(1.0, factor=5.0)).seconds < 5.0
    ran(costs, 40, "good", knows=True)
    plain = costs.predict("good", "gw-1", Cost(1.0))
    assert plain.seconds < 5.0
    costs.forget_model()
    assert costs.predict("good", "gw-1", Corrected(1.0, factor=5.0)).seconds == plain.seconds


def test_a_machine_that_has_not_run_a_kind_since_keeps_the_estimate() -> None:
    costs = ModelledCosts()
    costs.learn("good", "gw-2", Cost(1.0), 3.0)
    ran(costs, 60, "good", knows=True)
    told = costs.predict("good", "gw-2", Corrected(1.0, factor=50.0))
    assert told.seconds == pytest.approx(3.0, rel=0.7)


def test_only_clear_evidence_changes_who_is_used() -> None:
    duel = Duel()
    for number in range(60):
        duel.add(0.5 + 0.1 * (number % 2), 0.55)
    assert not duel.used
    for _ in range(60):
        duel.add(0.1, 0.5)
    assert duel.used
    for _ in range(200):
        duel.add(0.9, 0.5)
    assert not duel.used


def test_hints_are_corrected_once_there_is_a_model_and_a_runtime_is_loaded_no_sooner() -> None:
    model = CostModel(catalogue.find)
    given = {"rounds": 1000}
    before = model.find("measure").cost(given, {})
    assert isinstance(before, Corrected)
    assert before.factor is None
    assert before.parameters == {"rounds": 1000, "memory_mib": 0}
    model.use(bundle(0.7))
    assert not model.loaded
    after = model.find("measure").cost(given, {})
    assert model.loaded
    assert isinstance(after, Corrected)
    assert after.factor == pytest.approx(np.exp(0.7), rel=1e-4)
    assert replace(after, factor=None) == before


def test_a_broken_model_is_let_go_and_hints_stay() -> None:
    model = CostModel(catalogue.find)
    model.use(bundle(0.7)[:-2000])
    hint = model.find("measure").cost({}, {})
    assert isinstance(hint, Corrected)
    assert hint.factor is None
    assert model.failure
    assert not model.present


def test_a_model_of_another_kind_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        prepare(persistence().content)
    assert caught.value.reason is RejectReason.FOREIGN_SCHEMA


def test_runs_are_kept_in_bounded_files_and_a_cut_line_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    records = RunRecords(path)
    hint = Corrected(0.5, parameters={"word": "x" * 99, "list": [1]}, sizes={"data": 7})
    for _ in range(PENDING + 3):
        records.note("pack", "gw-1", hint, 1.0, 0.9)
    assert records.dropped == 3
    records.save()
    with path.open("a") as file:
        file.write('{"kind":"pa')
    records.note("pack", "gw-2", hint, 1.0, 0.9)
    records.save()
    *_, cut, last = records.lines()
    assert cut == '{"kind":"pa'
    told = json.loads(last)
    assert (told["machine"], told["parameters"]) == ("gw-2", {"word": "x" * 32})
    for _ in range(20):
        for _ in range(PENDING):
            records.note("pack", "gw-1", hint, 1.0, 0.9)
        records.save()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) <= 2
    assert sum(sizes) < 3 * MAX_FILE_BYTES
    assert path.with_name("runs.jsonl.1").stat().st_mode & 0o077 == 0


def test_runs_wait_when_the_disk_refuses(tmp_path: Path) -> None:
    records = RunRecords(tmp_path / "gone" / "runs.jsonl")
    records.note("pack", "gw-1", Corrected(0.5), 1.0, 0.9)
    with pytest.raises(Misconfigured):
        records.save()
    assert len(records.lines()) == 1


@pytest.fixture
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    found = AgentProcess(tmp_path_factory.mktemp("agent"))
    yield found
    found.stop()


def test_an_agent_tells_its_runs_and_follows_a_model(agent: AgentProcess, tmp_path: Path) -> None:
    file = graph_file(tmp_path, measured("a"), measured("b", "a"), measured("c", "b"))
    assert agent.told("submit", file, "--wait")["state"] == "done"
    rows = [json.loads(line) for line in agent.run("costs", "--runs").stdout.splitlines()]
    assert [row["kind"] for row in rows] == ["measure"] * 3
    assert all(row["cpu_s"] > 0 and row["hint"]["cpu_s"] > 0 for row in rows)
    (tmp_path / "broken").write_bytes(b"no model")
    assert agent.run("costs", "--use", str(tmp_path / "broken")).exit_code != 0
    (tmp_path / "model").write_bytes(bundle(0.7))
    assert "no run was compared" in agent.run("costs", "--use", str(tmp_path / "model")).output
    assert agent.told("submit", file, "--wait")["state"] == "done"
    agent.kill()
    agent.start()
    assert agent.told("submit", file, "--wait")["state"] == "done"
    assert "on trial" in agent.run("costs").output
    assert "on trial" not in agent.run("costs", "--no-model").output
