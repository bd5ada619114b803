"""The outbox after anything the disk or a kill can do: cuts, flipped bits, restarts at any moment."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from common.clock import ManualClock
from common.messages import Dropped, Event, Kind, decode, encode
from edge_agent.share.outbox import Outbox
from edge_agent.share.outbox_rows import Entry
from tests.agent.conftest import host_body
from tests.agent.test_outbox import BOOT, MIB, killed

BODIES = [host_body(rows=r) for r in (1, 7, 60)]


def make(path: Path, entries: int = 60) -> tuple[int, dict[int, Entry]]:
    """A killed outbox of one database and its log; returns its epoch and what it held."""
    with closing(Outbox(path, ManualClock(), boot=BOOT)) as outbox:
        for i in range(entries):
            outbox.append(Kind.HOST, BODIES[i % 3], float(i))
            if i % 5 == 0:
                outbox.append(Kind.EVENT, encode(Event(name="e", fields={"i": i})), float(i))
            if i == entries // 2:
                outbox.flush()
                outbox._checkpoint()
        outbox.flush()
        held = {entry.sequence: entry for entry in outbox.pending(0, 1000)}
        outbox.acknowledge(outbox.epoch, 5)
        outbox.flush()
        killed(path, path.parent / "killed")
        return outbox.epoch, held


@pytest.fixture(scope="module")
def specimen() -> Iterator[tuple[Path, int, dict[int, Entry]]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.db"
        epoch, held = make(path)
        yield Path(folder) / "killed" / "outbox.db", epoch, held


@contextmanager
def copied(specimen: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(specimen.parent, folder, dirs_exist_ok=True)
        yield Path(folder) / specimen.name


def check_usable(path: Path, epoch: int, held: dict[int, Entry]) -> None:
    """It opens, tells only what it once held or tombstones, in order, and takes more."""
    with closing(Outbox(path, ManualClock(), boot=BOOT)) as outbox:
        entries = outbox.pending(0, 1000)
        assert [e.sequence for e in entries] == list(range(outbox.acked + 1, outbox.head + 1))
        if outbox.epoch == epoch:
            for entry in entries:
                assert entry == held.get(entry.sequence) or decode(Dropped, entry.body)
        else:
            assert decode(Event, entries[0].body).name == "outbox-lost"
        number = outbox.append(Kind.EVENT, encode(Event(name="after")), 1.0)
        assert outbox.pending(number - 1, 1)[0].sequence == number
    with closing(Outbox(path, ManualClock(), boot=BOOT)) as outbox:
        assert outbox.head == number


def regions(size: int, steps: int = 40) -> list[int]:
    """Every byte of the header's start, then evenly through the file, and its last bytes."""
    return sorted({*range(0, 30), *range(30, size, max(1, size // steps)), size - 1})


@pytest.mark.parametrize("tail", ["", "-wal"])
def test_a_file_cut_anywhere_opens_again(specimen: tuple[Path, int, dict[int, Entry]], tail: str) -> None:
    original, epoch, held = specimen
    size = original.with_name(original.name + tail).stat().st_size
    for cut in regions(size):
        with copied(original) as path:
            victim = path.with_name(path.name + tail)
            victim.write_bytes(victim.read_bytes()[:cut])
            check_usable(path, epoch, held)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_flipped_bits_never_become_another_envelope(
    specimen: tuple[Path, int, dict[int, Entry]], data: st.DataObject
) -> None:
    original, epoch, held = specimen
    with copied(original) as path:
        victim = path.with_name(path.name + data.draw(st.sampled_from(["", "-wal"])))
        content = bytearray(victim.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        victim.write_bytes(content)
        check_usable(path, epoch, held)


@settings(max_examples=30, deadline=None)
@given(noise=st.binary(max_size=3000))
def test_a_file_of_noise_is_set_aside(noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outbox.db"
        path.write_bytes(noise)
        check_usable(path, -1, {})
        assert (Path(folder) / "outbox.db.corrupt-1").exists()


def test_files_set_aside_are_bounded(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "outbox.db"
    for round_ in range(5):
        path.write_bytes(b"not a database %d" % round_)
        Outbox(path, clock, boot=BOOT).close()
    assert sorted(p.name for p in tmp_path.glob("*.corrupt-*")) == [
        "outbox.db.corrupt-4",
        "outbox.db.corrupt-5",
    ]


def test_a_file_that_rots_while_in_use_is_replaced(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "outbox.db"
    with closing(Outbox(path, clock, boot=BOOT)) as outbox:
        for i in range(200):
            outbox.append(Kind.EVENT, encode(Event(name="e", fields={"i": i})), 1.0)
        outbox._checkpoint()
        epoch = outbox.epoch
        outbox._file._database.execute("DROP TABLE rows")
        number = outbox.append(Kind.EVENT, encode(Event(name="late")), 1.0)
        assert number == 201
        assert outbox.epoch != epoch
        names = [decode(Event, e.body).name for e in outbox.pending(0, 10)]
        assert names == ["outbox-lost", "late"]


class OutboxLife(RuleBasedStateMachine):
    """Random work, acknowledgements and kills against a plain list."""

    @initialize(cap=st.sampled_from([MIB, 64 * MIB]))
    def begin(self, cap: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "0" / "outbox.db"
        self.clock = ManualClock()
        self.cap = cap
        self.life = 0
        self.outbox = self.open()
        self.given: dict[int, tuple[str, bytes]] = {}
        self.acked = 0

    def open(self) -> Outbox:
        return Outbox(self.path, self.clock, cap_bytes=self.cap, boot=BOOT)

    def teardown(self) -> None:
        if hasattr(self, "outbox"):
            self.outbox.close()
            self.folder.cleanup()

    @rule(rows=st.sampled_from([1, 50, 3000]), count=st.integers(1, 12))
    def measure(self, rows: int, count: int) -> None:
        for _ in range(count):
            body = host_body(rows)
            self.given[self.outbox.append(Kind.HOST, body, 1.0)] = ("host", body)

    @rule(size=st.sampled_from([10, 20_000]))
    def tell(self, size: int) -> None:
        body = bytes(size)
        self.given[self.outbox.append(Kind.RESULT, body, 1.0)] = ("result", body)

    @rule(share=st.floats(0, 1))
    def acknowledge(self, share: float) -> None:
        entries = self.outbox.pending(0, 200)
        if entries:
            sequence = entries[int(share * (len(entries) - 1))].sequence
            self.outbox.acknowledge(self.outbox.epoch, sequence)
            self.acked = max(self.acked, sequence)

    @rule()
    def flush(self) -> None:
        assert self.outbox.flush()

    @rule()
    def make_durable(self) -> None:
        self.outbox._checkpoint()

    @rule()
    def restart(self) -> None:
        self.outbox.close()
        self.outbox = self.open()
        assert self.outbox.acked == self.acked

    @rule()
    def kill(self) -> None:
        self.life += 1
        handed_out = self.outbox.pending(0, 100_000)
        copy = killed(self.path, Path(self.folder.name) / str(self.life))
        epoch = self.outbox.epoch
        self.outbox.close()
        self.path = copy
        self.outbox = self.open()
        assert self.outbox.epoch == epoch
        # What was handed out before the kill is there; what was never committed is forgotten with its number.
        assert self.outbox.head >= (handed_out[-1].sequence if handed_out else 0)
        self.given = {s: what for s, what in self.given.items() if s <= self.outbox.head}
        self.acked = self.outbox.acked

    @invariant()
    def the_stream_has_no_holes_and_no_inventions(self) -> None:
        if not hasattr(self, "outbox"):
            return
        entries = self.outbox.pending(0, 100_000)
        first = self.outbox.acked + 1
        assert [e.sequence for e in entries] == list(range(first, first + len(entries)))
        for entry in entries:
            if entry.kind == "event":
                assert decode(Event, entry.body).name == "outbox-events-full"
            elif entry.kind != "dropped":
                assert self.given[entry.sequence] == (entry.kind, entry.body)
            elif entry.sequence in self.given:
                assert decode(Dropped, entry.body).reason == "outbox-full"

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "outbox"):
            return
        self.outbox.flush()
        assert self.outbox._usage == self.outbox._file.usage()
        assert self.outbox.usage.telemetry <= self.cap * 3 // 4
        assert self.outbox.usage.events <= self.cap // 4


OutboxLife.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestOutboxLife: Any = OutboxLife.TestCase
