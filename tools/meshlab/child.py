"""One process of the lab: started with its output in a file, signalled, awaited, measured.

Children do not outlive the lab, however it ends. The shim asks the kernel for that, by the parent's *thread*:
start children only from the thread that runs the lab's event loop, never through `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import Unavailable
from tools.meshlab.poll import until

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process used: CPU seconds, resident memory and its proportional share, in KiB."""

    cpu_s: float
    rss_kib: int
    pss_kib: int


class Child:
    """A running or ended process. `keep_stdin` holds its standard input open until it is stopped."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        keep_stdin: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.paused = False
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # a Ctrl-C in the terminal is for the lab, which stops its children in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it by SIGKILL, paused or not, and return when it is gone, which takes milliseconds."""
        self._process.kill()
        self._process.wait()
        self._release()

    def pause(self) -> None:
        """Stop it by SIGSTOP: it neither runs nor ends. Raises Unavailable if it has ended."""
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        """Let it run again. Raises Unavailable if it has ended."""
        self._signal(signal.SIGCONT)
        self.paused = False

    async def stop(self, patience: float = 2.0) -> None:
        """Ask it to end, and kill it if it has not after `patience` seconds or when cancelled."""
        try:
            if self.alive and not self.paused:
                self._process.terminate()
                async with asyncio.timeout(patience):
                    await until(lambda: not self.alive)
        except TimeoutError:
            pass  # killed below
        finally:
            self.kill()

    def usage(self) -> Usage:
        """What it used so far. Raises Unavailable if it has ended."""
        try:
            cpu = _cpu_seconds(Path(f"/proc/{self.pid}/stat").read_text())
            memory = _memory(Path(f"/proc/{self.pid}/smaps_rollup").read_text())
        except (OSError, IndexError) as error:
            raise Unavailable(f"{self.name} is down") from error
        return Usage(cpu, memory["Rss"], memory["Pss"])

    def last_words(self) -> str:
        """The end of its log, for error messages."""
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "it said nothing"

    def _signal(self, number: signal.Signals) -> None:
        if not self.alive:
            raise Unavailable(f"{self.name} is down")
        self._process.send_signal(number)

    def _release(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()


def _cpu_seconds(stat: str) -> float:
    # The name, in parentheses, may hold anything; user and system time are fields 14 and 15.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory(rollup: str) -> dict[str, int]:
    rows = (line.split() for line in rollup.splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) == 3 and row[2] == "kB"}
