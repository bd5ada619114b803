"""The ingest benchmark in small: all of its load arrives once, and its judge would see if it did not."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tools.benchmarks import ingest
from tools.stage import packets
from tools.stage.evidence import REPOSITORY
from tools.stage.fleet import Fleet, command
from tools.stage.stream import SAMPLES

LOAD_S = 1.5
RATE = 400.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="mt-") as name:
        yield Path(name)


def tamper(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as database:
        assert database.execute(statement).rowcount == 1
        database.commit()


@pytest.mark.broker
async def test_a_load_is_stored_once_and_can_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "GATEWAYS", {"gw-00": "site-0", "gw-01": "site-1"})
    async with Fleet(folder) as fleet:
        file = fleet.state / REPOSITORY
        ends = time.time()
        ingest.fill_archive(file, ends)
        await fleet.start()
        for gateway, site in ingest.GATEWAYS.items():
            await command("coordinator", "gateways", "enrol", site, gateway, "--state", str(fleet.state))
        load = await ingest.endure(fleet, file, LOAD_S, RATE)
        verdict = ingest.judge(file, load.accounts)
        found = ingest.figures(load, verdict)
        ingest.ask_archive(file, ends)
    assert verdict == ingest.Verdict(0, 0)
    assert load.messages >= RATE
    assert all(account.acked == len(account.digests) for account in load.accounts)
    assert len(load.ages) >= SAMPLES
    assert found.keys() >= {"messages_per_cpu_s", "samples_per_cpu_s", "broker_cpu_s", "p99_s", "lost"}
    # The same judge on the same file, once something is wrong with it.
    one = "gateway = 'gw-00' AND sequence = 5"
    columns = "gateway, epoch, sequence + 1000000, site, kind, t0, t1, received, body"
    tamper(file, f"INSERT INTO messages SELECT {columns} FROM messages WHERE {one}")
    assert ingest.judge(file, load.accounts) == ingest.Verdict(0, 1)
    tamper(file, f"UPDATE messages SET body = x'80' WHERE {one}")
    assert ingest.judge(file, load.accounts).lost == 1


def test_packets_are_found_however_they_come_in() -> None:
    long = packets.publish(packets.topic_bytes("a/b"), 7, b"x" * 300)
    stream = packets.connect("me", 60) + long + packets.subscribe("a/c")
    buffer, found = bytearray(), []
    for byte in stream:
        buffer.append(byte)
        found += list(packets.split(buffer))
    assert [kind for kind, _ in found] == [1, packets.PUBLISH, 8]
    assert found[1][1].endswith(b"\0\7\0" + b"x" * 300)
    assert not buffer
    assert packets.failed(packets.PUBACK, b"\0\7\x87\0")
    assert not packets.failed(packets.PUBACK, b"\0\7")
