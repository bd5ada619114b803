"""Where an agent keeps its state when its configuration does not say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.errors import Misconfigured
from edge_agent.config import load_config
from edge_agent.state_folder import MACHINE, VARIABLE, default_state
from tests.agent.test_config import TEXT, write

SILENT = TEXT.replace('state_dir = "state"\n', "")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Somebody else than root; the home."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).exists())
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_root_uses_the_machines_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert load_config(write(tmp_path, SILENT)).gateway.state_dir == MACHINE


def test_another_user_has_a_folder_at_home_for_each_gateway(user: Path) -> None:
    assert default_state("gw-7", user / "none") == user / ".local/state/meshtwin/agent/gw-7"


def test_the_services_account_uses_the_machines_folder_which_is_its_own(user: Path) -> None:
    assert default_state("gw-7", user) == user


def test_the_environment_names_another_default(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(user / "elsewhere"))
    assert load_config(write(user, SILENT)).gateway.state_dir == user / "elsewhere"
    assert load_config(write(user)).gateway.state_dir == user / "state"


def test_a_user_without_a_home_is_told_what_to_set(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(Misconfigured, match=r"set gateway\.state_dir"):
        default_state("gw-7", user / "none")
