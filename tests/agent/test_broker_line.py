"""The line to a real mosquitto over mutual TLS: what is sent arrives once, whatever dies on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from common import tls, topics
from common.clock import SystemClock
from common.errors import RejectReason
from common.messages import Event, Kind, encode
from common.topics import Channel
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol, revoke
from coordinator.installation import InitOptions, initialise
from edge_agent.share.outbox import Outbox
from edge_agent.share.session import Endpoint
from tests.agent.conftest import host_body
from tests.agent.consumer import Consumer
from tests.agent.gateway import SITE, Gateway, endpoint, running

pytestmark = pytest.mark.broker
DEADLINE_S = 30.0


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "coordinator"
    initialise(folder, InitOptions(port=free_port()))
    for gateway in ("gw-1", "gw-2"):
        enrol(folder, SITE, gateway)
    return folder


@pytest.fixture
def broker(state: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(state) as process:
        yield process


@pytest.fixture
def open_consumer(state: Path, broker: BrokerProcess) -> Iterator[Callable[[], Consumer]]:
    with ExitStack() as stack:

        def opened() -> Consumer:
            return stack.enter_context(Consumer(state, broker.port))

        yield opened


async def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:.0f} s"
        await asyncio.sleep(0.01)


def tell(outbox: Outbox, count: int) -> None:
    for number in range(count):
        if number % 10:
            outbox.append(Kind.HOST, host_body(rows=5), time.time())
        else:
            outbox.append(Kind.EVENT, encode(Event(name="n", fields={"n": number})), time.time())


def check_whole(consumer: Consumer, epoch: int, count: int) -> None:
    assert sorted(consumer.stored) == [(epoch, sequence) for sequence in range(1, count + 1)]
    assert consumer.conflicts == 0


async def test_the_outbox_drains_in_order_and_empties(
    state: Path, broker: BrokerProcess, open_consumer: Callable[[], Consumer], tmp_path: Path
) -> None:
    consumer = open_consumer()
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        tell(gateway.outbox, 1000)
        await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
        check_whole(consumer, gateway.outbox.epoch, 1000)
        assert list(consumer.stored) == sorted(consumer.stored)
        assert consumer.duplicates == 0
        metrics = gateway.meter.metrics()
        assert metrics.loss == 0
        assert 0 < metrics.rtt_ms < 10_000


async def test_what_waited_while_the_coordinator_was_gone_arrives_when_it_returns(
    state: Path, broker: BrokerProcess, open_consumer: Callable[[], Consumer], tmp_path: Path
) -> None:
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        await eventually(lambda: gateway.line.connected, "the line stands")
        tell(gateway.outbox, 600)
        await eventually(lambda: gateway.line._window.sent_to > 0, "the window is sent")
        assert gateway.line._window.sent_to <= 256
        consumer = open_consumer()
        await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
        check_whole(consumer, gateway.outbox.epoch, 600)


async def test_a_broker_killed_while_draining_loses_and_doubles_nothing(
    state: Path, broker: BrokerProcess, open_consumer: Callable[[], Consumer], tmp_path: Path
) -> None:
    consumer = open_consumer()
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        total = 0
        for _ in range(3):
            enough = len(consumer.stored) + 200
            tell(gateway.outbox, 1500)
            await eventually(partial(consumer.has_stored, enough), "the drain is under way")
            broker.kill()
            tell(gateway.outbox, 100)
            total += 1600
            broker.start()
        await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
        check_whole(consumer, gateway.outbox.epoch, total)
        assert gateway.meter.metrics().reconnects >= 3


async def test_a_broker_that_hangs_is_noticed_and_left(
    state: Path,
    broker: BrokerProcess,
    open_consumer: Callable[[], Consumer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edge_agent.share.mqtt.SILENCE_S", 0.8)
    consumer = open_consumer()
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        await eventually(lambda: gateway.line.connected, "the line stands")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            tell(gateway.outbox, 50)
            # Before the peers' leases end, so that nobody takes silence for the others' death.
            await eventually(lambda: gateway.line.attached_s is None, "the silence is noticed")
            assert gateway.line.connected
            await eventually(lambda: not gateway.line.connected, "the hung broker is noticed")
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
        check_whole(consumer, gateway.outbox.epoch, 50)
        assert gateway.line.attached_s is not None


async def test_an_outbox_that_begins_anew_while_draining_goes_on_in_its_new_epoch(
    state: Path, broker: BrokerProcess, open_consumer: Callable[[], Consumer], tmp_path: Path
) -> None:
    consumer = open_consumer()
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        tell(gateway.outbox, 100)
        await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
        first = gateway.outbox.epoch
        gateway.outbox._file._database.execute("DROP TABLE rows")
        tell(gateway.outbox, 100)
        await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains again")
        second = gateway.outbox.epoch
        assert second != first
        # The new epoch begins with the event that says so.
        assert sorted(sequence for epoch, sequence in consumer.stored if epoch == second) == list(
            range(1, 102)
        )


async def test_peers_see_each_other_and_a_polite_goodbye(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with running(endpoint(state, broker.port, "gw-2"), tmp_path) as second:
        async with running(endpoint(state, broker.port, "gw-1"), tmp_path):
            heard = await asyncio.wait_for(second.line.statuses.get(), DEADLINE_S)
            assert (heard.status.gateway, heard.status.online) == ("gw-1", True)
        while (await asyncio.wait_for(second.line.statuses.get(), DEADLINE_S)).status.online:
            pass


async def test_a_gateway_that_dies_is_told_offline_by_its_will(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with running(endpoint(state, broker.port, "gw-2"), tmp_path) as second:
        async with Outbox(tmp_path / "gw-1.db", SystemClock()) as outbox:
            gateway = Gateway(endpoint(state, broker.port), outbox)
            async with asyncio.TaskGroup() as owner:
                task = owner.create_task(gateway.line.run())
                await asyncio.wait_for(second.line.statuses.get(), DEADLINE_S)
                # As after a kill: nothing is said.
                gateway.line.connected = False
                task.cancel()
        while (await asyncio.wait_for(second.line.statuses.get(), DEADLINE_S)).status.online:
            pass


async def test_a_refused_certificate_is_told_as_the_reason(
    state: Path,
    broker: BrokerProcess,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = tmp_path / "other"
    initialise(other, InitOptions(port=free_port()))
    enrol(other, SITE, "gw-1")
    folder = other / "gateways" / "gw-1"
    context = tls.client_context(state / "pki" / "ca.crt", folder / "gateway.crt", folder / "gateway.key")
    async with running(Endpoint("127.0.0.1", broker.port, "gw-1", context), tmp_path) as gateway:
        await eventually(lambda: "broker-unreachable" in caplog.text, "the refusal is logged")
        assert not gateway.line.connected


async def test_hostile_messages_are_counted_and_the_line_stays(
    state: Path, broker: BrokerProcess, open_consumer: Callable[[], Consumer], tmp_path: Path
) -> None:
    consumer = open_consumer()
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        await eventually(lambda: bool(consumer.statuses), "the line stands")
        for channel in (Channel.ACK, Channel.COMMAND, Channel.DESIRED):
            topic = topics.of(SITE, "gw-1", channel)
            for payload in (b"", b"\xc1", b"\x93\x01\x02\x03", b"\xdf\xff\xff\xff\xff", bytes(1000)):
                consumer.send(topic, payload)
        consumer.send(topics.of(SITE, "gw-1", Channel.ACK), encode(Event(name="no ack")))
        consumer.send(topics.of(SITE, "gw-1", Channel.COMMAND), b"\x81\xa2id\x01")
        instruction = await asyncio.wait_for(gateway.line.instructions.get(), DEADLINE_S)
        assert (instruction.channel, instruction.value) == (Channel.COMMAND, {"id": 1})
        assert gateway.line.rejected.total() == 16
        tell(gateway.outbox, 1)
        await eventually(lambda: gateway.outbox.queued == 0, "the line still works")


async def test_a_peer_cannot_speak_for_another_in_its_status(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with (
        running(endpoint(state, broker.port, "gw-2"), tmp_path) as second,
        running(endpoint(state, broker.port, "gw-1"), tmp_path) as first,
    ):
        first.name = "gw-9"
        forged = RejectReason.FORGED
        await eventually(lambda: second.line.rejected[forged] > 0, "the forgery is counted")


async def test_a_revoked_gateway_does_not_count_as_attached_until_it_is_enrolled_again(
    state: Path, broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        await eventually(lambda: gateway.line.attached_s is not None, "the line stands")
        assert await asyncio.to_thread(lambda: revoke(state, "gw-1").reloaded)
        await eventually(lambda: gateway.line.unwelcome, "the loss of rights is noticed")
        before = gateway.line.refused
        await eventually(lambda: gateway.line.refused > before + 1, "further statuses are refused")
        assert gateway.line.connected
        assert gateway.line.attached_s is None
        assert caplog.text.count("broker-refuses-this-gateway") == 1
        assert await asyncio.to_thread(lambda: enrol(state, SITE, "gw-1", again=True).reloaded)
        await eventually(lambda: gateway.line.attached_s is not None, "its status is accepted again")


async def test_two_agents_with_one_identity_say_so_and_leave_each_other_time(
    state: Path, broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "twin").mkdir()
    async with (
        running(endpoint(state, broker.port), tmp_path),
        running(endpoint(state, broker.port), tmp_path / "twin"),
    ):
        await eventually(lambda: "another-agent-uses-this-identity" in caplog.text, "they notice")


async def test_a_broker_that_speaks_of_a_take_over_is_believed_at_once(
    state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        # CONNACK, then DISCONNECT with reason "session taken over": MQTT 5.0, 3.2 and 3.14.
        writer.write(bytes.fromhex("2003000000e0028e00"))
        await reader.read()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state / "pki" / "broker.crt", state / "pki" / "broker.key")
    server = await asyncio.start_server(take_over, "127.0.0.1", 0, ssl=context)
    async with server, running(endpoint(state, server.sockets[0].getsockname()[1]), tmp_path):
        await eventually(lambda: "another-agent-uses-this-identity" in caplog.text, "it is told")
        assert "broker-unreachable" not in caplog.text
