"""A real broker with a fleet: gw-a1 and gw-a2 of site-a, gw-b1 of site-b."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from common import tls
from coordinator.broker.process import BrokerProcess, free_port
from coordinator.enrolment import enrol
from coordinator.identity.authority import Authority, Usage, authority_at
from coordinator.identity.requests import key_pem, make_key, make_request
from coordinator.installation import InitOptions, initialise
from tests.broker.client import DEADLINE_S, Client

SITES = {"gw-a1": "site-a", "gw-a2": "site-a", "gw-b1": "site-b"}


class Testbed:
    """The running broker of a state folder, and clients that are closed at the end of the test."""

    __test__ = False

    def __init__(self, state: Path, broker: BrokerProcess, clients: ExitStack) -> None:
        self.state = state
        self.broker = broker
        self._clients = clients

    def gateway(self, name: str, **options: Any) -> Client:
        """A client with the certificate of the gateway `name`. Raises Refused."""
        return self.client(self.context(self.state / "gateways" / name, "gateway"), **options)

    def coordinator(self, **options: Any) -> Client:
        """A client with the coordinator's certificate."""
        return self.client(self.context(self.state / "pki", "coordinator"), **options)

    def client(self, context: ssl.SSLContext | None, **options: Any) -> Client:
        """A client with any context, or none for plain MQTT. Raises Refused."""
        return self._clients.enter_context(Client(self.broker.port, context, **options))

    def context(self, folder: Path, name: str) -> ssl.SSLContext:
        return tls.client_context(
            self.state / "pki" / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key"
        )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """An initialised state folder whose broker has a port of its own, with the fleet enrolled."""
    folder = tmp_path / "state"
    initialise(folder, InitOptions(port=free_port()))
    for gateway, site in SITES.items():
        enrol(folder, site, gateway)
    return folder


@pytest.fixture
def bed(state: Path) -> Iterator[Testbed]:
    with BrokerProcess(state) as broker, ExitStack() as clients:
        yield Testbed(state, broker, clients)


def issue(
    folder: Path,
    authority: Authority,
    identity: str,
    *,
    usage: Usage = Usage.CLIENT,
    now: float | None = None,
) -> Path:
    """Write `gateway.crt` and `gateway.key`, signed by any authority at any time, into `folder`."""
    folder.mkdir()
    key = make_key()
    certificate = authority.sign_request(
        make_request(key, identity), identity=identity, usage=usage, now=time.time() if now is None else now
    )
    (folder / "gateway.key").write_bytes(key_pem(key))
    (folder / "gateway.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder


def authority_of(state: Path) -> Authority:
    return authority_at(state / "pki", time.time())


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        time.sleep(0.01)
