"""Link traces: read where sound, refused by name where not."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from common.errors import Rejected, RejectReason, Unavailable
from coordinator.training import traces

HEADER = '{"location": "hall"}\ndatetime,src,dst,channel,mean_rssi,pdr,tx_count\n'
ROWS = (
    "2017-09-22 10:02:07,1,19,,-62,0.9,100\n"
    "2017-09-22 10:02:07,1,19,12,-62,0.2,10\n"
    "2017-09-22 10:24:37,1,19,,,0.5,50\n"
)


def write(folder: Path, text: str, name: str = "hall.k7.gz") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()))
    return path


def refusal(path: Path) -> RejectReason:
    with pytest.raises(Rejected) as caught:
        traces.load(path)
    return caught.value.reason


def test_every_packet_of_a_row_without_channel_counts_as_a_probe(tmp_path: Path) -> None:
    windows = traces.load(write(tmp_path, HEADER + ROWS))
    assert windows.heard.tolist() == [90.0, 25.0]
    assert windows.expected.tolist() == [100.0, 50.0]
    assert windows.window_s == 1350.0
    assert windows.rssi_dbm[0] == -62.0
    assert np.isnan(windows.rssi_dbm[1])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", RejectReason.MALFORMED),
        ("no JSON\n", RejectReason.MALFORMED),
        ("[" * 3000 + "\n", RejectReason.MALFORMED),
        ("[]\n", RejectReason.MALFORMED),
        ("{}\ndatetime,src\n", RejectReason.MALFORMED),
        (HEADER + "2017-09-22 10:02:07,1,19\n", RejectReason.MALFORMED),
        (HEADER + "yesterday,1,19,,-62,0.9,100\n", RejectReason.INVALID),
        (HEADER + "2017-09-22 10:02:07,1,19,,-62,1.2,100\n", RejectReason.INVALID),
        (HEADER + "2017-09-22 10:02:07,1,19,,-62,nan,100\n", RejectReason.INVALID),
        (HEADER + "2017-09-22 10:02:07,1,19,,-62,0.9,-1\n", RejectReason.INVALID),
        (HEADER + "2017-09-22 10:02:07," + "1" * 5000 + "\n", RejectReason.OVERSIZED),
    ],
)
def test_a_damaged_trace_is_refused_by_name(tmp_path: Path, text: str, reason: RejectReason) -> None:
    assert refusal(write(tmp_path, text)) is reason


def test_a_trace_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path, HEADER + ROWS).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.k7.gz").write_bytes(whole[:length])
        with pytest.raises(Rejected):
            traces.load(tmp_path / "cut.k7.gz")


def test_an_endless_trace_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_ROWS", 4)
    assert refusal(write(tmp_path, HEADER + ROWS)) is RejectReason.OVERSIZED


def test_what_is_no_gzip_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.k7.gz").write_text(HEADER + ROWS)
    assert refusal(tmp_path / "plain.k7.gz") is RejectReason.MALFORMED
    with pytest.raises(Unavailable):
        traces.load(tmp_path / "absent.k7.gz")


def test_a_damaged_trace_does_not_spoil_the_others(tmp_path: Path) -> None:
    (tmp_path / "radio").mkdir()
    write(tmp_path / "radio", HEADER + ROWS, "good.k7.gz")
    write(tmp_path / "radio", HEADER + "x", "bad.k7.gz")
    assert list(traces.load_all(tmp_path)) == ["good"]
    assert traces.load_all(tmp_path / "nowhere") == {}
    assert traces.load_all(None) == {}


def test_the_folder_comes_from_the_environment() -> None:
    assert traces.data_folder({}) is None
    assert traces.data_folder({"MESHTWIN_DATA": "/srv/data"}) == Path("/srv/data")


def test_published_traces_hold_links(request: pytest.FixtureRequest) -> None:
    folder = traces.data_folder(os.environ)
    path = None if folder is None else folder / "radio" / "evalab_1.k7.gz"
    if path is None or not path.exists():
        pytest.skip("MESHTWIN_DATA names no folder with radio/evalab_1.k7.gz")
    windows = traces.load(path)
    assert len(windows) == 9422
    assert windows.window_s == 1350.0
