"""The unit files as systemd reads them, and their installation into an image."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import Misconfigured
from common.units import HIDDEN, Installation
from coordinator.service import install as coordinator
from edge_agent.service import install as agent

ANALYZE = shutil.which("systemd-analyze")
EXPOSURE_BAR = 2.0
PARTS = {"agent": agent.installation, "coordinator": coordinator.installation}

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="accounts of an image take root")


@pytest.fixture(params=PARTS)
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """An image with nothing in it."""
    (tmp_path / "image" / "etc").mkdir(parents=True)
    return PARTS[request.param](tmp_path / "image", sys.executable)


def units(part: Installation, folder: Path) -> list[str]:
    """The unit files written to `folder`, ready for systemd-analyze."""
    paths = []
    for file in part.files():
        if "/system/" in file.path:
            (folder / file.name).write_text(file.text)
            paths.append(str(folder / file.name))
    return paths


def test_every_unit_names_the_interpreter_that_was_asked_for(part: Installation) -> None:
    starts = [
        line for file in part.files() for line in file.text.splitlines() if line.startswith("ExecStart")
    ]
    assert starts
    assert all(sys.executable in line or "=systemctl " in line for line in starts)
    assert not any("@" in line for line in starts)


@needs_systemd
def test_systemd_finds_nothing_to_complain_about(part: Installation, tmp_path: Path) -> None:
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *units(part, tmp_path)], capture_output=True, text=True, timeout=60
    )
    complaints = [line for line in done.stderr.splitlines() if "meshtwin" in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


@needs_systemd
def test_every_service_is_hardly_exposed(part: Installation, tmp_path: Path) -> None:
    assert ANALYZE is not None
    services = [path for path in units(part, tmp_path) if path.endswith(".service")]
    for path in services:
        done = subprocess.run(
            [ANALYZE, "security", "--offline=true", "--no-pager", path],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        level = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
        assert level is not None, done.stdout
        assert float(level[1]) <= EXPOSURE_BAR, path


def test_a_preview_shows_everything_and_changes_nothing(part: Installation) -> None:
    shown = "\n".join(part.preview())
    assert all(file.path in shown for file in part.files())
    assert "would run systemd-sysusers" in shown
    assert [path.name for path in part.root.rglob("*")] == ["etc"]


@needs_root
@needs_systemd
def test_installing_makes_accounts_and_folders_and_can_be_repeated(part: Installation) -> None:
    first = list(part.install())
    again = list(part.install())
    assert all(line.startswith(("wrote", "ran")) for line in first)
    assert all(line.startswith(("kept", "ran")) for line in again)
    accounts = (part.root / "etc" / "passwd").read_text()
    assert "meshtwin-" in accounts
    assert "root" not in {line.split(":")[0] for line in accounts.splitlines() if "meshtwin" in line}
    state = part.root / "var" / "lib" / "meshtwin"
    private = state / ("agent" if (state / "agent").exists() else "coordinator")
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert private.stat().st_uid != 0


@needs_root
@needs_systemd
def test_uninstalling_leaves_no_unit_and_keeps_the_state(part: Installation) -> None:
    list(part.install())
    list(part.uninstall())
    left = [file.path for file in part.files() if (part.root / file.path[1:]).exists()]
    assert left == []
    assert list((part.root / "var" / "lib" / "meshtwin").iterdir())
    assert list(part.uninstall()) == []


@needs_root
@needs_systemd
def test_an_identity_becomes_the_agents_own_and_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "etc" / "meshtwin").mkdir(parents=True)
    key = tmp_path / "etc" / "meshtwin" / "gateway.key"
    key.write_text("secret")
    list(agent.installation(tmp_path).install())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.stat().st_uid == (tmp_path / "var/lib/meshtwin/agent").stat().st_uid != 0


def test_the_machine_itself_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Misconfigured, match="takes root"):
        agent.installation().check()


@pytest.mark.parametrize("folder", HIDDEN)
def test_an_interpreter_that_services_cannot_see_is_refused(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Misconfigured, match="services cannot see") as caught:
        agent.installation(python=f"{folder}/somebody/venv/bin/python").check()
    assert "/opt/meshtwin" in caught.value.fix


def test_a_preview_can_tell_everything_that_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["edge-agent", "install-service", "--dry-run"])
    root, hidden = list(agent.installation(python="/home/somebody/venv/bin/python").refusals())[:2]
    assert root.problem == "installing services takes root"
    assert root.fix.startswith(f"sudo {Path('edge-agent').absolute()} install-service, or look")
    assert "services cannot see /home/somebody/venv/bin/python" in hidden.problem


@pytest.mark.parametrize("program", ["edge_agent.cli", "coordinator.cli.__main__"])
def test_both_command_lines_show_what_they_would_install(program: str) -> None:
    code = f"import sys; from {program} import main; sys.argv[0] = 'x'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "install-service", "--dry-run"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Type=notify" in done.stdout
    assert f"ExecStart={sys.executable} -m" in done.stdout
