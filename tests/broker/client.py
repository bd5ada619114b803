"""A paho client as tests want it: every step waits for its answer, and what came in can be looked at."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

DEADLINE_S = 10.0
NOT_AUTHORISED = 0x87


class Refused(Exception):
    """The broker did not let the client in."""


class Client:
    """One connection. `messages` holds (topic, payload) in order of arrival."""

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext | None,
        *,
        client_id: str = "any",
        will: tuple[str, bytes] | None = None,
        session_s: int = 0,
        clean: bool = True,
        version: int = mqtt.MQTTv5,
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.connected = threading.Event()
        self.disconnected = threading.Event()
        self.session_present = False
        self._changed = threading.Condition()
        self._answers: queue.Queue[tuple[int, int]] = queue.Queue(maxsize=1000)
        self._paho = self._make(client_id, version)
        if context is not None:
            self._paho.tls_set_context(context)
        if will is not None:
            self._paho.will_set(will[0], will[1], qos=1, retain=True)
        self._connect(port, version, session_s, clean)

    def publish(self, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
        """Publish with QoS 1 and return the broker's reason code (0 good, 16 good but nobody listens)."""
        info = self._paho.publish(topic, payload, qos=1, retain=retain)
        return self._answer(info.mid)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish without waiting for an answer."""
        self._paho.publish(topic, payload, qos=1)

    def subscribe(self, *topics: str) -> list[int]:
        """Subscribe with QoS 1 and return the reason codes."""
        codes = []
        for topic in topics:
            _, mid = self._paho.subscribe(topic, qos=1)
            assert mid is not None
            codes.append(self._answer(mid))
        return codes

    def wait_for(self, topic: str, payload: bytes | None = None) -> None:
        """Return once a message on `topic` has come in."""
        self.wait_until(lambda: any(t == topic and payload in (None, p) for t, p in self.messages), topic)

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, DEADLINE_S):
                raise AssertionError(f"{what} did not come; there is {self.messages!r:.500}")

    def drop(self) -> None:
        """Vanish without a word, as a machine that loses power."""
        connection = self._paho.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        assert self.disconnected.wait(DEADLINE_S)

    def close(self) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self, client_id: str, version: int) -> mqtt.Client:
        paho = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion(version),
            reconnect_on_failure=False,
        )
        paho.on_connect = self._on_connect
        paho.on_disconnect = self._on_disconnect
        paho.on_message = self._on_message
        paho.on_publish = lambda _c, _u, mid, code, _p: self._answers.put((mid, code.value))
        paho.on_subscribe = lambda _c, _u, mid, codes, _p: self._answers.put((mid, codes[0].value))
        return paho

    def _connect(self, port: int, version: int, session_s: int, clean: bool) -> None:
        try:
            if version == mqtt.MQTTv5:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = session_s
                self._paho.connect("127.0.0.1", port, clean_start=clean, properties=properties)
            else:
                self._paho.connect("127.0.0.1", port)
        except (ssl.SSLError, OSError) as error:
            self._paho.loop_stop()
            raise Refused(str(error)) from error
        self._paho.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self.connected.is_set() or self.disconnected.is_set(), DEADLINE_S)
        # With TLS 1.3 a refused certificate shows only after the handshake, as a lost connection.
        if not self.connected.is_set():
            self.close()
            raise Refused("disconnected before CONNACK")

    def _answer(self, mid: int) -> int:
        with contextlib.suppress(queue.Empty):
            while True:
                answered, code = self._answers.get(timeout=DEADLINE_S)
                if answered == mid:
                    return code
        raise AssertionError(f"no answer to packet {mid}; disconnected: {self.disconnected.is_set()}")

    def _on_connect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        flags: mqtt.ConnectFlags,
        code: ReasonCode,
        _properties: object,
    ) -> None:
        with self._changed:
            self.session_present = flags.session_present
            (self.disconnected if code.is_failure else self.connected).set()
            self._changed.notify_all()

    def _on_disconnect(self, *_: object) -> None:
        with self._changed:
            self.disconnected.set()
            self._changed.notify_all()

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()
