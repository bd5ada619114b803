"""The command line as a user meets it: real processes, one-line errors, exit codes, and a light daemon."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.api import LocalApi
from tests.agent.test_config import TEXT, write

STATUS = {
    "gateway": "gw-1",
    "role": "actor",
    "forecast_error": {"naive": 0.01},
    "actions_pending": [],
    "learned": True,
    "nodes": [{"address": "0x0002", "relay": True, "delivery": 0.98, "home": ""}],
}


def agent(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from edge_agent.cli import main; sys.argv[0] = 'edge-agent'; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    initialise(tmp_path / "coordinator", InitOptions())
    identity = enrol(tmp_path / "coordinator", "hall", "gw-1").folder
    for name in ("ca.crt", "gateway.crt", "gateway.key"):
        (identity / name).rename(tmp_path / name)
    return write(tmp_path, TEXT.replace("/elsewhere/", ""))


def test_check_config_tells_what_it_found(config: Path) -> None:
    done = agent("check-config", "-c", str(config))
    assert done.returncode == 0, done.stderr
    assert "is good: site hall, gateway gw-1, address 0x0001, mesh virtual" in done.stdout
    told = json.loads(agent("check-config", "-c", str(config), "--json").stdout)
    assert (told["site"], told["warnings"]) == ("hall", [])


def test_check_config_names_a_broken_certificate(config: Path) -> None:
    (config.parent / "gateway.crt").write_text("x")
    done = agent("check-config", "-c", str(config))
    assert done.returncode == 2
    assert "gateway.crt" in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check-config", "run", "status"])
def test_a_missing_configuration_is_one_error_with_a_fix(tmp_path: Path, command: str) -> None:
    done = agent(command, "-c", str(tmp_path / "none.toml"))
    assert done.returncode == 2
    assert done.stderr.startswith("edge-agent: ")
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_refuses_a_wrong_file_before_it_becomes_the_daemon(config: Path) -> None:
    (config.parent / "gateway.key").unlink()
    done = agent("run", "--config", str(config))
    assert done.returncode == 2
    assert "broker.key" in done.stderr


def test_status_without_an_agent_tells_how_to_start_one(config: Path) -> None:
    done = agent("status", "-c", str(config))
    assert done.returncode == 1
    assert done.stderr.startswith("edge-agent: no agent answers at")
    assert done.stderr.endswith("\n  fix: edge-agent run --config FILE\n")
    assert done.stderr.count("\n") == 2


async def test_status_is_a_table_for_people_and_json_for_programs(config: Path) -> None:
    path = config.parent / "state" / "agent.sock"
    path.parent.mkdir()
    async with asyncio.TaskGroup() as owner:
        api = LocalApi(path, {"status": lambda: STATUS})
        serving = owner.create_task(api.run())
        await api.serving.wait()
        as_json = await asyncio.to_thread(agent, "status", "-c", str(config), "--json")
        assert json.loads(as_json.stdout) == STATUS
        for_people = await asyncio.to_thread(agent, "status", "--socket", str(path))
        serving.cancel()
    for word in ("role", "actor", "0.0100", "0x0002", "alive", "98 %"):
        assert word in for_people.stdout


def test_version_and_help_need_no_configuration() -> None:
    assert "meshtwin" in json.loads(agent("version", "--json").stdout)
    told = agent("--help").stdout
    for command in ("run", "check-config", "status", "ping", "relay", "version", "node"):
        assert f"  {command} " in told
        assert f"edge-agent {command}" in agent(command, "--help").stdout.split("Example")[1]


def test_node_needs_a_site_file(tmp_path: Path) -> None:
    done = agent("node", "--site-file", str(tmp_path / "x"), "--state-dir", str(tmp_path), "0x0105")
    assert done.returncode == 2
    assert "site file" in done.stderr


def test_the_daemon_tells_a_wrong_configuration_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "--config", str(tmp_path / "none.toml")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "does not exist" in done.stderr


def test_the_daemon_tells_a_wrong_command_line_in_one_line() -> None:
    for words in ([], ["--config"], ["agent.toml"], ["--help"], ["nodes", "list"]):
        done = subprocess.run(
            [sys.executable, "-m", "edge_agent", *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.startswith("usage: python -m edge_agent --config FILE")
        assert done.stderr.count("\n") == 1
        assert "edge-agent --help" in done.stderr


def test_the_daemon_imports_nothing_that_it_does_not_need() -> None:
    heavy = {"typer", "rich", "click", "numpy", "sqlalchemy", "fastapi", "cryptography"}
    for_others = {
        "argparse",
        "difflib",
        "edge_agent.cli",
        "edge_agent.preflight",
        "firmware_bridge.virtual",
        "common.scenario",
    }
    code = "; ".join(
        [
            "import sys",
            "import edge_agent.__main__, edge_agent.app, firmware_bridge.bluez_mesh",
            f"print(sorted({heavy | for_others!r} & set(sys.modules)))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
