"""A coordinator reduced to its duty: stores envelopes in memory, drops duplicates, acknowledges what is
contiguous. Connects with the coordinator's certificate and comes back by itself.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from common import tls, topics
from common.messages import Ack, Envelope, Status, decode, decode_envelope, encode
from common.topics import Channel


class Consumer:
    """`stored` maps (epoch, sequence) to the envelope; `conflicts` counts duplicates with other contents."""

    def __init__(self, state: Path, port: int) -> None:
        self.stored: dict[tuple[int, int], Envelope] = {}
        self.statuses: list[Status] = []
        self.duplicates = 0
        self.conflicts = 0
        self._contiguous: dict[int, int] = {}
        self._connected = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="coordinator", protocol=MQTTProtocolVersion.MQTTv5
        )
        pki = state / "pki"
        self._client.tls_set_context(
            tls.client_context(pki / "ca.crt", pki / "coordinator.crt", pki / "coordinator.key")
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._connected.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        assert self._connected.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1)

    def has_stored(self, count: int) -> bool:
        return len(self.stored) >= count

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe([("mt/1/+/+/up/+", 1), ("mt/1/+/+/status", 1)])

    def _on_message(self, client: paho.Client, _: Any, message: paho.MQTTMessage) -> None:
        topic = topics.parse(message.topic)
        if topic.channel is Channel.STATUS:
            self.statuses.append(decode(Status, bytes(message.payload)))
            return
        envelope = decode_envelope(bytes(message.payload), topic)
        key = (envelope.epoch, envelope.sequence)
        if key in self.stored:
            self.duplicates += 1
            self.conflicts += self.stored[key] != envelope
        else:
            self.stored[key] = envelope
        self._acknowledge(envelope)

    def _acknowledge(self, envelope: Envelope) -> None:
        last = self._contiguous.get(envelope.epoch, 0)
        while (envelope.epoch, last + 1) in self.stored:
            last += 1
        self._contiguous[envelope.epoch] = last
        ack = encode(Ack(epoch=envelope.epoch, sequence=last))
        self._client.publish(topics.of(envelope.site, envelope.gateway, Channel.ACK), ack, qos=1)
