"""Notices that the site file was edited while the agent runs, and hands on what changed.

A file that cannot be used changes nothing: the former one stays in force, and why is told once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

from common.clock import Clock
from common.errors import Misconfigured
from common.mesh import cdb
from common.mesh.cdb import SiteFile
from common.mesh.site_changes import SiteChanges, changes

PERIOD_S: Final = 2.0

Stamp: TypeAlias = "tuple[int, int, int] | None"
Tell: TypeAlias = Callable[..., None]


class SiteFileWatch:
    """Looks at a file's stamp every two seconds. Run `run()` in the supervisor.

    `adopt` is given the new file and what changed in it; `announce` and `warn` make events. `own` is the
    gateway's unicast address, `read` reads the file and raises Misconfigured.
    """

    def __init__(
        self,
        path: Path,
        site_file: SiteFile,
        own: int,
        clock: Clock,
        adopt: Callable[[SiteFile, SiteChanges], Awaitable[None]],
        announce: Tell,
        warn: Tell,
        read: Callable[[Path], SiteFile] = cdb.read,
    ) -> None:
        self._path = path
        self._present = site_file
        self._own = own
        self._clock = clock
        self._adopt = adopt
        self._announce = announce
        self._warn = warn
        self._read = read
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Watch until cancelled."""
        taken = seen = _stamp(self._path)
        # Compared once in any case: it may have been edited between its reading and now.
        await self.look()
        while True:
            await self._clock.sleep(PERIOD_S)
            before, seen = seen, _stamp(self._path)
            # Read only once it rests: editors and copies write a file bit by bit.
            if seen != taken and seen == before:
                taken = seen
                await self.look()

    async def look(self) -> None:
        """Take over what the file says now: who has just changed it need not wait."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._read, self._path)
        except Misconfigured as error:
            self._warn("site-file-refused", reason=error.problem[:200], kept="the former one", fix=error.fix)
            return
        changed = changes(self._present, found, self._own)
        if not changed:
            return
        if changed.keys:
            self._warn("site-file-changed", **changed.told(), fix="restart the agent to use the new keys")
        else:
            self._announce("site-file-changed", **changed.told())
        self._present = found
        await self._adopt(found, changed)


def _stamp(path: Path) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
