"""A process and all that descends from it: what they take, and their end. Reads /proc.

Whoever is looked at here has made itself the one that orphans go to (`confinement`), so that no descendant
leaves the tree while its root lives.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGESIZE")
MOST: Final = 4096
"""Processes that are looked at: a tree beyond that is ended anyway."""

ROUNDS: Final = 64
CHILDREN_TOLD: Final = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
"""Whether this kernel was built to list them (CONFIG_PROC_CHILDREN)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a whole tree; CPU time includes that of children that have ended and were waited for."""

    processes: int
    cpu_s: float
    resident_bytes: int


def usage(root: int) -> Usage:
    """What the tree takes now; nothing when it is gone."""
    count, ticks, pages = 0, 0, 0
    for pid in tree(root):
        found = _stat(pid)
        if found is not None:
            count, ticks, pages = count + 1, ticks + found.ticks, pages + found.pages
    return Usage(count, ticks * TICK_S, pages * PAGE)


def tree(root: int) -> list[int]:
    """The process and its descendants, at most `MOST`."""
    children = _told_children if CHILDREN_TOLD else _looked_up()
    found = [root]
    for pid in found:
        if len(found) >= MOST:
            break
        found.extend(children(pid))
    return found


def kill(root: int) -> None:
    """End the whole tree, which may be growing meanwhile: everybody is halted before anybody is killed.

    The root must be a child of ours that was not waited for, so that its number is still its own.
    """
    _signal(root, signal.SIGSTOP)
    halted = {root}
    for _ in range(ROUNDS):
        fresh = [pid for pid in tree(root) if pid not in halted]
        if not fresh:
            break
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        halted.update(fresh)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(root, signal.SIGKILL)
    for pid in halted - {root}:
        _signal(pid, signal.SIGKILL)
    _signal(root, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _told_children(pid: int) -> list[int]:
    """As the kernel tells; children belong to the thread that made them."""
    found: list[int] = []
    with suppress(OSError, ValueError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found.extend(map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split()))
    return found


def _looked_up() -> Callable[[int], list[int]]:
    """Everybody's children, by asking everybody for the parent: a few milliseconds on a busy machine."""
    found: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (told := _stat(int(entry))) is not None:
            found.setdefault(told.parent, []).append(int(entry))
    return lambda pid: found.get(pid, [])


class _Stat(NamedTuple):
    parent: int
    ticks: int
    pages: int


def _stat(pid: int) -> _Stat | None:
    """The name before the figures may hold anything: it is skipped from behind."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    # proc_pid_stat(5) counts from 1, and two fields were cut: ppid is 4, utime 14, rss 24.
    return _Stat(int(fields[1]), sum(map(int, fields[11:15])), int(fields[21]))
