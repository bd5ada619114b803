"""How many messages and samples a second of the coordinator's CPU takes in, and how soon they can be read."""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any, Final

from common.errors import TimedOut, Unavailable
from common.messages import Kind
from common.tasks import together
from coordinator.repository.batch import Batch, Incoming
from coordinator.repository.samples import Subject
from coordinator.repository.store import Repository
from tools.stage import stream
from tools.stage.evidence import REPOSITORY
from tools.stage.fleet import Fleet, command
from tools.stage.process import cpu_s
from tools.stage.publisher import CONNECT_S, DRAIN_S
from tools.stage.stream import EPOCH, LINKS, SAMPLES, WINDOWS, Account, Report

GATEWAYS: Final = {f"gw-{number:02}": f"site-{number % 4}" for number in range(16)}
WATCHED: Final = "gw-00"
"""Its messages are waited for by asking for their samples; the other gateways fare alike."""

QUICK_S: Final = 10.0
LOOK_S: Final = 0.01

ARCHIVE: Final = "archive"
ARCHIVE_LINKS: Final = 600
ARCHIVE_WINDOW_S: Final = 10.0
ARCHIVE_BATCH: Final = 1000
HOUR_S: Final = 3600.0
ASKED_TIMES: Final = 15


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("ingest")
    group.add_argument("--load", type=float, default=60.0, help="seconds of load (60)")
    group.add_argument("--rate", type=float, default=0.0, help="messages a second in all (0: no limit)")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH. Raises Unavailable when the publisher fails."""
    seconds = min(QUICK_S, options.load) if options.quick else options.load
    with tempfile.TemporaryDirectory(prefix="ingest-") as name:
        async with Fleet(Path(name)) as fleet:
            file = fleet.state / REPOSITORY
            hour_ends = time.time()
            await asyncio.to_thread(fill_archive, file, hour_ends)
            await fleet.start()
            for gateway, site in GATEWAYS.items():
                await command("coordinator", "gateways", "enrol", site, gateway, "--state", str(fleet.state))
            say(f"{len(GATEWAYS)} gateways enrolled; {seconds:.0f} s of load")
            load = await endure(fleet, file, seconds, options.rate)
            verdict = await asyncio.to_thread(judge, file, load.accounts)
            asked_s = await asyncio.to_thread(ask_archive, file, hour_ends)
    return {**figures(load, verdict), "query_hour_ms": round(1000 * asked_s, 1)}


@dataclass(frozen=True, slots=True)
class Load:
    """What was sent within `elapsed_s`, the CPU seconds it took, and how old samples of the watched gateway
    were, in seconds, when they could first be read."""

    accounts: list[Account]
    elapsed_s: float
    coordinator_cpu_s: float
    broker_cpu_s: float
    ages: list[float]

    @property
    def messages(self) -> int:
        """All that were sent."""
        return sum(len(account.digests) for account in self.accounts)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Messages that were sent and are not stored as they were sent, and rows beyond the first for one."""

    lost: int
    stored_twice: int


def figures(load: Load, verdict: Verdict) -> dict[str, Any]:
    """The numbers, but for the query's."""
    per_cpu_s = load.messages / load.coordinator_cpu_s
    ages = sorted(load.ages)
    return {
        "messages_per_cpu_s": round(per_cpu_s),
        "samples_per_cpu_s": round(per_cpu_s * SAMPLES),
        "wall_messages_per_s": round(load.messages / load.elapsed_s),
        "broker_cpu_s": round(load.broker_cpu_s, 2),
        "coordinator_cpu_s": round(load.coordinator_cpu_s, 2),
        "p99_s": round(ages[int(0.99 * len(ages))], 3),
        "median_s": round(median(ages), 3),
        "lost": verdict.lost,
        "stored_twice": verdict.stored_twice,
        "messages": load.messages,
        "seconds": round(load.elapsed_s, 1),
    }


