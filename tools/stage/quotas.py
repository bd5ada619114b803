"""Processors shared out: groups of the kernel's `cpu` controller (cgroups, version 1 or 2) with quotas."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final, Self

from common.errors import Unavailable

_V1: Final = Path("/sys/fs/cgroup/cpu")
_V2: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 50_000


class Quotas:
    """`with Quotas({"slow": 0.2}) as quotas`: what is started by `within` takes no more of a processor."""

    def __init__(self, shares: dict[str, float]) -> None:
        self._shares = shares
        self._is_v2 = (_V2 / "cgroup.controllers").exists()
        self._root = (_V2 if self._is_v2 else _V1) / f"meshtwin-{os.getpid()}"

    def __enter__(self) -> Self:
        """Raises Unavailable where this machine gives no such groups, as to users other than root."""
        try:
            self._root.mkdir()
            if self._is_v2:
                (self._root / "cgroup.subtree_control").write_text("+cpu")
            self._weigh(len(self._shares))
            for name, share in self._shares.items():
                self._make(self._root / name, int(share * PERIOD_US))
        except OSError as error:
            self.__exit__()
            raise Unavailable(f"no processor quotas here: {error.strerror}: {self._root}") from error
        return self

    def __exit__(self, *_: object) -> None:
        for name in (*self._shares, "."):
            try:
                (self._root / name).resolve().rmdir()
            except OSError:
                pass  # Not made, or something in it takes longer to die.

    def within(self, name: str, command: list[str]) -> list[str]:
        """The command that does the same within the group `name`; the same command where there is none."""
        if name not in self._shares:
            return command
        procs = shlex.quote(str(self._root / name / "cgroup.procs"))
        return ["/bin/sh", "-c", f'echo $$ > {procs} && exec "$@"', "sh", *command]

    def _weigh(self, groups: int) -> None:
        """As many processes as there are groups, beside others of the machine: by itself the whole has the
        weight of one, and on a busy machine nobody in it would get near its quota."""
        if self._is_v2:
            (self._root / "cpu.weight").write_text(str(min(10_000, 100 * groups)))
        else:
            (self._root / "cpu.shares").write_text(str(1024 * groups))

    def _make(self, group: Path, quota_us: int) -> None:
        group.mkdir()
        if self._is_v2:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
