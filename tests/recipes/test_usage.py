"""What is asked wrongly ends as wrong usage, with the way to ask; what a program reads is JSON alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.command_errors import WRONG, exit_code
from common.errors import MeshtwinError
from coordinator.cli import commands
from coordinator.recipes import plan as plans
from tests.recipes.plans import crowd, plan, step


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "crowd.json"
    path.write_text(crowd(6).scenario(30.0).model_dump_json(by_alias=True))
    return str(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("recipes show lightning", "'lightning' is not known; there are: "),
        ("recipes run lightning --scenario FILE", "'lightning' is not known; there are: "),
        ("recipes run lighting --scenario FILE --set limit_ms=nan", "limit_ms"),
        ("recipes run lighting --scenario FILE --set colour=red", "colour"),
        ("recipes run lighting ../x", "site '../x'"),
        ("whatif ../x", "site '../x'"),
        ("whatif hall --transmit 3-25", "3x20"),
        ("twin score Hall", "site 'Hall'"),
        ("twin sweep --scenario FILE --ttl 8-3", "8-3 ends before it begins"),
        ("twin sweep --scenario FILE --transmit 3x25", "a multiple of 10 ms"),
    ],
)
def test_a_question_that_is_refused_is_wrong_usage_and_says_how_to_ask(
    scenario: str, tmp_path: Path, words: str, said: str
) -> None:
    given = [scenario if word == "FILE" else word for word in words.split()]
    done = CliRunner().invoke(commands.app, [*given, "--state", str(tmp_path)])
    assert isinstance(done.exception, MeshtwinError), done.output
    assert exit_code(done.exception) == WRONG
    assert said in str(done.exception)
    assert "\n  fix: coordinator " in str(done.exception)


def test_a_plan_is_shown_and_asked_about_apart_from_what_a_program_reads(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plans.as_json(plan(step(3, relay=False)))))
    done = CliRunner().invoke(commands.app, ["twin", "apply", str(path), "--json"], input="n\n")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "Make 1 changes at site-a?" in done.stderr
    assert "test-1" in done.stderr
