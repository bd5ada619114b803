"""One MQTT 5 connection, from attempt to end, in a thread of its own. Never reused: a new attempt is a new
session, so that no state of a broken connection survives.

Carries bytes; topics and their meaning are `mqtt`'s. All methods are called on the event loop, and what
happens is told there too, in order.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from common import tls
from common.codec import MAX_MESSAGE_BYTES

CONNECT_TIMEOUT_S: Final = 5.0
KEEPALIVE_S: Final = 10
# Messages that wait for the event loop; beyond it the newest are dropped and counted.
RECEIVED_LIMIT: Final = 1024
# Of messages this long only so many bytes wait: pieces of files must not take the memory, nor the places of
# acknowledgements and statuses.
LONG_BYTES: Final = 16 * 1024
LONG_WAITING_BYTES: Final = 4 << 20
# Reason code of DISCONNECT: another client uses this identifier (MQTT 5.0, 3.14.2.1).
SESSION_TAKEN_OVER: Final = 0x8E
MAX_PACKET_BYTES: Final = MAX_MESSAGE_BYTES + 4096


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message; `retained` when the broker had kept it."""

    topic: str
    payload: bytes = field(repr=False)
    retained: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker answered publication `mid`; `refused` names why it did not take it."""

    mid: int
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The session is over, and its thread too; `taken_over` by another client with the same identity. `fix`
    is what an operator can do, where that is known."""

    reason: str
    taken_over: bool = False
    fix: str = ""


Told: TypeAlias = "Connected | Received | Acknowledged | Ended"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and as whom."""

    host: str
    port: int
    client_id: str
    context: ssl.SSLContext = field(repr=False)


class Session:
    """A running attempt. `tell` is called on `loop` with everything that happens, `Ended` last."""

    def __init__(
        self,
        endpoint: Endpoint,
        will: tuple[str, bytes],
        tell: Callable[[Told], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._endpoint = endpoint
        self._tell = tell
        self._loop = loop
        self._happened: deque[Told] = deque()
        self._received = 0
        self._long_bytes = 0
        self._scheduled = False
        self._lock = threading.Lock()
        self._given_up = False
        self._reason = ""
        self._taken_over = False
        self.dropped = 0
        self.ended = asyncio.Event()
        self._client = self._make_client(will)
        self._thread = threading.Thread(target=self._work, name="mqtt", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> int | None:
        """Send with quality of service 1; the number that `Acknowledged` will name, None when it is over."""
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, topics: list[str]) -> None:
        """Ask for messages on `topics`, without those of this client itself."""
        self._client.subscribe([(topic, SubscribeOptions(qos=1, noLocal=True)) for topic in topics])

    async def close(self, patience: float = 1.0) -> None:
        """Say goodbye, and break the connection when that takes longer than `patience` seconds."""
        self._given_up = True
        self._client.disconnect()
        try:
            async with asyncio.timeout(patience):
                await self.ended.wait()
        except TimeoutError:
            await self.abort(patience)

    async def abort(self, patience: float = 1.0) -> None:
        """Break the connection at once. An attempt that hangs in connecting ends by itself, soon after."""
        self._given_up = True
        raw = self._client.socket()
        if isinstance(raw, socket.socket):
            try:
                # Not SSLSocket's own: it would take the encryption away under the other thread.
                socket.socket.shutdown(raw, socket.SHUT_RDWR)
            except OSError:
                pass
        try:
            async with asyncio.timeout(patience):
                await self.ended.wait()
        except TimeoutError:
            pass

    def _make_client(self, will: tuple[str, bytes]) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._endpoint.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        self._endpoint.context.sslsocket_class = _ClosedSocket
        client.tls_set_context(self._endpoint.context)
        client.will_set(will[0], will[1], qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_socket_open = _send_at_once
        # With it paho leaves all writing to its own thread; otherwise `publish` writes in the caller's.
        client.on_socket_register_write = _leave_to_thread
        return client

    def _work(self) -> None:
        """The thread: connect, then serve the connection until it ends."""
        client, reason, fix = self._client, "", ""
        try:
            client.connect(
                self._endpoint.host, self._endpoint.port, KEEPALIVE_S, clean_start=True, properties=_limits()
            )
            if self._given_up:
                client.disconnect()
            while client.loop(1.0) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except Exception as error:
            # paho lets what it stumbles over in a broker's bytes through as it is: struct.error, IndexError …
            reason, fix = tls.explain(error)
        client.on_connect = client.on_disconnect = client.on_message = client.on_publish = None
        self._happen(Ended(self._reason or reason or "connection lost", self._taken_over, fix))

    def _on_connect(self, client: paho.Client, _: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self._reason = f"refused: {code}"
        else:
            self._happen(Connected())

    def _on_disconnect(
        self, client: paho.Client, _: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        # Under TLS 1.3 a certificate that the broker refuses shows here only, as a lost connection.
        self._reason = self._reason or f"disconnected: {code}"
        self._taken_over = code.value == SESSION_TAKEN_OVER

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        size = len(message.payload)
        with self._lock:
            long = size if size >= LONG_BYTES else 0
            crowded = long > 0 and self._long_bytes + long > LONG_WAITING_BYTES
            full = crowded or self._received >= RECEIVED_LIMIT
            self.dropped += full
            self._received += not full
            self._long_bytes += 0 if full else long
        if not full:
            try:
                self._happen(Received(message.topic, bytes(message.payload), message.retain))
            except UnicodeDecodeError:
                self.dropped += 1

    def _on_publish(self, client: paho.Client, _: Any, mid: int, code: ReasonCode, properties: Any) -> None:
        self._happen(Acknowledged(mid, str(code) if code.is_failure else None))

    def _happen(self, told: Told) -> None:
        with self._lock:
            self._happened.append(told)
            if self._scheduled:
                return
            self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._hand_over)
        except RuntimeError:
            # The loop is closed: nobody is left to hear it.
            pass

    def _hand_over(self) -> None:
        with self._lock:
            happened, self._happened = self._happened, deque()
            self._scheduled = False
            self._received = self._long_bytes = 0
        for told in happened:
            if isinstance(told, Ended):
                self.ended.set()
            self._tell(told)


class _ClosedSocket(ssl.SSLSocket):
    """A socket that is closed when its handshake fails: paho forgets such a one as it is."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _limits() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's only gap
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    properties.SessionExpiryInterval = 0
    return properties


def _send_at_once(client: paho.Client, _: Any, connection: Any) -> None:
    """Small packets must not wait for the answers to earlier ones: 40 ms each with Nagle's algorithm."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_to_thread(*_: object) -> None:
    pass
