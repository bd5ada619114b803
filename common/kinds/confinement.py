"""Confines a worker process: what it may take of the machine, and that it dies with whoever started it.

Called in the worker itself, before it runs anything. The limits of a process are the kernel's; those of all
its children together are watched from outside (`worker_process`). What holds where:

- memory, CPU time, file size, open files, core dumps: everywhere, for each process;
- number of processes: by the kernel except for root, whom RLIMIT_NPROC does not bind; by watching everywhere;
- the network and other users' files: not confined here. The service's unit does that (`docs/services.md`).
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Final

# prctl(2)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_CHILD_SUBREAPER: Final = 36

OPEN_FILES: Final = 128
NICER: Final = 10
OOM_SCORE: Final = 900
"""Of 1000: when the machine runs out of memory, a task goes before anything else."""

PROCESSES: Final = 16
"""Processes of one task, itself included."""

SPARE_ADDRESSES: Final = 1 << 30
"""Address space besides the memory: libraries, thread stacks, files that are mapped."""


def confine(parent: int) -> None:
    """Confine this process for good. `parent` started it; if it is gone already, so is this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Orphans of a task become this process's children, and do not get out of sight.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.umask(0o077)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    if os.getuid() != 0:
        _lower(resource.RLIMIT_NPROC, _own_tasks() + 4 * PROCESSES)
    # Refused to services that may not change priorities.
    with suppress(OSError):
        os.nice(NICER)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def allow(memory_bytes: int, cpu_s: float, file_bytes: int) -> None:
    """What this process may take for its next task, beyond the CPU time that it has used. Only soft limits:
    the next task has others."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The kernel counts whole seconds; the watcher is finer, this holds when it is kept from running.
    seconds = ceil(used.ru_utime + used.ru_stime + cpu_s) + 1
    _soften(resource.RLIMIT_DATA, memory_bytes)
    _soften(resource.RLIMIT_AS, memory_bytes + SPARE_ADDRESSES)
    _soften(resource.RLIMIT_CPU, seconds)
    _soften(resource.RLIMIT_FSIZE, file_bytes)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def _soften(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _own_tasks() -> int:
    """Processes and threads of this user: the limit counts them all."""
    own, count = os.getuid(), 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if entry.stat().st_uid == own:
                    count += len(os.listdir(entry / "task"))
    return count
