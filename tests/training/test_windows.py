"""Windows and training rows: the same as the contract, and nothing of the future in what is learnt."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.models import link_forecast as contract
from common.models.link_forecast import LinkWindow
from coordinator.training.evaluation import held_out
from coordinator.training.windows import Windows, arrange, inputs_of, newest, rows_of, split

windows_of_a_link = st.lists(
    st.builds(
        LinkWindow,
        t=st.floats(0.0, 5000.0),
        heard=st.integers(0, 40),
        expected=st.integers(40, 500),
        transmissions=st.integers(1, 8),
        rssi_dbm=st.none() | st.floats(-120.0, 0.0),
    ),
    min_size=1,
    max_size=20,
)


def columns(links: list[list[LinkWindow]]) -> Windows:
    rows = [(number, w) for number, link in enumerate(links) for w in link]
    rssi = [np.nan if w.rssi_dbm is None else w.rssi_dbm for _, w in rows]
    return arrange(
        np.array([number for number, _ in rows]),
        np.array([w.t for _, w in rows]),
        np.array([w.heard for _, w in rows]),
        np.array([w.expected for _, w in rows]),
        np.array([w.transmissions for _, w in rows]),
        np.array(rssi, np.float64),
    )


def even(links: int, length: int) -> Windows:
    heard = [[LinkWindow(10.0 * at, at % 11, 10, 2) for at in range(length)] for _ in range(links)]
    return columns(heard)


@given(st.lists(windows_of_a_link, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_inputs_are_the_contracts_encoding_of_every_history(links: list[list[LinkWindow]]) -> None:
    links = [sorted(link, key=lambda window: window.t) for link in links]
    windows = columns(links)
    wanted = [
        contract.encode(link[: end + 1], windows.window_s) for link in links for end in range(len(link))
    ]
    assert np.allclose(inputs_of(windows), np.array(wanted), atol=2e-5)


def test_targets_are_the_next_windows_of_the_same_link() -> None:
    rows = rows_of(even(links=2, length=5))
    assert rows.heard[0].tolist() == [1.0, 2.0, 3.0]
    assert rows.expected[3].tolist() == [10.0, 0.0, 0.0]
    assert rows.expected[4].tolist() == [0.0, 0.0, 0.0]
    assert rows.heard[5].tolist() == [1.0, 2.0, 3.0]
    assert rows.scored().tolist() == [True, True, True, True, False] * 2


def test_a_window_after_a_gap_is_no_target() -> None:
    times = [0.0, 10.0, 20.0, 30.0, 90.0, 100.0]
    rows = rows_of(columns([[LinkWindow(t, 5, 10) for t in times]]))
    assert rows.scored().tolist() == [True, True, True, False, True, False]
    assert rows_of(columns([[LinkWindow(t, 5, 10) for t in times]]), late=np.inf).scored().sum() == 5


def test_nothing_that_is_learnt_looks_into_what_is_held_out() -> None:
    windows = even(links=3, length=20)
    cuts = held_out(windows)
    parts = split(windows, cuts)
    assert parts.learnt.until.max() < cuts.min() <= parts.held_out.t.min()
    assert len(parts.learnt) == 3 * 11
    assert len(parts.held_out) == 3 * 5


def test_reports_that_make_no_sense_are_dropped() -> None:
    columns = {
        "t": [1.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0],
        "heard": [5.0, 5.0, -1.0, 50.0, 1.0, np.nan, 1.0],
        "expected": [10.0, 10.0, 10.0, 10.0, 0.0, 10.0, np.nan],
        "transmissions": [2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0],
        "rssi": [-300.0, -60.0, -60.0, np.inf, -60.0, -60.0, -60.0],
    }
    windows = arrange(np.zeros(7), *(np.array(column) for column in columns.values()))
    assert windows.t.tolist() == [1.0, 4.0]
    assert windows.heard.tolist() == [5.0, 10.0]
    assert np.isnan(windows.rssi_dbm).all()


def test_nothing_at_all_makes_no_rows() -> None:
    empty = arrange(*(np.empty(0),) * 6)
    assert len(rows_of(empty)) == 0
    assert len(split(empty, held_out(empty)).learnt) == 0
    assert len(newest(empty, 5)) == 0


def test_the_newest_windows_are_kept_in_order() -> None:
    kept = newest(even(links=2, length=10), 6)
    assert kept.link.tolist() == [0, 0, 0, 1, 1, 1]
    assert kept.t.tolist() == [70.0, 80.0, 90.0] * 2