async def endure(fleet: Fleet, file: Path, seconds: float, rate: float) -> Load:
    """Run the publisher to its end, and look at what can be read meanwhile."""
    pids = fleet.coordinator.pid, fleet.broker.pid
    watcher = Watcher(file)
    before = [cpu_s(pid) for pid in pids]
    async with together() as tasks:
        watching = tasks.create_task(asyncio.to_thread(watcher.run))
        try:
            report = await _publish(fleet, seconds, rate)
        finally:
            watcher.stop()
    coordinator, broker = (cpu_s(pid) - earlier for pid, earlier in zip(pids, before, strict=True))
    return Load(report.accounts, report.elapsed_s, coordinator, broker, watching.result())


async def _publish(fleet: Fleet, seconds: float, rate: float) -> Report:
    """One process for all gateways: threads or more processes would only take the coordinator's core."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.stage.publisher", str(fleet.port), str(fleet.state / "gateways")),
        *(str(seconds), str(rate), *(f"{site}={gateway}" for gateway, site in GATEWAYS.items())),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds + CONNECT_S + 2 * DRAIN_S):
            output, _ = await process.communicate()
    except TimeoutError as error:
        raise TimedOut("the publisher does not end") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise Unavailable(f"the publisher failed with exit code {process.returncode}")
    return Report.parse(output)


class Watcher:
    """Asks the repository again and again for what is new from the watched gateway."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stop = Event()

    def run(self) -> list[float]:
        """Ages of the new samples at every look, until stopped. Blocks."""
        ages: list[float] = []
        newest = time.time()
        with Repository(_url(self._file)) as repository:
            while not self._stop.wait(LOOK_S):
                site = GATEWAYS[WATCHED]
                found = repository.samples(Subject.LINK, "pdr", newest, time.time() + 1.0, site, WATCHED)
                now, t = time.time(), found.keys["t"]
                fresh = t[t > newest]
                ages += (now - fresh).tolist()
                newest = float(fresh[-1]) if len(fresh) else newest
        return ages

    def stop(self) -> None:
        """Make `run` return. From any thread."""
        self._stop.set()


def judge(file: Path, accounts: Sequence[Account]) -> Verdict:
    """Compare what was sent with what the database holds, body by body."""
    stored: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
    with closing(sqlite3.connect(file)) as database:
        for gateway, sequence, body in database.execute("SELECT gateway, sequence, body FROM messages"):
            stored[gateway].append((sequence, stream.digest(body)))
    lost = twice = 0
    for account in accounts:
        rows = stored[account.gateway]
        lost += len({*enumerate(account.digests, start=1)} - {*rows})
        twice += len(rows) - len({told for _, told in rows})
    return Verdict(lost, twice)


def fill_archive(file: Path, ends: float) -> None:
    """Store an hour of a site with six hundred links, as its gateway would have sent it; `ends` is Unix time.

    Without the broker, before the coordinator starts.
    """
    span = WINDOWS * ARCHIVE_WINDOW_S
    places = [1 + LINKS * number for number in range(ARCHIVE_LINKS // LINKS)]
    times = [ends - span * n for n in range(int(HOUR_S / span) - 1, -1, -1)]
    messages = [
        (t, stream.measurement(t, ARCHIVE_WINDOW_S, place, place + 1)) for t in times for place in places
    ]
    incoming = [
        Incoming(ARCHIVE, EPOCH, n, ARCHIVE, Kind.LINKS.value, t - span + ARCHIVE_WINDOW_S, t, body)
        for n, (t, body) in enumerate(messages, start=1)
    ]
    with Repository(_url(file)) as repository:
        for start in range(0, len(incoming), ARCHIVE_BATCH):
            repository.store(Batch(ends, incoming[start : start + ARCHIVE_BATCH]))


def ask_archive(file: Path, ends: float) -> float:
    """Seconds that one link's hour takes to read: the median of several times."""
    taken = []
    with Repository(_url(file)) as repository:
        for _ in range(ASKED_TIMES):
            begun = time.perf_counter()
            found = repository.samples(Subject.LINK, "pdr", ends - HOUR_S, ends + 1.0, ARCHIVE, key=(1, 2))
            taken.append(time.perf_counter() - begun)
    if len(found) != HOUR_S / ARCHIVE_WINDOW_S:
        raise Unavailable(f"an hour of one link has {len(found)} samples")
    return median(taken)


def _url(file: Path) -> str:
    return f"sqlite:///{file}"


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)
