"""The broker line over a real mosquitto when its identity changes, and when the broker's has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from common import tls
from common.messages import Event, Kind, encode
from coordinator.broker.process import BrokerProcess
from coordinator.config import load_config
from coordinator.enrolment import confirm, enrol
from coordinator.identity.authority import Usage
from coordinator.identity.own import BROKER, server_names
from coordinator.identity.requests import key_at, make_request
from coordinator.installation import initialise, refresh
from edge_agent.share import change
from edge_agent.share.change import QUIET_WITHIN_S, Change
from edge_agent.share.outbox import Outbox
from edge_agent.share.session import Endpoint
from tests.agent.consumer import Consumer
from tests.agent.gateway import endpoint, running
from tests.agent.test_broker_line import check_whole, eventually
from tests.broker.conftest import authority_of

pytestmark = pytest.mark.broker
DAY = 86_400.0


@pytest.fixture
def broker(state: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(state) as process:
        yield process


async def test_an_identity_changes_in_full_traffic_and_nothing_is_lost_or_noticed(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    with Consumer(state, broker.port) as consumer:
        async with running(endpoint(state, broker.port), tmp_path) as gateway:
            await eventually(lambda: gateway.line.attached_s is not None, "the line stands")
            told = 0
            for _ in range(3):
                serial = _enrolled_again(state)
                gateway.line.use(endpoint(state, broker.port))
                before = gateway.meter.metrics().reconnects
                deadline = time.monotonic() + 30
                while gateway.meter.metrics().reconnects == before:
                    assert time.monotonic() < deadline, "the identity changes"
                    _tell(gateway.outbox, told)
                    told += 1
                    await asyncio.sleep(0.005)
                # The former certificate is worth nothing from now on.
                confirm(state, "gw-1", serial)
            await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
            check_whole(consumer, gateway.outbox.epoch, told)
            # No will was published: peers saw nothing of it.
            assert all(status.online for status in consumer.statuses)


async def test_a_change_does_not_wait_for_ever_for_a_coordinator_that_is_away(
    state: Path, broker: BrokerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "QUIET_WITHIN_S", 0.2)
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        for number in range(20):
            _tell(gateway.outbox, number)
        await eventually(lambda: gateway.line._window.sent_to > 0, "something is on its way")
        gateway.line.use(endpoint(state, broker.port))
        await eventually(lambda: gateway.meter.metrics().reconnects == 1, "the identity changes")
        with Consumer(state, broker.port) as consumer:
            await eventually(lambda: gateway.outbox.queued == 0, "the outbox drains")
            check_whole(consumer, gateway.outbox.epoch, 20)


async def test_a_change_while_the_broker_is_away_counts_at_its_return(
    state: Path, broker: BrokerProcess, tmp_path: Path
) -> None:
    async with running(endpoint(state, broker.port), tmp_path) as gateway:
        await eventually(lambda: gateway.line.connected, "the line stands")
        broker.stop()
        await eventually(lambda: not gateway.line.connected, "the line is cut")
        serial = _enrolled_again(state)
        confirm(state, "gw-1", serial)
        gateway.line.use(endpoint(state, broker.port))
        broker.start()
        await eventually(lambda: gateway.line.connected, "the line stands with the new certificate")


async def test_an_expired_broker_certificate_is_told_with_the_fix_and_its_renewal_heals(
    state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _expire_broker_certificate(state)
    with BrokerProcess(state):
        async with running(_endpoint_of(state), tmp_path) as gateway:
            await eventually(lambda: bool(gateway.line.complaints.reason), "the refusal")
            assert gateway.line.complaints.reason == "the server's certificate has expired"
            line = next(record for record in caplog.records if record.getMessage() == "broker-unreachable")
            assert "coordinator init" in str(vars(line))
            assert BROKER in refresh(state)
            await eventually(lambda: gateway.line.connected, "the line stands")
            assert gateway.line.complaints.reason == ""


@pytest.mark.parametrize(
    ("issued", "names", "told"),
    [
        (2 * DAY, None, "the server's certificate is not valid yet"),
        (0.0, ("mesh.example",), "the server's certificate is for other names"),
    ],
)
async def test_what_else_is_wrong_with_a_brokers_certificate_is_told(
    state: Path, tmp_path: Path, issued: float, names: tuple[str, ...] | None, told: str
) -> None:
    _certify_broker(state, time.time() + issued, names)
    with BrokerProcess(state):
        async with running(_endpoint_of(state), tmp_path) as gateway:
            await eventually(lambda: gateway.line.complaints.reason == told, told)


async def test_a_broker_of_another_fleet_is_told(state: Path, broker: BrokerProcess, tmp_path: Path) -> None:
    initialise(tmp_path / "other")
    folder = state / "gateways" / "gw-1"
    context = tls.client_context(
        tmp_path / "other" / "pki" / "ca.crt", folder / "gateway.crt", folder / "gateway.key"
    )
    async with running(Endpoint("127.0.0.1", broker.port, "gw-1", context), tmp_path) as gateway:
        await eventually(
            lambda: gateway.line.complaints.reason == "the server's certificate is of another authority",
            "the reason",
        )


async def test_what_is_known_of_the_own_certificate_helps_where_the_broker_says_nothing(
    state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(_endpoint_of(state), tmp_path) as gateway:
        gateway.line.complaints.hint = lambda: "enrol it again"
        await eventually(lambda: "broker-unreachable" in caplog.messages, "the complaint")
        line = next(record for record in caplog.records if record.getMessage() == "broker-unreachable")
        assert "enrol it again" in str(vars(line))


def test_a_change_is_due_at_a_quiet_moment_or_after_its_patience(state: Path) -> None:
    used, wanted = (Endpoint("127.0.0.1", port, "gw-1", _endpoint_of(state).context) for port in (1, 2))
    asked = Change(unnoticed_s=3.0)
    assert not asked.is_due(quiet=True, now=0.0)
    asked.ask(wanted, 0.0)
    assert not asked.is_due(quiet=False, now=QUIET_WITHIN_S)
    assert asked.is_due(quiet=True, now=1.0)
    assert asked.is_due(quiet=False, now=QUIET_WITHIN_S + 1)
    assert asked.take(used) is wanted
    assert asked.take(used) is used


def test_a_change_that_takes_long_or_fails_is_a_break_like_any_other() -> None:
    asked = Change(unnoticed_s=3.0)
    assert not asked.arrived(0.0)
    asked.left(10.0)
    assert not asked.is_late(12.0)
    assert asked.arrived(12.0)
    asked.left(20.0)
    assert asked.is_late(24.0)
    assert not asked.arrived(24.0)
    asked.left(30.0)
    asked.failed()
    assert not asked.arrived(31.0)


def _tell(outbox: Outbox, number: int) -> None:
    outbox.append(Kind.EVENT, encode(Event(name="n", fields={"n": number})), time.time())


def _enrolled_again(state: Path) -> str:
    """Put a further certificate for gw-1 into its folder; its serial."""
    return enrol(state, "hall", "gw-1", again=True).serial


def _endpoint_of(state: Path) -> Endpoint:
    return endpoint(state, load_config(state).broker.port)


def _expire_broker_certificate(state: Path) -> None:
    _certify_broker(state, time.time() - 100 * DAY, None)


def _certify_broker(state: Path, now: float, names: tuple[str, ...] | None) -> None:
    """Give the broker a certificate that was issued at another time or for other names."""
    pki = state / "pki"
    certificate = authority_of(state).sign_request(
        make_request(key_at(pki / f"{BROKER}.key"), BROKER),
        identity=BROKER,
        usage=Usage.SERVER,
        now=now,
        names=server_names(load_config(state).broker) if names is None else names,
    )
    (pki / f"{BROKER}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
