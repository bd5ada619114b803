"""Observations leave the coordinator as files: real process, real commands."""

from __future__ import annotations

import csv
import os
import stat
import subprocess
import time
from array import array
from io import StringIO
from math import nan
from pathlib import Path

import pytest

from common.codec import Table, pack
from common.errors import Corrupt, Misconfigured
from common.messages import Kind, encode_measurement
from coordinator.cli.export import moment, span
from coordinator.enrolment import enrol
from coordinator.export.destination import opened
from coordinator.export.frames import read, within
from coordinator.export.writers import ParquetWriter, ordered
from tests.coordinator.conftest import Serving, Site, command
from tests.coordinator.sender import Sender, envelope, links_table, wait_for


def send_links(sender: Sender, t: float, count: int) -> None:
    """`count` messages of five links each, a second apart from `t` on; every other one without RSSI."""
    for i in range(count):
        table = links_table(t + i)
        if i % 2:
            table["rssi_dbm"] = array("f", [-70.5, nan, -70.5, -70.5, -70.5])
        body = encode_measurement(Kind.LINKS, table)
        sender.send(envelope(i + 1, "links", body, sender.gateway, sender.site))
    wait_for(lambda: sender.acknowledged() == count, "the acknowledgement")


@pytest.mark.broker
def test_a_range_of_links_becomes_the_same_rows_in_csv_and_parquet(
    site: Site, serving: Serving, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    begin = time.time() - 1000.0
    enrol(site.state, "depot", "gw-2")
    with site.sender() as sender:
        send_links(sender, begin, 10)
    with Sender(site.broker.port, site.state / "gateways" / "gw-2", "gw-2", "depot") as sender:
        send_links(sender, begin, 3)
    for name in ("links.csv", "links.parquet"):
        code, _, errors = command("export", str(tmp_path / name), "--last", "1h", state=site.state)
        assert (code, "65 rows of links" in errors) == (0, True), errors
    with (tmp_path / "links.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "links.parquet").to_pylist()
    assert len(rows) == len(table) == 65
    assert list(rows[0]) == ["site", "gateway", "t", "transmitter", "receiver", "pdr", "rssi_dbm"]
    for text, value in zip(rows, table, strict=True):
        assert (text["site"], text["gateway"], float(text["t"])) == (
            value["site"],
            value["gateway"],
            value["t"],
        )
        assert int(text["receiver"]) == value["receiver"]
        assert (float(text["rssi_dbm"]) if text["rssi_dbm"] else None) == value["rssi_dbm"]
    assert {row["site"] for row in table} == {"office", "depot"}
    assert sorted(path.name for path in tmp_path.glob(".*part")) == []


@pytest.mark.broker
def test_a_range_is_cut_to_its_time_and_site(site: Site, serving: Serving, tmp_path: Path) -> None:
    with site.sender() as sender:
        send_links(sender, 1_000_000.0, 10)
    span_of_three = ["--from", "1970-01-12T13:46:42", "--until", "1970-01-12T13:46:45"]
    code, output, _ = command("export", "-", *span_of_three, "--site", "office", state=site.state)
    assert code == 0
    assert sorted({float(row["t"]) for row in csv.DictReader(StringIO(output))}) == [
        1_000_002.0,
        1_000_003.0,
        1_000_004.0,
    ]
    code, output, errors = command("export", "-", *span_of_three, "--gateway", "gw-1", state=site.state)
    assert "rows of links in standard output" in errors
    code, output, _ = command("export", "-", "--last", "1s", "--site", "office", state=site.state)
    assert (code, output) == (0, "site,gateway,t,transmitter,receiver\n")


@pytest.mark.broker
def test_only_regular_files_are_replaced_and_links_stay(site: Site, serving: Serving, tmp_path: Path) -> None:
    with site.sender() as sender:
        send_links(sender, time.time() - 60.0, 2)
    target, link, pipe = tmp_path / "target.csv", tmp_path / "link.csv", tmp_path / "pipe"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    assert command("export", str(link), state=site.state)[0] == 0
    assert link.is_symlink()
    assert (target.read_text().count("\n"), target.stat().st_mode & 0o777) == (11, 0o640)
    for form, begins in (("csv", b"site,gateway"), ("parquet", b"PAR1")):
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
        with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
            assert command("export", str(pipe), "--format", form, state=site.state)[0] == 0
            assert reader.communicate(timeout=10)[0].startswith(begins)
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    code, output, _ = command("export", "/dev/stdout", "--format", "csv", state=site.state)
    assert (code, output) == (0, target.read_text())
    code, _, errors = command("export", "/dev/full", "--format", "csv", state=site.state)
    assert (code, "/dev/full cannot be written: No space left" in errors) == (2, True), errors
    assert all(stat.S_ISCHR(Path(device).stat().st_mode) for device in ("/dev/full", "/dev/null"))
    assert sorted(tmp_path.glob(".*part")) == []


def test_a_link_that_somebody_put_in_the_place_of_the_part_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / f".links.csv.{os.getpid()}.part").symlink_to(precious)
    with opened(tmp_path / "links.csv") as stream:
        stream.write(b"new")
    assert (precious.read_text(), (tmp_path / "links.csv").read_text()) == ("kept", "new")


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text("old")

    def export() -> None:
        with opened(path) as stream:
            stream.write(b"half")
            raise Corrupt("the coordinator's answer is unreadable")

    with pytest.raises(Corrupt):
        export()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("links.csv", "old")]


