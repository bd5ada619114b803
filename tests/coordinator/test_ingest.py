"""The whole way over a real broker: publish, ingest, repository, acknowledgement."""

from __future__ import annotations

import random
import signal
import sqlite3
import time

import pytest

from common.codec import MAX_MESSAGE_BYTES, pack
from common.messages import Envelope, Status, encode
from coordinator.broker.configuration import MAX_PACKET_BYTES
from tests.coordinator.conftest import Serving, Site
from tests.coordinator.sender import START, envelope, measurement, wait_for

pytestmark = pytest.mark.broker


def stored(site: Site, epoch: int = 7) -> list[float]:
    """The time stamps of all stored samples of one receiver, which are the sequences."""
    with site.repository() as repository:
        found = repository.samples("link", "pdr", 0, 1e12, key=(1, 2))
        return [t - START for t in found.keys["t"].tolist()]


def messages(count: int, epoch: int = 7) -> list[Envelope]:
    return [measurement(n, epoch=epoch) for n in range(1, count + 1)]


def test_what_is_published_is_stored_once_and_acknowledged(site: Site, serving: Serving) -> None:
    with site.sender() as sender:
        sender.send(*messages(300), *messages(300))
        wait_for(lambda: sender.acknowledged() == 300, "the acknowledgement")
        wait_for(lambda: serving.get("health")["duplicates"] == 300, "the duplicates")
    assert stored(site) == list(range(1, 301))


def test_a_gap_holds_the_acknowledgement_until_it_is_filled(site: Site, serving: Serving) -> None:
    with site.sender() as sender:
        sender.send(*messages(6)[:2], *messages(6)[3:])
        wait_for(lambda: sender.acknowledged() == 2, "the part before the gap")
        wait_for(lambda: serving.get("gateways")[0]["stream"]["holes"] == [[3, 3]], "the gap")
        assert sender.acknowledged() == 2
        sender.send(measurement(3))
        wait_for(lambda: sender.acknowledged() == 6, "everything")
    assert stored(site) == [1, 2, 3, 4, 5, 6]


def test_a_new_epoch_begins_a_new_stream(site: Site, serving: Serving) -> None:
    with site.sender() as sender:
        sender.send(*messages(5))
        wait_for(lambda: sender.acknowledged() == 5, "the old stream")
        sender.send(*messages(2, epoch=2**64 - 1))
        wait_for(lambda: sender.acknowledged(2**64 - 1) == 2, "the new stream")
        stream = serving.get("gateways")[0]["stream"]
    assert (stream["epoch"], stream["sequence"]) == ("f" * 16, 2)


def test_a_stream_that_began_before_this_repository_goes_on(site: Site, serving: Serving) -> None:
    with site.sender() as sender:
        sender.send(*[measurement(n) for n in (1001, 1002)])
        wait_for(lambda: serving.get("health")["stored"] == 2, "both messages")
        assert sender.acknowledged() == 0
        sender.tell(
            Status(site="office", gateway="gw-1", time=time.time(), online=True, epoch=7, oldest=1001)
        )
        wait_for(lambda: sender.acknowledged() == 1002, "the acknowledgement")
        assert serving.get("gateways")[0]["stream"]["lost"] == 1000


def test_malformed_floods_are_counted_and_stop_nothing(site: Site, serving: Serving) -> None:
    dice = random.Random(5)
    good = encode(measurement(1))
    foreign = pack({**measurement(1).model_dump(), "v": 9})
    with site.sender() as sender:
        for n in range(1, 101):
            sender.send_raw(dice.randbytes(dice.randrange(1, 60)))
            sender.send_raw(good[: dice.randrange(1, len(good) - 1)])
            sender.send_raw(encode(measurement(n, gateway="gw-2")))
            sender.send_raw(foreign)
            sender.send(measurement(n) if n != 50 else envelope(n, "gossip", b""))
        sender.send_raw(b"\x00" * (MAX_MESSAGE_BYTES + 100))
        wait_for(lambda: sender.acknowledged() == 100, "the good messages")
        wait_for(lambda: "oversized" in serving.get("gateways")[0]["rejects"], "the last message")
        rejects = serving.get("gateways")[0]["rejects"]
    assert sum(rejects.values()) == 100 * 4 + 2
    assert (rejects["forged"], rejects["foreign-version"]) == (100, 100)
    assert rejects["truncated"] >= 100
    assert (rejects["unknown-kind"], rejects["oversized"]) == (1, 1)
    assert stored(site) == [n for n in range(1, 101) if n != 50]
    lines = [line for line in serving.log.read_text().splitlines() if "messages-refused" in line]
    assert 1 <= len(lines) <= 3


