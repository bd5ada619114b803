"""Running other programs: their output on success, an error that quotes their last words otherwise."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from common.errors import Misconfigured, TimedOut, Unavailable

_NEEDED = {"debootstrap": "debootstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux"}


def check_machine() -> None:
    """Raise Misconfigured unless this machine and account can boot a container."""
    if os.geteuid() != 0:
        raise Misconfigured("containers with services of their own take root", "run it with sudo")
    for program, package in _NEEDED.items():
        if not any(Path(folder, program).exists() for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin")):
            raise Misconfigured(f"{program} is not installed", f"apt-get install {package}")


def run(*command: str | Path, timeout_s: float = 600.0, stdin: str | None = None) -> str:
    """The standard output of a program. Raises Unavailable when it fails, TimedOut."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{_shown(words)} does not end within {timeout_s:.0f} s") from error
    except FileNotFoundError as error:
        raise Unavailable(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        last = "\n    ".join((done.stderr or done.stdout).strip().splitlines()[-6:])
        raise Unavailable(f"{_shown(words)} failed ({done.returncode}):\n    {last}")
    return done.stdout


def _shown(words: Sequence[str]) -> str:
    return " ".join(words)[:160]
