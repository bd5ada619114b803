"""The coordinator's connection against a broker that is none: right certificate, wrong bytes."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from common.errors import Misconfigured
from coordinator.ingest import subscriber
from coordinator.ingest.handover import Heard
from coordinator.ingest.subscriber import Endpoint, Subscriber
from coordinator.installation import initialise
from tests.coordinator.sender import wait_for

# CONNACK with success, then the beginning of something.
_WELCOME = bytes([0x20, 3, 0, 0, 0])


def endpoint(state: Path, port: int) -> Endpoint:
    pki = state / "pki"
    return Endpoint("127.0.0.1", port, pki / "ca.crt", pki / "coordinator.crt", pki / "coordinator.key")


@contextmanager
def babbler(state: Path, seed: int) -> Iterator[int]:
    """A TLS server that answers every connection with random packets and hangs up; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(state / "pki" / "broker.crt", state / "pki" / "broker.key")
    dice, stop = random.Random(seed), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            while not stop.is_set():
                with suppress(OSError):
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.sendall(_WELCOME + _packets(dice))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _packets(dice: random.Random) -> bytes:
    bodies = [dice.randbytes(dice.randrange(0, 12)) for _ in range(4)]
    return b"".join(bytes([dice.randrange(16, 256), len(body)]) + body for body in bodies)


@contextmanager
def running(subject: Subscriber) -> Iterator[None]:
    thread = threading.Thread(target=subject.run)
    thread.start()
    try:
        yield
    finally:
        subject.stop()
        thread.join(30)
        assert not thread.is_alive()
        subject.close()


def test_nonsense_from_the_other_side_ends_only_the_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "BACK_OFF_S", (0.001, 0.002))
    initialise(tmp_path)
    heard: list[Heard] = []
    with babbler(tmp_path, seed=3) as port:
        subject = Subscriber(endpoint(tmp_path, port), heard.append, lambda: None)
        with running(subject):
            wait_for(lambda: subject.attempts >= 100, "a hundred attempts")


def test_nobody_listening_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "BACK_OFF_S", (0.001, 0.002))
    initialise(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    subject = Subscriber(endpoint(tmp_path, port), lambda heard: None, lambda: None)
    with running(subject):
        wait_for(lambda: subject.attempts >= 3, "three attempts")
        assert not subject.publish("mt/1/a/b/ack", b"")


def test_unusable_certificates_end_it_with_the_fix(tmp_path: Path) -> None:
    initialise(tmp_path)
    (tmp_path / "pki" / "coordinator.key").write_text("not a key")
    subject = Subscriber(endpoint(tmp_path, 1), lambda heard: None, lambda: None)
    with pytest.raises(Misconfigured):
        subject.run()
    subject.close()
