"""What processes cost, as the kernel counts it: read from /proc, of oneself and of others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from common.errors import Unavailable

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_KIB_PER_MIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB. `resident` counts every page in use, `proportional` each shared page by its sharers."""

    resident: float
    proportional: float


def cpu_s(pid: int) -> float:
    """CPU seconds, user and system, of a process and all its threads since it was started.

    What it executed before, under the same process id, is included. Raises Unavailable when it is gone.
    """
    # The command's name, in brackets, may itself hold spaces and brackets.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> Memory:
    """Memory now. Raises Unavailable when the process is gone."""
    lines = (line.split() for line in _read(pid, "smaps_rollup").splitlines()[1:])
    kib = {words[0]: int(words[1]) for words in lines}
    return Memory(kib["Rss:"] / _KIB_PER_MIB, kib["Pss:"] / _KIB_PER_MIB)


def _read(pid: int, name: str) -> str:
    try:
        return (_PROC / str(pid) / name).read_text()
    except OSError as error:
        raise Unavailable(f"process {pid} is gone: {error}") from error