WRONG = (
    (["links.txt"], "--format csv"),
    (["-", "--format", "parquet"], "name a .parquet file"),
    (["-", "--last", "soon"], "24h"),
    (["-", "--from", "2026-13-01"], "2026-03-01T08:00"),
    (["-", "--from", "2026-03-02", "--until", "2026-03-01"], "before --until"),
    (["/nonexistent/links.csv"], "name a file elsewhere"),
    (["/dev", "--format", "csv"], "name a file elsewhere"),
    (["-", "--site", "nowhere"], "name one of: office"),
    (["-", "--gateway", "gw-9"], "name one of: gw-1"),
)


@pytest.mark.broker
def test_a_wrong_export_names_the_fix(site: Site, serving: Serving) -> None:
    for words, fix in WRONG:
        code, output, errors = command("export", *words, state=site.state)
        assert (code, output, fix in errors) == (2, "", True), errors


def test_frames_are_read_wherever_the_stream_is_cut() -> None:
    body = encode_measurement(Kind.LINKS, links_table(5.0))
    stream = pack({"site": "office", "gateway": "gw-1", "table": body}) * 3
    for size in (1, 7, len(stream)):
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
        assert [frame.table["receiver"].tolist() for frame in read(pieces)] == [[2, 3, 4, 5, 6]] * 3


@pytest.mark.parametrize("noise", [b"\x01", b"\xc1", pack({"site": "office"}), pack([1]), pack("text")])
def test_what_is_no_frame_is_a_named_error(noise: bytes) -> None:
    with pytest.raises(Corrupt, match="unreadable"):
        list(read([noise]))


def test_a_table_is_cut_to_a_half_open_range() -> None:
    table: Table = {"t": array("d", [1.0, 2.0, 3.0]), "cpu_percent": array("f", [1, 2, 3])}
    assert within(table, 2.0, 3.0) == {"t": array("d", [2.0]), "cpu_percent": array("f", [2])}
    assert within(table, 0.0, 9.0) is table


def test_parquet_keeps_types_and_leaves_absent_values_null(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = ordered(Kind.HOST, {"t": "d", "load": "f", "boots": "Q"})
    writer = ParquetWriter(tmp_path / "host.parquet", columns)
    writer.write("office", "gw-1", {"t": array("d", [1.0]), "boots": array("Q", [2**64 - 1])})
    writer.write("office", "gw-2", {"t": array("d", [2.0]), "load": array("f", [nan])})
    writer.close()
    found = parquet.read_table(tmp_path / "host.parquet").to_pylist()
    assert [(row["gateway"], row["boots"], row["load"]) for row in found] == [
        ("gw-1", 2**64 - 1, None),
        ("gw-2", None, None),
    ]


def test_spans_and_moments_are_read_as_people_write_them() -> None:
    assert (span("90s"), span("1.5h"), span(" 7d ")) == (90.0, 5400.0, 604_800.0)
    assert moment("1970-01-02") == moment("1970-01-02T01:00+01:00") == 86_400.0
    with pytest.raises(Misconfigured):
        span("7 days")
