"""What every repository owes, whatever database it lies in. Run it by subclassing with a `url` fixture."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Iterator

import numpy as np
import pytest

from common.codec import Table
from common.errors import Rejected, RejectReason
from common.messages import (
    ActionRecord,
    Configuration,
    Event,
    Kind,
    NodeRecord,
    Status,
    encode,
    encode_measurement,
)
from coordinator.repository.batch import REFUSED, Batch, Incoming, Refusal, StatusHeard
from coordinator.repository.bus import Lagged, Stored
from coordinator.repository.samples import Subject
from coordinator.repository.store import Repository

START = 1_700_000_000.0
HIGH_EPOCH = 2**64 - 3


def links(
    sequence: int, table: Table, gateway: str = "gw-1", site: str = "office", epoch: int = 7
) -> Incoming:
    t = table["t"]
    body = encode_measurement(Kind.LINKS, table)
    return Incoming(gateway, epoch, sequence, site, Kind.LINKS.value, min(t), max(t), body)


def table(*rows: tuple[float, int, int, float]) -> Table:
    """A links table from (t, transmitter, receiver, pdr)."""
    t, transmitter, receiver, pdr = zip(*rows, strict=True)
    return {
        "t": array("d", t),
        "transmitter": array("H", transmitter),
        "receiver": array("H", receiver),
        "pdr": array("f", pdr),
    }


def one_link(sequence: int, **place: object) -> Incoming:
    return links(sequence, table((START + sequence, 1, 2, 0.5)), **place)  # type: ignore[arg-type]


def record(sequence: int, kind: Kind, body: ActionRecord | Configuration | Event, t: float) -> Incoming:
    kept = None if isinstance(body, Event) else body
    return Incoming("gw-1", 7, sequence, "office", kind.value, t, t, encode(body), kept)


def step(id: str, state: str, **more: object) -> ActionRecord:
    given = {"kind": "relay-set", "cause": "node 2 died", "expected": "all reachable", "priority": 5, **more}
    return ActionRecord.model_validate({"id": id, "state": state, **given})


def status(oldest: int = 0, *, epoch: int = 7, online: bool = True, live: bool = True) -> StatusHeard:
    told = Status(site="office", gateway="gw-1", time=START, online=online, epoch=epoch, oldest=oldest)
    return StatusHeard("gw-1", "office", online, live, epoch, oldest, encode(told))


class RepositoryContract:
    """The behaviours. A subclass gives the fixture `url`: an empty database."""

    @pytest.fixture
    def repository(self, url: str) -> Iterator[Repository]:
        with Repository(url) as repository:
            yield repository

    def test_acknowledges_only_the_part_without_holes(self, repository: Repository) -> None:
        first = repository.store(Batch(START, [one_link(1), one_link(2), one_link(4)]))
        assert first.acks == {("gw-1", 7): 2}
        assert repository.gateways()["gw-1"].streams[0].holes == ((3, 3),)
        assert repository.store(Batch(START, [one_link(3)])).acks == {("gw-1", 7): 4}
        assert repository.gateways()["gw-1"].streams[0].holes == ()

    def test_drops_what_is_already_stored(self, repository: Repository) -> None:
        repository.store(Batch(START, [one_link(1), one_link(2)]))
        again = repository.store(Batch(START, [one_link(1), one_link(2), one_link(2), one_link(3)]))
        assert (again.stored, again.duplicates["gw-1"], again.acks) == (1, 3, {("gw-1", 7): 3})
        assert len(repository.samples("link", "pdr", 0, 1e12)) == 3

    def test_remembers_positions_when_opened_again(self, repository: Repository, url: str) -> None:
        repository.store(Batch(START, [one_link(1), one_link(3)]))
        with Repository(url) as second:
            outcome = second.store(Batch(START, [one_link(1), one_link(2), one_link(3)]))
        assert (outcome.stored, outcome.acks) == (1, {("gw-1", 7): 3})

    def test_keeps_epochs_apart_over_the_whole_unsigned_range(self, repository: Repository) -> None:
        repository.store(Batch(START, [one_link(1), one_link(2)]))
        outcome = repository.store(Batch(START + 1, [one_link(1, epoch=HIGH_EPOCH)]))
        assert outcome.acks == {("gw-1", HIGH_EPOCH): 1}
        streams = repository.gateways()["gw-1"].streams
        assert [(s.epoch, s.sequence) for s in streams] == [(HIGH_EPOCH, 1), (7, 2)]
        assert repository.current_positions() == [("office", "gw-1", HIGH_EPOCH, 1)]

    def test_gives_up_what_its_gateway_no_longer_holds(self, repository: Repository) -> None:
        repository.store(Batch(START, [one_link(1), one_link(90), one_link(101), one_link(102)]))
        outcome = repository.store(Batch(START, statuses={"gw-1": status(oldest=101)}))
        assert outcome.acks == {("gw-1", 7): 102}
        assert outcome.lost == {("gw-1", 7): 98}
        assert repository.gateways()["gw-1"].streams[0].lost == 98

    def test_refuses_a_stream_with_too_many_holes_and_goes_on(self, repository: Repository) -> None:
        outcome = repository.store(Batch(START, [one_link(2 * n) for n in range(1, 300)] + [one_link(1)]))
        assert {r.reason for r in outcome.refusals} == {RejectReason.OUT_OF_RANGE}
        assert outcome.acks == {("gw-1", 7): 2}
        assert repository.gateways()["gw-1"].rejects[0].count == len(outcome.refusals) == 43

    def test_a_refused_body_holds_its_place_and_is_counted_once(self, repository: Repository) -> None:
        refusal = Refusal("gw-1", RejectReason.INVALID, "no such thing")
        bad = Incoming("gw-1", 7, 2, "office", REFUSED, START, START, b"invalid", refusal)
        repository.store(Batch(START, [one_link(1), bad]))
        outcome = repository.store(Batch(START, [bad, one_link(3)]))
        assert outcome.acks == {("gw-1", 7): 3}
        assert [(r.reason, r.count) for r in repository.gateways()["gw-1"].rejects] == [("invalid", 1)]

    def test_a_value_that_the_database_cannot_hold_refuses_its_message_alone(
        self, repository: Repository
    ) -> None:
        """2^63 fits no database's integer, and PostgreSQL knows no zero character."""
        huge = record(2, Kind.CONFIGURATION, Configuration(version=2**63, nodes=[]), START)
        zero = record(3, Kind.ACTION, step("a", "applied", cause="\0"), START)
        outcome = repository.store(Batch(START, [one_link(1), huge, zero, one_link(4)]))
        assert outcome.acks == {("gw-1", 7): 4}
        assert repository.configuration_as_of("office", START) is None
        assert len(repository.samples("link", "pdr", 0, 1e12)) == 2
        (counted,) = repository.gateways()["gw-1"].rejects
        assert counted.reason == "invalid"
        assert counted.count in (1, 2)

    def test_counts_refusals_by_gateway_and_reason(self, repository: Repository) -> None:
        for detail in ("first", "second"):
            repository.store(
                Batch(
                    START,
                    refusals=[
                        Refusal("gw-1", RejectReason.FORGED, detail),
                        Refusal("", RejectReason.MALFORMED, detail),
                    ],
                )
            )
        found = repository.gateways()
        assert [(r.reason, r.count, r.detail) for r in found["gw-1"].rejects] == [("forged", 2, "second")]
        assert found[""].rejects[0].count == 2

    def test_keeps_the_last_status_and_when_it_was_heard_live(self, repository: Repository) -> None:
        repository.store(Batch(START, statuses={"gw-1": status()}))
        repository.store(Batch(START + 5, statuses={"gw-1": status(online=False, live=False)}))
        found = repository.gateways()["gw-1"]
        assert (found.last_seen, found.online) == (START, False)
        repository.store(Batch(START + 9, [one_link(1)]))
        found = repository.gateways()["gw-1"]
        assert (found.last_seen, found.online) == (START + 9, False)
        assert found.status is not None
        assert not found.status.online

    def test_samples_are_typed_columns_in_order_of_time(self, repository: Repository) -> None:
        late = links(1, table((START + 9, 1, 2, 0.25), (START + 1, 1, 3, 0.5)))
        early = links(1, table((START + 5, 1, 2, 0.75)), gateway="gw-2")
        repository.store(Batch(START, [late, early]))
        found = repository.samples(Subject.LINK, "pdr", START, START + 10, site="office")
        assert found.keys["t"].tolist() == [START + 1, START + 5, START + 9]
        assert found.value.tolist() == [0.5, 0.75, 0.25]
        assert found.keys["receiver"].dtype == np.dtype("uint16")
        assert [found.sources[i] for i in found.source] == [
            ("office", "gw-1"),
            ("office", "gw-2"),
            ("office", "gw-1"),
        ]

    def test_samples_are_picked_by_key_place_and_half_open_time(self, repository: Repository) -> None:
        batch = [links(n, table((START + n, 1, 2, 0.5), (START + n, 2, 1, 1.0))) for n in range(1, 6)]
        batch.append(one_link(1, gateway="gw-9", site="depot"))
        repository.store(Batch(START, batch))
        found = repository.samples("link", "pdr", START + 2, START + 4, key=(2, 1))
        assert (found.keys["t"] - START).tolist() == [2.0, 3.0]
        assert len(repository.samples("link", "pdr", 0, 1e12, site="depot")) == 1
        assert len(repository.samples("link", "pdr", 0, 1e12, gateway="gw-1")) == 10
        assert len(repository.samples("link", "rssi", 0, 1e12)) == 0
        assert len(repository.samples("node", "queue", 0, 1e12)) == 0

    def test_samples_of_long_messages_are_found_at_both_ends(self, repository: Repository) -> None:
        long = links(1, table((START, 1, 2, 0.1), (START + 500, 1, 2, 0.2), (START + 1000, 1, 2, 0.3)))
        repository.store(Batch(START, [long, one_link(2)]))
        for moment, value in ((0, 0.1), (500, 0.2), (1000, 0.3)):
            found = repository.samples("link", "pdr", START + moment, START + moment + 1)
            assert found.value.tolist() == pytest.approx([value])

    def test_absent_measurements_are_left_out(self, repository: Repository) -> None:
        repository.store(Batch(START, [links(1, table((START, 1, 2, float("nan")), (START, 1, 3, 1.0)))]))
        assert repository.samples("link", "pdr", 0, 1e12).value.tolist() == [1.0]

    def test_metrics_of_different_types_join_as_numbers(self, repository: Repository) -> None:
        other = table((START + 2, 1, 2, 0.0)) | {"pdr": array("B", [1])}
        repository.store(Batch(START, [one_link(1), links(2, other)]))
        found = repository.samples("link", "pdr", 0, 1e12)
        assert found.value.dtype == np.float64
        assert sorted(found.value.tolist()) == [0.5, 1.0]

    def test_a_key_that_does_not_fit_the_subject_is_refused(self, repository: Repository) -> None:
        with pytest.raises(Rejected) as refused:
            repository.samples("link", "pdr", 0, 1, key=5)
        assert refused.value.reason is RejectReason.INVALID

    def test_latest_tells_the_newest_value_of_every_link(self, repository: Repository) -> None:
        repository.store(
            Batch(
                START,
                [links(1, table((START + 1, 1, 2, 0.25), (START + 3, 1, 2, 0.75), (START + 2, 2, 1, 1.0)))],
            )
        )
        found = repository.latest("link", START, START + 10, "office")
        assert [(f.key["transmitter"], f.t - START, f.values["pdr"]) for f in found] == [
            (1, 3.0, 0.75),
            (2, 2.0, 1.0),
        ]

    def test_latest_joins_gateways_and_shapes_and_passes_over_absent_values(
        self, repository: Repository
    ) -> None:
        absent = table((START + 9, 1, 2, float("nan"))) | {"rssi": array("b", [-70])}
        other = links(1, table((START + 5, 1, 2, 0.5), (START + 5, 3, 2, 0.25)), gateway="gw-2")
        repository.store(Batch(START, [one_link(1), links(2, absent), other]))
        first, second = repository.latest("link", 0, 1e12, "office")
        assert (first.values, first.t, first.gateway) == ({"pdr": 0.5, "rssi": -70}, START + 9, "gw-1")
        assert first.times["pdr"] == START + 5
        assert (second.key, second.values) == ({"transmitter": 3, "receiver": 2}, {"pdr": 0.25})
        assert repository.count_links("office", 0, 1e12) == 2
        assert repository.latest("link", 0, 1e12, "depot") == []

    def test_hosts_are_known_by_who_measured(self, repository: Repository) -> None:
        for gateway, load in (("gw-1", 0.25), ("gw-2", 0.75)):
            body = encode_measurement(Kind.HOST, {"t": array("d", [START]), "load": array("f", [load])})
            message = Incoming(gateway, 7, 1, "office", Kind.HOST.value, START, START, body)
            repository.store(Batch(START, [message]))
        found = repository.latest("host", 0, 1e12, "office")
        assert [(f.gateway, f.key, f.values) for f in found] == [
            ("gw-1", {}, {"load": 0.25}),
            ("gw-2", {}, {"load": 0.75}),
        ]

    def test_actions_tell_their_whole_story(self, repository: Repository) -> None:
        steps = [{"address": 3, "relay": 1}]
        repository.store(
            Batch(
                START,
                [
                    record(1, Kind.ACTION, step("a", "applying", steps=steps), START + 1),
                    record(2, Kind.ACTION, step("b", "proposed"), START + 2),
                    record(3, Kind.ACTION, step("a", "confirmed", seconds=2.5), START + 3),
                ],
            )
        )
        newest, other = repository.actions("office")
        assert (newest.id, newest.state, newest.changes, other.id) == ("a", "confirmed", steps, "b")
        assert [(s.state, s.seconds) for s in newest.steps] == [("applying", None), ("confirmed", 2.5)]
        assert repository.actions("depot") == []

    def test_actions_can_be_told_as_they_stood_in_the_past(self, repository: Repository) -> None:
        states = ("applying", "applied", "rolled-back")
        repository.store(
            Batch(START, [record(n, Kind.ACTION, step("a", s), START + n) for n, s in enumerate(states, 1)])
        )
        assert repository.actions(t1=START + 2.5)[0].state == "applied"
        assert repository.actions(t1=START + 0.5) == []

    def test_any_past_configuration_can_be_told_again(self, repository: Repository) -> None:
        versions = [Configuration(version=v, nodes=[NodeRecord(address=5, relay=v > 1)]) for v in (1, 2)]
        repository.store(
            Batch(
                START, [record(n, Kind.CONFIGURATION, c, START + 10 * n) for n, c in enumerate(versions, 1)]
            )
        )
        assert repository.configuration_as_of("office", START + 5) is None
        assert repository.configuration_as_of("depot", START + 50) is None
        for moment, relay in ((10, False), (19, False), (20, True), (99, True)):
            found = repository.configuration_as_of("office", START + moment)
            assert found is not None
            assert found.nodes == (NodeRecord(address=5, relay=relay),)

    def test_events_come_newest_first(self, repository: Repository) -> None:
        named = [Event(name=f"event-{n}", fields={"n": n}) for n in (1, 2, 3)]
        repository.store(Batch(START, [record(n, Kind.EVENT, e, START + n) for n, e in enumerate(named, 1)]))
        assert [e.name for e in repository.events("office", limit=2)] == ["event-3", "event-2"]
        assert repository.events("office", t0=START + 2, t1=START + 3)[0].fields == {"n": 2}

    async def test_followers_hear_what_was_stored(self, repository: Repository) -> None:
        with repository.bus.subscribe() as news:
            await asyncio.to_thread(repository.store, Batch(START, [one_link(1), one_link(5)]))
            heard = await asyncio.wait_for(anext(news), 10)
        assert heard == Stored("office", Kind.LINKS, START + 1, START + 5)

    async def test_a_follower_that_lags_is_told_to_read_again(self, repository: Repository) -> None:
        with repository.bus.subscribe(capacity=2) as news:
            for n in range(1, 5):
                repository.store(Batch(START, [one_link(n)]))
            assert await asyncio.wait_for(anext(news), 10) == Lagged(4)
            repository.store(Batch(START, [one_link(5)]))
            assert await asyncio.wait_for(anext(news), 10) == Stored(
                "office", Kind.LINKS, START + 5, START + 5
            )
