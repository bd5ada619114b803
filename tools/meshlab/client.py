"""What can be done with a running lab, from any process: faults, links, figures.

A lab writes `lab.json` into its folder; `LabClient.attach` reads it. `Lab` itself is a client of its own
sockets, so that both have the same methods.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.errors import Rejected, RejectReason, TimedOut, Unavailable
from tools.meshlab.control import call
from tools.meshlab.figures import AirStats, LabUsage, LinkCount, NodeState
from tools.meshlab.poll import until
from tools.meshlab.topology import Topology

STATE_FILE = "lab.json"
LOCK_FILE = "lab.lock"
READY_SECONDS = 30.0


class LabClient:
    """A lab by its folder. Every method raises Unavailable when no lab runs there, and Rejected for a node
    that it does not have.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def attach(cls, folder: Path) -> LabClient:
        """The lab that runs in `folder`. Raises Unavailable."""
        client = cls(folder)
        client.state()
        return client

    def state(self) -> dict[str, Any]:
        """What `lab.json` says: pid, bus_address, sockets, count, seed, air_pid, bus_pid, nodes."""
        try:
            if not is_locked(self.folder):
                raise Unavailable(f"no lab runs in {self.folder}")
            state: dict[str, Any] = json.loads((self.folder / STATE_FILE).read_text())
        except (OSError, ValueError) as error:
            raise Unavailable(f"no lab runs in {self.folder}") from error
        return state

    @property
    def bus_address(self) -> str:
        """The D-Bus address that carries all daemons; tell them apart by unique name."""
        return str(self.state()["bus_address"])

    @property
    def count(self) -> int:
        """How many daemons the lab has, up or down."""
        return int(self.state()["count"])

    def daemon_pid(self, index: int) -> int:
        """The process id of a node's daemon. Raises Unavailable if it is down."""
        nodes = self._nodes()
        if not 0 <= index < len(nodes):
            raise Rejected(RejectReason.OUT_OF_RANGE, f"node {index}; there are 0 to {len(nodes) - 1}")
        pid = nodes[index].pid
        if pid is None:
            raise Unavailable(f"node {index} is down")
        return pid

    def status(self) -> tuple[NodeState, ...]:
        """Every node's state."""
        return self._nodes()

    async def bus_name(self, index: int) -> str:
        """The unique bus name of a node's daemon, such as ":1.7". Raises Unavailable if it is down."""
        self.daemon_pid(index)
        name = (await self._air("names"))[index]
        if name is None:
            raise Unavailable(f"node {index} is not ready")
        return str(name)

    async def kill(self, index: int) -> None:
        """End a daemon by SIGKILL and return when it is gone. Nothing happens if it is down already."""
        await self._lab("kill", node=index)

    async def restart(self, index: int) -> None:
        """Start a daemon again, killing it first if it is up; return when it answers, under a new bus name.

        It keeps its storage; clients have to attach again. A caller that is cancelled, for instance because
        the daemon that it used is gone, has nevertheless restarted it. Raises TimedOut.
        """
        await self._lab("restart", node=index)
        await self.ready([index])

    async def pause(self, index: int) -> None:
        """Stop a daemon by SIGSTOP: it stays on the bus and answers nothing."""
        await self._lab("pause", node=index)

    async def resume(self, index: int) -> None:
        """Let a paused daemon run again. It then hears the ten oldest datagrams that it missed."""
        await self._lab("resume", node=index)

    async def topology(self) -> Topology:
        """The links as they are now."""
        return Topology.from_json(await self._air("topology"))

    async def set_topology(self, topology: Topology) -> None:
        """Replace all links at once. The topology has as many nodes as the one that the lab began with."""
        await self._air("topology", topology=topology.to_json())

    async def set_loss(self, a: int, b: int, loss: float, both_ways: bool = False) -> None:
        """Set the loss of the link from `a` to `b`, and of the reverse one if asked; 1 cuts it."""
        await self._air("loss", **{"from": a, "to": b, "loss": loss})
        if both_ways:
            await self._air("loss", **{"from": b, "to": a, "loss": loss})

    async def silence(self, index: int) -> None:
        """Switch a node's radio off: it runs on, but neither hears nor is heard."""
        await self._air("silence", node=index)

    async def unsilence(self, index: int) -> None:
        """Switch a node's radio on again."""
        await self._air("unsilence", node=index)

    async def stats(self) -> AirStats:
        """What the air counted, by node."""
        return AirStats.from_json(await self._air("stats"))

    async def link_stats(self) -> tuple[LinkCount, ...]:
        """What the air counted, by directed link."""
        rows = await self._air("links")
        return tuple(LinkCount(row.pop("from"), row.pop("to"), **row) for row in rows)

    async def usage(self) -> LabUsage:
        """CPU and memory of every process of the lab."""
        return LabUsage.from_json(await self._lab("usage"))

    async def down(self) -> None:
        """Ask whoever runs the lab to end it, and return when it has. Raises TimedOut."""
        await self._lab("down")
        try:
            async with asyncio.timeout(READY_SECONDS):
                await until(lambda: not is_locked(self.folder))
        except TimeoutError as error:
            raise TimedOut(f"the lab in {self.folder} still runs") from error

    async def ready(self, indices: Iterable[int]) -> None:
        """Return when all these daemons answer on bus and air. Raises Unavailable if one ended, TimedOut."""
        waiting = set(indices)

        async def all_named() -> bool:
            names = await self._air("names")
            waiting.intersection_update(index for index in waiting if names[index] is None)
            for index in waiting:
                self.daemon_pid(index)  # raises for one that ended
            return not waiting

        try:
            async with asyncio.timeout(READY_SECONDS):
                await until(all_named)
        except TimeoutError as error:
            raise TimedOut(f"nodes {sorted(waiting)} do not answer; see their logs") from error

    def _nodes(self) -> tuple[NodeState, ...]:
        return tuple(NodeState(**node) for node in self.state()["nodes"])

    async def _air(self, command: str, **arguments: Any) -> Any:
        return await call(Path(self.state()["sockets"]) / "air", command, **arguments)

    async def _lab(self, command: str, **arguments: Any) -> Any:
        return await call(Path(self.state()["sockets"]) / "lab", command, **arguments)


def is_locked(folder: Path) -> bool:
    """Whether a lab runs in `folder`: it holds a lock there, which ends with its process."""
    try:
        with (folder / LOCK_FILE).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
