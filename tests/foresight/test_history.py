"""The last windows of each link, as models see them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.models.link_forecast import WINDOWS, LinkWindow
from edge_agent.observe import history
from edge_agent.observe.links import FORGET_S, LinkBook
from firmware_bridge.link import NeighbourCount, NeighbourReport


def told(book: LinkBook, t: float, *transmitters: int, heard: int = 9, rssi: int | None = -70) -> None:
    rows = tuple(NeighbourCount(a, heard, 10, 2, rssi) for a in transmitters)
    book.report(NeighbourReport(t, 50, rows), 0.5)


def test_the_last_windows_are_kept_oldest_first() -> None:
    book = LinkBook()
    for t in range(WINDOWS + 3):
        told(book, float(t), 1)
    assert [window.t for window in book.history((1, 50))] == [float(t) for t in range(3, WINDOWS + 3)]
    assert book.history((1, 50))[-1] == LinkWindow(WINDOWS + 2.0, 9, 10, 2, -70)


def test_a_link_that_nobody_told_of_has_no_history() -> None:
    assert list(LinkBook().history((1, 2))) == []


def test_only_links_with_new_windows_are_named_the_newest_first() -> None:
    book = LinkBook()
    told(book, 1.0, 1, 2, 3)
    seen = book.windows
    assert book.updated_since(0) == [(3, 50), (2, 50), (1, 50)]
    assert book.updated_since(seen) == []
    told(book, 2.0, 1)
    assert book.updated_since(seen) == [(1, 50)]


def test_forgotten_links_are_no_longer_named() -> None:
    book = LinkBook()
    told(book, 1.0, 1, 2)
    told(book, 1.0 + FORGET_S, 2)
    book.forget(2.0 + FORGET_S)
    assert book.updated_since(0) == [(2, 50)]
    assert (1, 50) not in book


def test_the_usual_time_between_windows_is_known_after_two() -> None:
    book = LinkBook()
    told(book, 1.0, 1, 2, 3)
    assert book.window_s() is None
    for t in (11.0, 21.0):
        told(book, t, 1, 2)
    told(book, 91.0, 3)
    assert book.window_s() == 10.0


@given(
    st.lists(
        st.builds(
            LinkWindow,
            st.floats(0, 1e9),
            st.integers(-5, 1 << 20),
            st.integers(1, 1 << 20),
            st.integers(1, 1 << 12),
            st.none() | st.integers(-1000, 1000),
        ),
        max_size=2 * WINDOWS,
    )
)
def test_whatever_a_window_says_it_can_be_kept(windows: list[LinkWindow]) -> None:
    packed = history.EMPTY
    for window in windows:
        packed = history.add(packed, window)
    kept = history.windows(packed)
    assert [window.t for window in kept] == [window.t for window in windows][-WINDOWS:]
    assert all(0 <= window.heard <= window.expected for window in kept)
