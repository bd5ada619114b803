"""What Linux counts of a machine, read from its `/proc` and `/sys`. What it does not tell reads as NaN.

psutil tells the same on more systems, and takes a megabyte of an agent's forty for it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final, NamedTuple

_SECTOR: Final = 512
"""The unit of diskstats, whatever a disk's own sectors are (Linux, Documentation/admin-guide/iostats.rst)."""

_STATES: Final = 8
"""user, nice, system, idle, iowait, irq, softirq, steal; guests' time, which follows, is in user already."""

_IDLE: Final = (3, 4)
_RECEIVED, _SENT = 0, 8
_READ, _WRITTEN = 5, 9


class Busy(NamedTuple):
    """Time that all CPUs together were busy, and time in all, in any one unit."""

    busy: float
    total: float

    def percent_since(self, earlier: Busy) -> float:
        """Share of the time since an earlier reading, in per cent; 0 when none has passed."""
        passed = self.total - earlier.total
        return 100.0 * (self.busy - earlier.busy) / passed if passed else 0.0


class Kernel:
    """`root` is where the machine's file system is mounted."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc, self._blocks = root / "proc", root / "sys/block"

    def busy(self) -> Busy:
        """The CPUs since boot."""
        times = [float(word) for word in _words(_lines(self._proc / "stat"), "cpu")[:_STATES]]
        if len(times) < _STATES:
            return Busy(math.nan, math.nan)
        return Busy(sum(times) - sum(times[n] for n in _IDLE), sum(times))

    def memory(self) -> tuple[float, float]:
        """Bytes of memory, and of those that programs could still have."""
        lines = _lines(self._proc / "meminfo")
        total, available = (_words(lines, name)[:1] for name in ("MemTotal:", "MemAvailable:"))
        if not (total and available):
            return math.nan, math.nan
        return 1024.0 * int(total[0]), 1024.0 * int(available[0])

    def disk_bytes(self) -> tuple[float, float]:
        """Bytes read and written since boot, over all real disks."""
        rows = [line.split() for line in _lines(self._proc / "diskstats")]
        disks = [row for row in rows if len(row) > _WRITTEN and (self._blocks / row[2] / "device").exists()]
        return _sum(disks, _READ, _SECTOR), _sum(disks, _WRITTEN, _SECTOR)

    def network_bytes(self) -> tuple[float, float]:
        """Bytes received and sent since boot, over all interfaces but loopback."""
        pairs = [line.split(":") for line in _lines(self._proc / "net/dev") if ":" in line]
        rows = [counts.split() for name, counts in pairs if name.strip() != "lo"]
        return _sum(rows, _RECEIVED), _sum(rows, _SENT)

    def own_memory(self) -> float:
        """Bytes of this process that are in memory."""
        words = " ".join(_lines(self._proc / "self/statm")).split()
        return float(int(words[1]) * os.sysconf("SC_PAGE_SIZE")) if len(words) > 1 else math.nan


def disk_percent(path: Path) -> float:
    """How full the disk is that holds `path`, as its owner sees it: root's reserve counts as taken."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return math.nan
    taken = disk.f_blocks - disk.f_bfree
    return 100.0 * taken / (taken + disk.f_bavail) if taken + disk.f_bavail else math.nan


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _words(lines: list[str], name: str) -> list[str]:
    """What follows the first word `name` in its line."""
    return next((words[1:] for line in lines if (words := line.split())[:1] == [name]), [])


def _sum(rows: list[list[str]], column: int, unit: int = 1) -> float:
    return float(unit * sum(int(row[column]) for row in rows)) if rows else math.nan
