"""The lab's `bluetooth-meshd` processes, by node index: started, killed, paused, and started again.

What a daemon stores stays in its folder, so a node that is started again is the same node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.errors import Rejected, RejectReason, Unavailable
from tools.meshlab.child import Child, Usage

# Provisioning over PB-ADV takes half a minute a node and more at one packet each half second; the daemon's
# own limit is a minute.
_CONFIGURATION = "[General]\nProvTimeout = 240\n"


class Daemons:
    """`count` daemons on the sockets in `sockets`, storing and logging below `folder`/INDEX.

    `environment` is common to all: the bus, the shim, the parent.
    """

    def __init__(
        self,
        meshd: str,
        count: int,
        folder: Path,
        sockets: Path,
        environment: Mapping[str, str],
        debug: bool = False,
    ) -> None:
        self._meshd = meshd
        self._folder = folder
        self._sockets = sockets
        self._environment = environment
        self._debug = debug
        self._children: list[Child | None] = [None] * count
        self._configuration = folder / "mesh-main.conf"
        self._configuration.write_text(_CONFIGURATION)

    def spawn(self, index: int) -> None:
        """Start a daemon that does not run. Its air socket exists already; its bus must, too."""
        if self.is_alive(index):
            raise Rejected(RejectReason.INVALID, f"node {index} runs already")
        home = self._folder / str(index)
        (home / "store").mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [self._meshd, "--nodetach", "--io", f"unit:{self._sockets / f'node.{index}'}"]
        command += ["--storage", str(home / "store"), "--config", str(self._configuration)]
        command += ["--debug"] if self._debug else []
        environment = {**self._environment, "MESHLAB_AIR": str(self._sockets / f"air.{index}")}
        self._children[index] = Child(f"node {index}", command, environment, home / "log")

    def kill(self, index: int) -> None:
        """End a daemon by SIGKILL, as a power cut ends a node. Nothing happens if it is down already."""
        if self.is_alive(index):
            self._running(index).kill()

    def is_alive(self, index: int) -> bool:
        self._check(index)
        child = self._children[index]
        return child is not None and child.alive

    def pause(self, index: int) -> None:
        """Stop a daemon by SIGSTOP. Raises Unavailable if it is down."""
        self._running(index).pause()

    def resume(self, index: int) -> None:
        """Let a paused daemon run again. Raises Unavailable if it is down."""
        self._running(index).resume()

    def states(self) -> list[dict[str, Any]]:
        """For each node its index, `state` (up, paused, down), process id and log."""
        return [self._state(index) for index in range(len(self._children))]

    def usages(self) -> list[Usage | None]:
        """For each node what it used, None for one that is down."""
        return [
            self._running(index).usage() if self.is_alive(index) else None
            for index in range(len(self._children))
        ]

    async def stop_all(self) -> None:
        """End every daemon, politely first, so that it stores what it knows."""
        async with asyncio.TaskGroup() as stopping:
            for child in self._children:
                if child is not None:
                    stopping.create_task(child.stop())

    def _state(self, index: int) -> dict[str, Any]:
        child = self._children[index]
        up = child is not None and child.alive
        paused = up and child is not None and child.paused
        return {
            "node": index,
            "state": "paused" if paused else "up" if up else "down",
            "pid": child.pid if child is not None and up else None,
            "log": str(self._folder / str(index) / "log"),
        }

    def _running(self, index: int) -> Child:
        self._check(index)
        child = self._children[index]
        if child is None or not child.alive:
            raise Unavailable(f"node {index} is down")
        return child

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self._children):
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"node {index}; there are 0 to {len(self._children) - 1}"
            )
