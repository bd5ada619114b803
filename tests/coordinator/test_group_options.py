"""Options before a group's command count as much as after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coordinator.cli import commands


class _Told:
    """Answers of a coordinator without anything."""

    def __enter__(self) -> _Told:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def get(self, path: str, **_: Any) -> Any:
        return {"jobs": [], "machines": [], "cloud": None} if path == "tasks" else []


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    found: list[Path | None] = []

    def connect(state: Path | None, *_: object) -> _Told:
        found.append(state)
        return _Told()

    monkeypatch.setattr(commands, "connect", connect)
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["tasks", "--state", "/there", "--json", "list"],
        ["tasks", "list", "--state", "/there", "--json"],
        ["tasks", "--state", "/elsewhere", "list", "--state", "/there", "--json"],
        ["tasks", "--state", "/there", "--json"],
        ["models", "--state", "/there", "--json", "list"],
        ["gateways", "--state", "/there", "--json", "list"],
    ],
)
def test_what_is_given_to_a_group_is_given_to_its_command(asked: list[Path | None], words: list[str]) -> None:
    done = CliRunner().invoke(commands.app, words)
    assert done.exit_code == 0, (done.output, done.exception)
    assert asked == [Path("/there")]
    assert done.output.strip()[:1] in "[{"


def test_what_the_command_does_not_take_is_refused(asked: list[Path | None]) -> None:
    done = CliRunner().invoke(commands.app, ["tasks", "--json", "cancel", "4f1c"])
    assert done.exit_code == 2
    assert "cancel takes no --json" in done.output
    assert asked == []
