"""`edge-agent tasks` as an operator meets it, with a real agent in a process of its own."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.command_errors import exit_code
from common.errors import MeshtwinError, Misconfigured, Rejected
from common.kinds import catalogue, process_tree
from edge_agent.cli import commands
from tests.tasks.agent import AgentProcess, graph_file
from tests.tasks.running import measured


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    found = AgentProcess(tmp_path_factory.mktemp("agent"))
    yield found
    found.stop()


def test_files_go_in_and_results_come_out(agent: AgentProcess, tmp_path: Path) -> None:
    log = random.Random(1).randbytes(300_000)
    (tmp_path / "log.txt").write_bytes(log)
    file = graph_file(tmp_path, {"id": "pack", "kind": "compress", "inputs": {"data": {"file": "log.txt"}}})
    done = agent.run("submit", file, "--wait", "--output", str(tmp_path / "results"))
    assert done.exit_code == 0, done.output
    assert zlib.decompress((tmp_path / "results" / "pack.packed").read_bytes()) == log
    assert json.loads((tmp_path / "results" / "pack.summary").read_text())["bytes"] == len(log)


def test_a_job_is_listed_shown_and_explained(agent: AgentProcess, tmp_path: Path) -> None:
    told = agent.told("submit", graph_file(tmp_path, measured("a"), measured("b", "a")), "--wait")
    assert told["state"] == "done"
    assert told["job"] in [job["job"] for job in agent.told("list")]
    shown = agent.told("show", told["job"][-6:])
    assert [row["machine"] for row in shown["task_rows"]] == ["gw-1", "gw-1"]
    assert shown["results"] == ["a", "b"]
    assert shown["energy_j"] > 0
    plan = agent.told("explain", told["job"])
    assert [row["task"] for row in plan["task_rows"]] == ["a", "b"]
    why = agent.told("explain", told["job"], "a")
    assert [(row["machine"], row["chosen"]) for row in why["alternatives"]] == [("gw-1", True)]
    assert [row["kind"] for row in agent.told("costs")]
    for words in (
        ["list"],
        ["show", told["job"]],
        ["explain", told["job"]],
        ["explain", told["job"], "a"],
        ["costs"],
    ):
        page = agent.run(*words)
        assert page.exit_code == 0, page.exception
        assert "gw-1" in page.output


def test_a_job_is_cancelled(agent: AgentProcess, tmp_path: Path) -> None:
    job = agent.told("submit", graph_file(tmp_path, measured("a", rounds=900_000_000)))["job"]
    assert agent.told("cancel", job)["state"] == "cancelled"
    refused = agent.run("cancel", job)
    assert isinstance(refused.exception, Rejected)
    assert "over already" in str(refused.exception)


@pytest.mark.parametrize(
    ("tasks", "word"),
    [
        ([measured("a", "b"), measured("b", "a")], "a after b after a"),
        ([{"id": "a", "kind": "mesure"}], "did you mean 'measure'"),
        ([{"id": "a", "kind": "spectrum"}], "lacks the input 'block'"),
        ([measured("a", size={"cpu_s": -1})], "greater than or equal to 0"),
        (
            [{"id": "a", "kind": "compress", "inputs": {"data": {"file": "nowhere"}}}],
            "nowhere cannot be read",
        ),
    ],
)
def test_what_is_wrong_with_a_graph_is_told(
    agent: AgentProcess, tmp_path: Path, tasks: list[dict[str, object]], word: str
) -> None:
    done = agent.run("submit", graph_file(tmp_path, *tasks))
    assert isinstance(done.exception, MeshtwinError)
    assert word in str(done.exception)
    assert exit_code(done.exception) == 2


@pytest.mark.parametrize(
    "words",
    [["cancel", "zz"], ["show", "zz"], ["explain", "zz"], ["show", "zz", "--watch"], ["kinds", "nosuch"]],
)
def test_a_name_of_nothing_is_the_operators_to_mend(agent: AgentProcess, words: list[str]) -> None:
    app = CliRunner().invoke(commands.app, ["tasks", *words]) if words[0] == "kinds" else agent.run(*words)
    assert isinstance(app.exception, Misconfigured)
    assert exit_code(app.exception) == 2


def test_a_kind_that_cannot_be_loaded_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("sums", "nowhere_at_all.kinds:SUMS", catalogue.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [point])
    catalogue._installed.cache_clear()
    try:
        page = CliRunner().invoke(commands.app, ["tasks", "kinds"])
        assert page.exit_code == 0
        assert "sums is left out: nowhere_at_all.kinds:SUMS: ModuleNotFoundError" in page.output
        with pytest.raises(Rejected, match="kind sums cannot be loaded here"):
            catalogue.find("sums")
    finally:
        monkeypatch.undo()
        catalogue._installed.cache_clear()
        assert catalogue.broken() == {}


def test_kinds_are_listed_without_an_agent(agent: AgentProcess) -> None:
    page = CliRunner().invoke(commands.app, ["tasks", "kinds"])
    assert page.exit_code == 0
    assert all(name in page.output for name in ("infer", "spectrum", "compress", "thumbnail", "forecast"))


def test_a_killed_agent_loses_no_job_and_no_result(tmp_path: Path) -> None:
    dice = random.Random(7)
    agent = AgentProcess(tmp_path)
    try:
        names = [f"t{n}" for n in range(20)]
        tasks = [
            measured(name, *dice.sample(names[:at], min(at, 2)), rounds=40_000)
            for at, name in enumerate(names)
        ]
        job = agent.told("submit", graph_file(tmp_path, *tasks))["job"]
        kept: dict[str, tuple[str, int]] = {}
        for _ in range(2):
            time.sleep(dice.uniform(0.1, 0.5))
            rows = agent.told("show", job)["task_rows"]
            workers = process_tree.tree(agent.process.pid)[1:]
            agent.kill()
            until_gone(workers)
            agent.start()
            done = {row["task"]: (row["outputs"], row["attempt"]) for row in rows if "outputs" in row}
            after = {row["task"]: row for row in agent.told("show", job)["task_rows"]}
            # What was told once stays, and is not made again.
            kept |= done
            assert {n: (after[n]["outputs"], after[n]["attempt"]) for n in kept} == kept
        told = agent.ended(job)
        assert told["state"] == "done"
        assert {row["state"] for row in told["task_rows"]} == {"done"}
        assert [one["job"] for one in agent.told("list")] == [job]
    finally:
        agent.stop()


def until_gone(workers: list[int]) -> None:
    """Workers die with their agent, whatever they are at."""
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_agent_that_is_asked_nothing_about_tasks_has_loaded_nothing_for_them() -> None:
    import subprocess
    import sys

    code = "import sys, edge_agent.app; print(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    unwanted = {
        "common.kinds",
        "common.placement",
        "common.exchange",
        "edge_agent.tasks.service",
        "PIL",
        "numpy",
    }
    assert loaded & unwanted == set()


def test_the_service_itself_loads_no_kinds_code() -> None:
    import subprocess
    import sys

    code = "import sys, edge_agent.app, edge_agent.tasks.service, edge_agent.tasks.exchange;"
    code += "from common.kinds import catalogue; catalogue.find('infer'); print(*sys.modules)"
    loaded = set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )
    assert loaded & {"PIL", "numpy", "ai_edge_litert", "pydantic", "typer", "rich"} == set()
