"""The programs of the machine that the lab runs, and whether they are the ones it can work with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import Misconfigured, NotSupported

MESHD_PLACES = ("/usr/libexec/bluetooth/bluetooth-meshd", "/usr/lib/bluetooth/bluetooth-meshd")
OLDEST, NEWEST = (5, 66), (5, 83)
VERSION_VARIABLE = "MESHTWIN_MESHD_VERSION"

Version = tuple[int, int]
Which = Callable[[str], str | None]


@dataclass(frozen=True)
class Programs:
    """Full paths."""

    meshd: str
    dbus_daemon: str
    compiler: str


def find(which: Which = shutil.which, places: tuple[str, ...] = MESHD_PLACES) -> Programs:
    """Where the programs are. Raises Misconfigured for the first that is missing, naming its package.

    `places` are tried before the search path, on which Debian does not put the daemon.
    """
    meshd = next((place for place in places if os.access(place, os.X_OK)), None)
    return Programs(
        meshd=meshd or _need(which, "bluetooth-meshd", "bluez-meshd"),
        dbus_daemon=_need(which, "dbus-daemon", "dbus"),
        compiler=_need(which, "cc", "gcc libc6-dev"),
    )


def check_version(meshd: str, environment: Mapping[str, str] = os.environ) -> Version:
    """The BlueZ version of a daemon, if the lab can work with it.

    The daemon itself does not tell its version, so the package manager is asked; who built the daemon
    themselves sets MESHTWIN_MESHD_VERSION. Raises NotSupported (another version), Misconfigured (unknown).
    """
    version = _parse(environment.get(VERSION_VARIABLE) or _packaged_version(meshd), meshd)
    if not OLDEST <= version <= NEWEST:
        raise NotSupported(
            f"{meshd} is of BlueZ {_show(version)}; the lab works with {_show(OLDEST)} to {_show(NEWEST)}: "
            "older ones have no test I/O, and that of newer ones receives nothing"
        )
    return version


def _need(which: Which, program: str, packages: str) -> str:
    path = which(program)
    if path is None:
        raise Misconfigured(f"{program} is not installed", f"apt-get install {packages}")
    return path


def _packaged_version(meshd: str) -> str:
    owner = _dpkg("-S", meshd).partition(":")[0]
    return _dpkg("-W", "-f", "${Version}", owner) if owner else ""


def _dpkg(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["dpkg-query", *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # not a Debian: as unknown as a daemon that no package owns
    return done.stdout.strip() if done.returncode == 0 else ""


def _parse(text: str, meshd: str) -> Version:
    # [epoch:]5.66[-revision]
    match = re.match(r"(?:\d+:)?(\d+)\.(\d+)", text)
    if match is None:
        raise Misconfigured(
            f"the BlueZ version of {Path(meshd)} is not known: {text or 'no package owns it'}",
            f"install Debian's bluez-meshd, or set {VERSION_VARIABLE}, for instance to 5.66",
        )
    return int(match[1]), int(match[2])


def _show(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
