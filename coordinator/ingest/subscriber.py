"""The coordinator's MQTT connection, in a thread of its own.

A fresh client per attempt: connection state cannot survive in a half-built one. All TLS reading and writing
happens in the one thread, since OpenSSL connections are not safe to share; other threads only queue.
"""

from __future__ import annotations

import os
import random
import select
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from common import topics
from common.errors import Unavailable
from common.logs import get_logger
from common.tls import client_context, explain
from common.topics import Channel
from coordinator.ingest.handover import Heard

CLIENT_ID: Final = "coordinator"
KEEPALIVE_S: Final = 30
CONNECT_S: Final = 10.0
BACK_OFF_S: Final = (0.2, 10.0)
_TURN_S: Final = 0.5
SUBSCRIPTIONS: Final = [
    (f"{topics.ROOT}/+/+/{Channel.UP.value}/+", 1),
    (topics.of("+", "+", Channel.STATUS), 1),
    *((topics.to_peer("+", topics.CLOUD, channel, "+"), 1) for channel in sorted(topics.BETWEEN_PEERS)),
]

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is, and the PEM files that prove who we are."""

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path


class Subscriber:
    """Receives what gateways publish and hands it to `receive`, which may wait to hold the broker back."""

    def __init__(
        self, endpoint: Endpoint, receive: Callable[[Heard], object], ready: Callable[[], None]
    ) -> None:
        """`ready` is called in the network's thread whenever the subscriptions stand."""
        self._endpoint = endpoint
        self._receive = receive
        self._ready = ready
        self._stop = Event()
        self._wake_r, self._wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._client: mqtt.Client | None = None
        self._failure = ""
        self.heard = 0
        self.connected = False
        self.attempts = 0

    def run(self) -> None:
        """Stay connected until `stop`. Blocks. Raises Misconfigured for unusable certificates."""
        pause = BACK_OFF_S[0]
        while not self._stop.is_set():
            self.attempts += 1
            began = time.monotonic()
            try:
                self._attempt()
            except Unavailable as error:
                if str(error) != self._failure:
                    log.warning("broker-unavailable", reason=error)
                self._failure = str(error)
            pause = (
                BACK_OFF_S[0] if time.monotonic() - began > BACK_OFF_S[1] else min(pause * 2, BACK_OFF_S[1])
            )
            self._stop.wait(pause * random.uniform(0.5, 1.0))

    def stop(self) -> None:
        """Make `run` return. From any thread; safe to call twice."""
        self._stop.set()
        self._wake()

    def close(self) -> None:
        """Release the wake-up pipe, after `run` has returned."""
        os.close(self._wake_r)
        os.close(self._wake_w)

    @property
    def session(self) -> int | None:
        """A number of its own for every connection whose subscriptions stand; None while there is none."""
        return self.attempts if self.connected else None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False, sure: bool = False) -> bool:
        """Queue a message from any thread; False while there is no connection.

        QoS 0, or 1 for what the broker is to retain and what is to be `sure` to reach a gateway that is
        there. What is queued is lost with the connection.
        """
        client = self._client
        if client is None or not self.connected:
            return False
        code = client.publish(topic, payload, qos=int(retain or sure), retain=retain).rc
        self._wake()
        return code == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _attempt(self) -> None:
        """One connection, from dialling to its end. Raises Unavailable."""
        client = self._make_client()
        try:
            self._dial(client)
            self._client = client
            self._serve(client)
        except (OSError, ValueError, IndexError, struct.error, MQTTException) as error:
            # What paho lets through when the other side is no MQTT broker.
            raise Unavailable(f"the broker's connection failed: {error!r}") from error
        finally:
            self._client = None
            self.connected = False
            self._hang_up(client)

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=CLIENT_ID, protocol=mqtt.MQTTv5, reconnect_on_failure=False
        )
        end = self._endpoint
        client.tls_set_context(client_context(end.ca, end.certificate, end.key))
        client.connect_timeout = CONNECT_S
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        # Its mere presence keeps paho from writing in the threads that publish.
        client.on_socket_register_write = lambda *_: self._wake()
        return client

    def _dial(self, client: mqtt.Client) -> None:
        end = self._endpoint
        try:
            client.connect(end.host, end.port, keepalive=KEEPALIVE_S, clean_start=True)
        except (OSError, ssl.SSLError, ValueError) as error:
            reason, fix = explain(error)
            raise Unavailable(f"broker {end.host}:{end.port}: {reason}{fix and f'; {fix}'}") from error

    def _serve(self, client: mqtt.Client) -> None:
        self._refusal = ""
        deadline = time.monotonic() + CONNECT_S
        while not self._stop.is_set():
            if self._turn(client) != MQTTErrorCode.MQTT_ERR_SUCCESS or client.socket() is None:
                raise Unavailable(f"the broker's connection ended: {self._refusal or 'lost'}")
            if not self.connected and time.monotonic() > deadline:
                raise Unavailable("the broker does not answer")

    def _turn(self, client: mqtt.Client) -> MQTTErrorCode:
        """Wait for traffic at most a moment, then read and write what there is."""
        sock: Any = client.socket()
        if sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        pending = bool(sock.pending())
        poll = select.poll()
        poll.register(self._wake_r, select.POLLIN)
        poll.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        ready = dict(poll.poll(0 if pending else _TURN_S * 1000))
        if self._wake_r in ready:
            _drain(self._wake_r)
        readable = pending or bool(ready.get(sock.fileno(), 0) & ~select.POLLOUT)
        code = self._read(client) if readable else MQTTErrorCode.MQTT_ERR_SUCCESS
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            code = client.loop_write()
        return code if code != MQTTErrorCode.MQTT_ERR_SUCCESS else client.loop_misc()

    def _read(self, client: mqtt.Client) -> MQTTErrorCode:
        """Read packets as long as they come: a turn each would cost a system call more per message."""
        until = time.monotonic() + _TURN_S
        while time.monotonic() < until:
            before = self.heard
            code = client.loop_read()
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or self.heard == before:
                return code
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _hang_up(self, client: mqtt.Client) -> None:
        try:
            if client.socket() is not None:
                client.disconnect()
                client.loop_write()
        except (OSError, ValueError):
            pass  # it is going anyway
        finally:
            if (sock := client.socket()) is not None:
                sock.close()

    def _on_connect(
        self,
        client: mqtt.Client,
        _: object,
        flags: mqtt.ConnectFlags,
        code: ReasonCode,
        __: Properties | None,
    ) -> None:
        if code.is_failure:
            self._refusal = f"refused: {code}"
        else:
            # Not what it says itself: the cloud's status comes from here.
            client.subscribe(
                [(topic, SubscribeOptions(qos=qos, noLocal=True)) for topic, qos in SUBSCRIPTIONS]
            )

    def _on_subscribe(
        self, client: mqtt.Client, _: object, mid: int, codes: list[ReasonCode], __: Properties | None
    ) -> None:
        self.connected = True
        self._failure = ""
        log.info("broker-connected", host=self._endpoint.host, port=self._endpoint.port)
        self._ready()

    def _on_disconnect(
        self,
        client: mqtt.Client,
        _: object,
        flags: mqtt.DisconnectFlags,
        code: ReasonCode,
        __: Properties | None,
    ) -> None:
        self._refusal = self._refusal or str(code)

    def _on_message(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        self.heard += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        self._receive(Heard(topic, bytes(message.payload), message.retain))

    def _wake(self) -> None:
        try:
            os.write(self._wake_w, b"\0")
        except BlockingIOError:
            pass  # a full pipe wakes as well


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass
