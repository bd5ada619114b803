"""The agent's books, pure: links, nodes, flows, and the tables that are made of them."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.codec import Table, rows
from common.mesh.configuration import NodeConfiguration, Transmit
from common.mesh.graph import heard_once
from common.messages import FLOW_CLASSES, Kind, decode_measurement, encode_measurement
from common.policy.actions import Forecast
from common.policy.service import Service
from edge_agent.infer.expectation import Expectation
from edge_agent.observe import flows, links, nodes, tables
from edge_agent.observe.flows import FlowBook, classify
from edge_agent.observe.links import LinkBook, LinkEstimate
from edge_agent.observe.nodes import NodeBook, NodeRecord
from firmware_bridge.access import config_state, generic_onoff, link_monitor
from firmware_bridge.access.message import build
from firmware_bridge.link import NeighbourCount, NeighbourReport


def report(t: float, receiver: int, *counts: tuple[int, int, int], transmissions: int = 1) -> NeighbourReport:
    """A table of (transmitter, heard, expected)."""
    neighbours = tuple(NeighbourCount(a, h, e, transmissions) for a, h, e in counts)
    return NeighbourReport(t, receiver, neighbours)


def estimate(*windows: tuple[int, int]) -> LinkEstimate:
    link = LinkEstimate()
    for heard, expected in windows:
        link.count(heard, expected)
    return link


# Links


def test_a_link_nobody_counted_is_what_the_prior_says() -> None:
    assert estimate().share == pytest.approx(0.8)
    assert estimate().best_share == 1.0


def test_a_good_link_is_called_good_after_one_window() -> None:
    assert estimate((5, 5)).share > 0.97


def test_counts_fade_so_that_an_estimate_follows_its_link() -> None:
    fallen = estimate(*[(5, 5)] * 50, *[(0, 5)] * 10)
    assert fallen.share < 0.2
    assert estimate(*[(0, 5)] * 50, *[(5, 5)] * 10).share > 0.8
    assert fallen.heard + fallen.missed <= 1 / (1 - links.FADE_PER_PROBE) + 5


def test_the_best_case_narrows_with_evidence() -> None:
    once, often = estimate((3, 5)), estimate(*[(3, 5)] * 10)
    assert once.best_share - once.share > often.best_share - often.share > 0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 255)), max_size=20))
def test_shares_stay_shares_whatever_is_counted(windows: list[tuple[int, int]]) -> None:
    link = estimate(*windows)
    assert 0 < link.share <= link.best_share <= 1


def test_pdr_is_of_one_transmission_whatever_the_repeats() -> None:
    book = LinkBook()
    heard = round(1000 * heard_once(0.6, 3))
    for t in range(30):
        book.report(report(t, 2, (1, heard, 1000), transmissions=3), 0.5)
    assert book[(1, 2)].pdr == pytest.approx(0.6, abs=0.02)
    assert book.graph().links[(1, 2)] <= book.best_case().links[(1, 2)]


def test_a_report_tells_whether_a_new_good_link_turned_up() -> None:
    book = LinkBook()
    assert book.report(report(1.0, 2, (1, 4, 5)), 0.5)
    assert not book.report(report(2.0, 2, (1, 5, 5)), 0.5)  # known
    assert not book.report(report(3.0, 2, (3, 1, 5)), 0.5)  # poor
    assert not book.report(report(4.0, 2, (2, 5, 5), (4, 0, 0)), 0.5)  # itself; nothing expected
    assert {key for key, _ in book.items()} == {(1, 2), (3, 2)}


def test_links_are_taken_once_and_forgotten_late() -> None:
    book = LinkBook()
    book.report(report(1.0, 2, (1, 4, 5)), 0.5)
    book.report(report(2.0, 2, (1, 3, 5)), 0.5)
    assert [(key, heard, expected) for key, _, heard, expected in book.take_new()] == [((1, 2), 7, 10)]
    assert book.take_new() == []
    book.forget(2.0 + links.FORGET_S)
    assert len(list(book.items())) == 1
    book.forget(2.1 + links.FORGET_S)
    assert list(book.items()) == []


def test_links_beyond_the_limit_are_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_LINKS", 2)
    book = LinkBook()
    book.report(report(1.0, 9, (1, 5, 5), (2, 5, 5), (3, 5, 5)), 0.5)
    assert (len(list(book.items())), book.refused) == (2, 1)


def test_more_heard_than_expected_is_no_more_than_all() -> None:
    book = LinkBook()
    book.report(report(1.0, 2, (1, 9, 5)), 0.5)
    assert book[(1, 2)].new_heard == 5
    assert book[(1, 2)].share <= 1


# Nodes


def test_a_lost_report_older_than_a_sign_of_life_counts_for_nothing() -> None:
    book = NodeBook([NodeRecord(NodeConfiguration(5), heard_at=10.0)])
    book.lost(2, 5, 9.0)
    assert book[5].lost_by == {}
    book[5].unanswered = 3
    book.lost(2, 5, 11.0)
    book.lost(3, 5, 12.0)
    assert book[5].lost_by == {2: 11.0, 3: 12.0}
    assert book[5].unanswered == 0  # Only questions asked under suspicion count.
    book[5].alive_sign(10.5)
    assert book[5].lost_by == {}


def test_an_old_sign_of_life_does_not_turn_time_back() -> None:
    record = NodeRecord(NodeConfiguration(5), heard_at=10.0, unanswered=1)
    record.alive_sign(9.0)
    assert (record.heard_at, record.unanswered) == (10.0, 1)


def test_unknown_nodes_are_taken_in_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MAX_NODES", 1)
    book = NodeBook([])
    book.ensure(5, 1.0)
    book.ensure(6, 1.0)
    assert (5 in book, 6 in book, len(book)) == (True, False, 1)
    book.lost(5, 77, 2.0)  # Of a node that nobody knows: ignored.


# Flows


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", flows.OTHER),
        (build(generic_onoff.OnOffGet()), flows.LIGHTING),
        (bytes.fromhex("824c"), flows.LIGHTING),  # Light Lightness Set
        (bytes.fromhex("52"), flows.SENSING),  # Sensor Status
        (bytes.fromhex("59"), flows.SENSING),  # Sensor Setting Set
        (bytes.fromhex("5c"), flows.OTHER),  # Time Set
        (bytes.fromhex("8231"), flows.SENSING),  # Sensor Get
        (bytes.fromhex("82"), flows.LIGHTING),  # cut short
        (build(config_state.RelayGet()), flows.CONFIGURATION),
        (build(link_monitor.MonitorGet()), flows.MONITORING),
        (bytes.fromhex("04"), flows.OTHER),  # Health Current Status
    ],
)
def test_flows_are_classed_by_opcode(payload: bytes, expected: int) -> None:
    assert classify(payload) == expected


@given(st.binary(max_size=20))
def test_every_payload_has_a_class(payload: bytes) -> None:
    assert classify(payload) in range(len(FLOW_CLASSES))


def test_flows_are_counted_and_taken_once() -> None:
    book = FlowBook()
    for hops in (2, None, 4):
        book.message(5, 1, bytes.fromhex("8204") + b"x", hops)
    book.request((1, 5, flows.LIGHTING), 0.1)
    book.request((1, 5, flows.LIGHTING), None)
    table = tables.flows_table(book, 5.0, 100.0)
    assert list(table["messages"]) == [3, 0]
    assert list(table["bytes"]) == [9, 0]
    assert table["messages_per_s"][0] == pytest.approx(0.6)
    assert table["hops"][0] == 3.0
    assert (table["requests"][1], table["answers"][1]) == (2, 1)
    assert table["round_trip_ms"][1] == pytest.approx(100.0)
    assert table["hops"][1] != table["hops"][1]  # NaN: nothing is known
    assert rows(tables.flows_table(book, 5.0, 105.0)) == 0


def test_flows_beyond_the_limit_are_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MAX_FLOWS", 1)
    book = FlowBook()
    for source in (1, 2, 1):
        book.message(source, 9, b"\x52", None)
    assert ([flow.messages for _, flow in book.take()], book.refused) == ([2], 1)


# Tables


@given(st.integers(0, 50), st.integers(1, 20))
def test_a_split_table_loses_and_repeats_no_row(count: int, most: int) -> None:
    whole: Table = {"t": array("d", range(count)), "address": array("H", range(count))}
    pieces = tables.split(whole, most)
    assert all(1 <= rows(piece) <= most for piece in pieces)
    assert [t for piece in pieces for t in piece["t"]] == list(range(count))
    assert [a for piece in pieces for a in piece["address"]] == list(range(count))


def test_the_largest_tables_fit_a_message_each() -> None:
    book = LinkBook()
    for receiver in range(1, 91):
        neighbours = [(a, 5, 5) for a in range(1, 91)]
        book.report(report(1.0, receiver, *neighbours), 0.5)
    pieces = tables.split(tables.links_table(book, {}, 100.0))
    assert len(pieces) == 3
    bodies = [encode_measurement(Kind.LINKS, piece) for piece in pieces]
    assert sum(rows(decode_measurement(Kind.LINKS, body)) for body in bodies) == 90 * 89


def test_the_links_table_holds_estimate_and_forecast() -> None:
    book = LinkBook()
    book.report(report(1.0, 2, (1, 4, 5), (3, 5, 5)), 0.5)
    table = tables.links_table(book, {(1, 2): Expectation(0.5, Forecast(0.25, 0.75))}, 100.0)
    assert list(table["transmitter"]) == [1, 3]
    assert list(table["heard"]) == [4, 5]
    assert table["forecast"][0] == 0.5
    assert table["forecast"][1] != table["forecast"][1]
    assert table["pdr"][0] == pytest.approx(book[(1, 2)].pdr)


def test_the_nodes_table_and_the_snapshot_tell_what_is_known() -> None:
    known = NodeConfiguration(5, relay=True, default_ttl=7, network_transmit=Transmit(2, 20))
    book = NodeBook(
        [
            NodeRecord(known, "lamp", heard_at=90.0),
            NodeRecord(NodeConfiguration(6), heard_at=100.0, dead_since=99.0),
        ]
    )
    service = Service({5: 0.75}, {5: 2})
    table = tables.nodes_table(book, service, 100.0, 1000.0)
    assert list(table["alive"]) == [1, 0]
    assert list(table["relay"]) == [1, 255]
    assert list(table["silent_s"]) == [10.0, 0.0]
    assert list(table["delivery"]) == [0.75, 0.0]
    snapshot = tables.configuration(book, service, {5: "gw-1"}, 3)
    lamp, other = snapshot.nodes
    assert (lamp.name, lamp.home, lamp.hops, lamp.network_transmit) == ("lamp", "gw-1", 2, [2, 20])
    assert (other.relay, other.alive, other.home, other.network_transmit) == (None, False, "", None)
