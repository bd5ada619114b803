"""Both command lines, and the demo, end alike: one style of errors, the same exit codes, no traceback for
Ctrl-C at any moment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.command_errors import enter, exit_code, told
from common.errors import (
    Corrupt,
    MeshtwinError,
    Misconfigured,
    NotSupported,
    Rejected,
    RejectReason,
    TimedOut,
    Unavailable,
)

EDGE = "from edge_agent.cli import main; sys.argv[0] = 'edge-agent'; main()"
COORDINATOR = "from coordinator.cli import main; sys.argv[0] = 'coordinator'; main()"
DAEMON = "import runpy; runpy.run_module('edge_agent', run_name='__main__', alter_sys=True)"
DEMO = "import runpy; runpy.run_module('tools.stage', run_name='__main__', alter_sys=True)"
INTERRUPTED_AT = """
import os, signal, sys
at = sys.argv.pop(1)
class CtrlC:
    def find_spec(self, name, path, target=None):
        if name == at:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, CtrlC())
"""


def program(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (Misconfigured("no file", "make one"), "x: no file\n  fix: make one", 2),
        (Misconfigured("no file"), "x: no file", 2),
        (Rejected(RejectReason.OUT_OF_RANGE, "0x0 is no address"), "x: 0x0 is no address", 1),
        (Unavailable("nobody answers\n  fix: start it"), "x: nobody answers\n  fix: start it", 1),
        (TimedOut("late"), "x: late", 1),
        (Corrupt("damaged"), "x: damaged", 2),
        (NotSupported("no relay"), "x: no relay", 1),
    ],
)
def test_errors_are_told_in_one_style_without_the_names_of_reasons(
    error: MeshtwinError, text: str, code: int
) -> None:
    assert (told("x", error), exit_code(error)) == (text, code)


def interrupted() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def refused() -> None:
    raise Rejected(RejectReason.INVALID, "no")


@pytest.mark.parametrize(("body", "code"), [(lambda: None, 0), (interrupted, 130), (refused, 1)])
def test_a_program_ends_with_the_code_of_what_ended_it(body: Callable[[], None], code: int) -> None:
    assert enter("x", lambda: body) == code


def test_an_error_while_loading_is_told_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> Callable[[], None]:
        raise Misconfigured("wrong", "right")

    assert enter("x", load) == 2
    assert capsys.readouterr().err == "x: wrong\n  fix: right\n"


@pytest.mark.parametrize(
    ("code", "words", "at"),
    [
        (EDGE, ["status"], "edge_agent.cli.commands"),
        (EDGE, ["status"], "rich.console"),
        (EDGE, ["check-config"], "edge_agent.preflight"),
        (DAEMON, ["--config", "none.toml"], "edge_agent.config"),
        (COORDINATOR, ["models", "train"], "typer"),
        (COORDINATOR, ["models", "train"], "coordinator.client"),
        (COORDINATOR, ["serve"], "coordinator.app"),
        (DEMO, ["--once"], "tools.stage.demo"),
    ],
)
def test_ctrl_c_in_the_middle_of_an_import_leaves_no_traceback(code: str, words: list[str], at: str) -> None:
    done = program(INTERRUPTED_AT + code, at, *words)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("code", "words", "name"),
    [
        (EDGE, ["status", "-c"], "edge-agent"),
        (DAEMON, ["--config"], "edge-agent"),
        (COORDINATOR, ["sites", "--state"], "coordinator"),
    ],
)
def test_what_is_misconfigured_is_told_with_the_fix_below(
    code: str, words: list[str], name: str, tmp_path: Path
) -> None:
    done = program("import sys; " + code, *words, str(tmp_path / "none"))
    assert done.returncode == 2
    assert re.fullmatch(rf"{name}: .+\n  fix: .+\n", done.stderr)


@pytest.mark.parametrize(("code", "name"), [(EDGE, "edge-agent"), (COORDINATOR, "coordinator")])
def test_help_tells_the_exit_codes_and_version_the_version(code: str, name: str) -> None:
    help_ = " ".join(program("import sys; " + code, "--help").stdout.split())
    assert help_.startswith(f"Usage: {name} ")
    assert help_.endswith("130 ended by Ctrl-C.")
    version = program("import sys; " + code, "--version")
    assert re.fullmatch(rf"{name} \d+\.\d+\S*\n", version.stdout)


def test_an_error_moves_no_cursor_whatever_it_quotes() -> None:
    shown = told("edge-agent", Misconfigured("task \x1b[31mred is unknown", "name \x9b one"))
    assert shown == "edge-agent: task \\x1b[31mred is unknown\n  fix: name \\x9b one"
