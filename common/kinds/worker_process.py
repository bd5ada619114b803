"""One worker process from outside: started with a clean environment, asked, watched, and ended with all that
it has started.

Knows nothing of jobs or stores. The gateway's executor keeps some of these warm; whoever runs a single task
takes `async with` and one `ask`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self

from common.codec import pack, unpack
from common.errors import Rejected, Unavailable
from common.kinds import process_tree
from common.kinds.confinement import PROCESSES
from common.kinds.worker import LENGTH_BYTES, MAX_FRAME
from common.taskgraph.wire import FailureReason, TaskLimits

WATCH_S: Final = 0.1
"""Between two looks at what a task takes: by so much limits on trees of processes are overrun."""

FIRST_LOOK_S: Final = 0.02
LEAVING_S: Final = 1.0
_ROOT: Final = Path(__file__).resolve().parents[2]
_KEPT: Final = ("PATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "TZ")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request: output files by name with their sizes, or a reason and a text."""

    cpu_s: float
    wall_s: float
    outputs: Mapping[str, tuple[Path, int]] = field(default_factory=dict)
    failure: tuple[FailureReason, str] | None = None


class WorkerProcess:
    """A worker that is running. One request at a time. `spent` says that it is of no more use."""

    def __init__(self, process: Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._serial = 0
        self.served = 0
        self.spent = False

    @classmethod
    async def start(cls, folder: Path) -> Self:
        """A worker whose tasks work below `folder`, which must be its own. Raises Unavailable."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "common.kinds.worker",
                str(os.getpid()),
                stdin=PIPE,
                stdout=PIPE,
                limit=MAX_FRAME,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"no worker process can be started: {error.strerror}") from error
        return cls(process, folder)

    async def ask(
        self,
        kind: str,
        parameters: Mapping[str, Any],
        inputs: Mapping[str, tuple[Path, str]],
        limits: TaskLimits,
    ) -> Outcome:
        """Run one task; `inputs` are files with their digests. The output files lie in the folder until the
        next request. A worker that failed, or left processes behind, is spent. Cancelling spends it too.
        """
        self._serial += 1
        begun, before = monotonic(), process_tree.usage(self._process.pid)
        request: dict[str, Any] = {
            "serial": self._serial,
            "kind": kind,
            "parameters": parameters,
            "inputs": {name: [str(path), digest] for name, (path, digest) in inputs.items()},
            "folder": str(self._folder),
            "memory_bytes": limits.memory_bytes,
            "cpu_s": limits.cpu_s,
            "output_bytes": limits.output_bytes,
        }
        watch = _Watch(self._process.pid, limits, before.cpu_s)
        self.spent = True  # Unless it comes to a good end.
        reply = await self._conversed(pack(request), watch, limits.wall_s)
        wall = monotonic() - begun
        if reply is None:
            reason = watch.breach or await self._how_it_ended()
            return Outcome(watch.cpu_s, wall, failure=reason)
        return self._understood(reply, watch, wall)

    async def end(self) -> None:
        """End it and whatever it has started. Safe to call twice."""
        self.spent = True
        if self._process.returncode is None:
            process_tree.kill(self._process.pid)
        if self._process.stdin is not None:
            self._process.stdin.close()
        # Shielded: the process has to be collected even when the caller is being cancelled.
        await asyncio.shield(self._process.wait())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    async def _conversed(self, request: bytes, watch: _Watch, wall_s: float) -> Any:
        """The reply; None when there was none, or when a limit was overrun."""
        watcher = asyncio.ensure_future(watch.run())
        try:
            async with asyncio.timeout(wall_s):
                return await self._exchange(request)
        except TimeoutError:
            watch.breach = watch.breach or (FailureReason.WALL_TIME, f"it took longer than {wall_s:g} s")
            process_tree.kill(self._process.pid)
            return None
        finally:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher

    async def _exchange(self, request: bytes) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(len(request).to_bytes(LENGTH_BYTES, "big") + request)
            await self._process.stdin.drain()
            head = await self._process.stdout.readexactly(LENGTH_BYTES)
            length = int.from_bytes(head, "big")
            if length > MAX_FRAME:
                return b""
            return unpack(await self._process.stdout.readexactly(length))
        except Rejected:
            return b""
        except (asyncio.IncompleteReadError, OSError):
            return None

    def _understood(self, reply: Any, watch: _Watch, wall: float) -> Outcome:
        try:
            if reply["serial"] != self._serial:
                raise ValueError("serial")
            cpu_s, wall_s = max(watch.cpu_s, float(reply["cpu_s"])), min(wall, float(reply["wall_s"]))
            if "failure" in reply:
                reason, text = reply["failure"]
                self.spent = FailureReason(reason) in (FailureReason.MEMORY, FailureReason.BUG)
                return Outcome(cpu_s, wall_s, failure=(FailureReason(reason), str(text)))
            sizes = {str(name): int(size) for name, size in reply["outputs"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            return Outcome(watch.cpu_s, wall, failure=(FailureReason.GARBAGE, "its reply is none"))
        self.served += 1
        # Processes that outlive their task are nobody's.
        self.spent = process_tree.usage(self._process.pid).processes != 1
        files = {name: (self._folder / f"{n}.output", size) for n, (name, size) in enumerate(sizes.items())}
        return Outcome(cpu_s, wall_s, outputs=files)

    async def _how_it_ended(self) -> tuple[FailureReason, str]:
        """The pipe is closed some time before the process is gone; one that only closed it is ended."""
        try:
            async with asyncio.timeout(LEAVING_S):
                await asyncio.shield(self._process.wait())
        except TimeoutError:
            process_tree.kill(self._process.pid)
        code = await asyncio.shield(self._process.wait())
        if code >= 0:
            return FailureReason.EXITED, f"its process ended with code {code} and no answer"
        if -code == signal.SIGXCPU:
            return FailureReason.CPU_TIME, "it used more CPU time than it may"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
        return FailureReason.CRASHED, f"its process was ended by {name}{hint}"


class _Watch:
    """Looks at what a task and its processes take, and ends them when it is too much."""

    def __init__(self, pid: int, limits: TaskLimits, used_s: float) -> None:
        self._pid = pid
        self._limits = limits
        self._used_s = used_s
        self.cpu_s = 0.0
        """As far as was seen."""
        self.breach: tuple[FailureReason, str] | None = None

    async def run(self) -> None:
        await asyncio.sleep(FIRST_LOOK_S)
        while self.breach is None:
            seen = process_tree.usage(self._pid)
            self.cpu_s = max(self.cpu_s, seen.cpu_s - self._used_s)
            self.breach = self._judged(seen)
            if self.breach is not None:
                process_tree.kill(self._pid)
                return
            await asyncio.sleep(WATCH_S)

    def _judged(self, seen: process_tree.Usage) -> tuple[FailureReason, str] | None:
        limits = self._limits
        if seen.processes > PROCESSES:
            return FailureReason.PROCESSES, f"it started more than {PROCESSES} processes"
        if self.cpu_s > limits.cpu_s:
            return FailureReason.CPU_TIME, f"it used more than {limits.cpu_s:g} s of CPU time"
        if seen.resident_bytes > limits.memory_bytes:
            return FailureReason.MEMORY, f"it took more than {limits.memory_bytes >> 20} MiB"
        return None


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the agent's own but where programs and packages are found."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    packages = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONNOUSERSITE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        # Threads of native code would each reserve 64 MiB of what the task may have.
        "MALLOC_ARENA_MAX": "2",
    }
