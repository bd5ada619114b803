"""Garbage from a member of the site, on all three channels at a real broker: counted, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from common import tls
from common.exchange.messages import MAX_BLOB_BYTES, HandOver, Offer, Piece, encode_letter
from common.topics import BETWEEN_PEERS, Channel, to_peer
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.installation import InitOptions, initialise
from edge_agent.share.incoming import MAX_LETTER_BYTES
from tests.agent.gateway import SITE
from tests.broker.client import Client
from tests.tasks.cloud_site import cloud
from tests.tasks.executor_contract import Bench, compression
from tests.tasks.remote_site import eventually, site

pytestmark = pytest.mark.broker

GARBAGE = (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x81\xa4what\xa5offer", bytes(MAX_LETTER_BYTES + 1))
LIES = (
    (Channel.OFFER, encode_letter(Offer(id="f" * 24, request=b"\x80"))),
    (Channel.OFFER, encode_letter(HandOver(job="gw-2-1f", state="0" * 64, size=10))),
    (Channel.TASK, encode_letter(Piece(digest="0" * 64, offset=0, total=MAX_BLOB_BYTES, data=b"x"))),
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "coordinator"
    initialise(folder, InitOptions(port=free_port()))
    for gateway in ("gw-1", "gw-2", "evil"):
        enrol(folder, SITE, gateway)
    return folder


@pytest.fixture
def evil(state: Path) -> Iterator[Client]:
    identity = state / "gateways" / "evil"
    with BrokerProcess(state) as broker, ExitStack() as stack:
        context = tls.client_context(
            state / "pki" / "ca.crt", identity / "gateway.crt", identity / "gateway.key"
        )
        yield stack.enter_context(Client(broker.port, context))


async def test_a_hostile_member_costs_counters_and_no_task(state: Path, evil: Client, tmp_path: Path) -> None:
    port = evil._paho.port
    async with (
        cloud(state, port, tmp_path) as far,
        site(state, port, tmp_path, "gw-1", "gw-2") as (own, peer),
    ):
        near = await own.executor("gw-2")
        for addressee in ("gw-2", "cloud"):
            for channel in sorted(BETWEEN_PEERS):
                for payload in GARBAGE:
                    evil.send(to_peer(SITE, addressee, channel, "evil"), payload)
            for channel, payload in LIES:
                evil.send(to_peer(SITE, addressee, channel, "evil"), payload)
        assert (await near.run(compression(Bench(near, own.store), b"x" * 100_000))).failure is None
        sky = await own.executor("cloud")
        assert (await sky.run(compression(Bench(sky, own.store), b"y" * 100_000))).failure is None
        await eventually(lambda: peer.exchange.rejected.total() + peer.line.rejected.total() >= 15, "counted")
        await eventually(lambda: far.exchange.rejected.total() >= 15, "counted there too")
        assert peer.exchange.puller.strays == far.exchange.puller.strays == {"piece": 1}
        assert peer.exchange.host.refused == far.exchange.host.refused == {"limits": 1}
        assert peer.line.connected