def test_messages_several_times_too_large_are_counted_for_their_gateway(site: Site, serving: Serving) -> None:
    with site.sender() as sender:
        for size in (MAX_MESSAGE_BYTES + 1, 300_000, MAX_PACKET_BYTES - 1024):
            sender.send_raw(b"\x00" * size)
        wait_for(lambda: serving.get("gateways")[0]["rejects"] == {"oversized": 3}, "the refusals")
        sender.send(measurement(1))
        wait_for(lambda: sender.acknowledged() == 1, "a good message on the same connection")


def test_nothing_is_lost_or_stored_twice_when_the_coordinator_is_killed(site: Site) -> None:
    dice, serving = random.Random(11), Serving(site.state)
    everything = messages(1500)
    with site.sender() as sender, serving:
        for kill in range(4):
            until = dice.randrange(250, 350) * (kill + 1)
            sent = sender.acknowledged()
            sender.send(*everything[sent : until + 200])
            wait_for(lambda enough=until: sender.acknowledged() >= enough, f"kill {kill}")  # type: ignore[misc]
            serving.end(signal.SIGKILL)
            # Published while nobody listens: the broker acknowledges these to the sender all the same.
            sender.send(*everything[until : until + 100])
            serving.start()
            wait_for(lambda: sender.acknowledged() > 0, "the greeting")
        sender.deliver(everything)
    assert stored(site) == list(range(1, 1501))


def test_a_returning_coordinator_tells_gateways_where_they_stand(site: Site) -> None:
    serving = Serving(site.state)
    with site.sender() as sender, serving:
        sender.send(*messages(3))
        wait_for(lambda: sender.acknowledged() == 3, "the acknowledgement")
        serving.end(signal.SIGTERM)
        sender.acks.clear()
        serving.start()
        wait_for(lambda: sender.acknowledged() == 3, "the greeting")


def test_the_coordinator_survives_the_brokers_death(site: Site, serving: Serving) -> None:
    site.broker.kill()
    wait_for(lambda: not serving.get("health")["broker_connected"], "the loss")
    site.broker.start()
    wait_for(lambda: bool(serving.get("health")["broker_connected"]), "the return")
    with site.sender() as sender:
        sender.deliver(messages(50))
    assert stored(site) == list(range(1, 51))


def test_an_unavailable_database_holds_acknowledgements_back_until_it_returns(
    site: Site, serving: Serving
) -> None:
    intruder = sqlite3.connect(site.state / "repository.db", timeout=20)
    intruder.execute("ALTER TABLE streams RENAME TO hidden")
    with site.sender() as sender:
        sender.send(*messages(20))
        wait_for(lambda: serving.get("health")["store_failures"] > 0, "the failure")
        assert sender.acknowledged() == 0
        intruder.execute("ALTER TABLE hidden RENAME TO streams")
        intruder.close()
        wait_for(lambda: sender.acknowledged() == 20, "the acknowledgement")
    assert stored(site) == list(range(1, 21))


def test_the_log_tells_when_gateways_come_and_go(site: Site, serving: Serving) -> None:
    status = Status(site="office", gateway="gw-1", time=time.time(), online=True)
    with site.sender() as sender:
        sender.tell(status)
        wait_for(lambda: "gateway-online" in serving.log.read_text(), "the arrival")
        sender.tell(status)
        sender.tell(status.model_copy(update={"online": False}))
        wait_for(lambda: "gateway-offline" in serving.log.read_text(), "the departure")
    assert serving.log.read_text().count("gateway-online gateway=gw-1 site=office") == 1
