"""A gateway's sending side, as small as it can be: keeps every message until it is acknowledged."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from common import topics
from common.codec import Table
from common.messages import Ack, Envelope, Kind, Status, decode, encode, encode_measurement
from common.tls import client_context
from common.topics import Channel

START = 1_700_000_000.0


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.02)


def links_table(t: float, rows: int = 5, pdr: float = 0.9) -> Table:
    """`rows` links from node 1 to nodes 2, 3 …, measured at `t`."""
    return {
        "t": array("d", [t] * rows),
        "transmitter": array("H", [1] * rows),
        "receiver": array("H", range(2, rows + 2)),
        "pdr": array("f", [pdr] * rows),
    }


def measurement(
    sequence: int, gateway: str = "gw-1", site: str = "office", epoch: int = 7, rows: int = 5
) -> Envelope:
    """A links message whose time stamps follow its sequence."""
    t = START + sequence
    body = encode_measurement(Kind.LINKS, links_table(t, rows))
    return envelope(sequence, Kind.LINKS.value, body, gateway, site, epoch)


def envelope(
    sequence: int, kind: str, body: bytes, gateway: str = "gw-1", site: str = "office", epoch: int = 7
) -> Envelope:
    return Envelope(
        site=site,
        gateway=gateway,
        epoch=epoch,
        sequence=sequence,
        time=START + sequence,
        kind=kind,
        body=body,
    )


class Sender:
    """`with Sender(...) as sender:` is connected inside; `identity` is the folder that enrolment wrote."""

    def __init__(self, port: int, identity: Path, gateway: str = "gw-1", site: str = "office") -> None:
        self.gateway, self.site = gateway, site
        self.acks: list[Ack] = []
        self._ready = threading.Event()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=gateway, protocol=mqtt.MQTTv5, reconnect_on_failure=True
        )
        self._client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]
        context = client_context(identity / "ca.crt", identity / "gateway.crt", identity / "gateway.key")
        self._client.tls_set_context(context)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _, __, message: self.acks.append(decode(Ack, bytes(message.payload)))
        self._port = port

    def __enter__(self) -> Sender:
        self._client.connect("127.0.0.1", self._port, keepalive=10, clean_start=True)
        self._client.loop_start()
        assert self._ready.wait(20), "the broker did not grant the subscription"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, *envelopes: Envelope) -> None:
        for one in envelopes:
            self.send_raw(encode(one))

    def send_raw(self, payload: bytes) -> None:
        self._client.publish(topics.up(self.site, self.gateway), payload, qos=1)

    def tell(self, status: Status) -> None:
        topic = topics.of(self.site, self.gateway, Channel.STATUS)
        self._client.publish(topic, encode(status), qos=1, retain=True)

    def acknowledged(self, epoch: int = 7) -> int:
        """The highest sequence acknowledged so far."""
        return max((a.sequence for a in self.acks if a.epoch == epoch), default=0)

    def deliver(self, envelopes: list[Envelope], window: int = 500, seconds: float = 120.0) -> None:
        """Send all, repeating what stays unacknowledged, until everything is acknowledged."""
        deadline = time.monotonic() + seconds
        repeat_at, sent, known = 0.0, 0, 0
        while (done := self.acknowledged()) < len(envelopes):
            now = time.monotonic()
            assert now < deadline, f"acknowledged {done} of {len(envelopes)}"
            if done > known or now >= repeat_at:
                sent = max(sent, done) if done > known else done
                known, repeat_at = done, now + 1.0
            batch = envelopes[sent : done + window]
            self.send(*batch)
            sent += len(batch)
            time.sleep(0.01)

    def _on_connect(
        self,
        client: mqtt.Client,
        _: object,
        flags: mqtt.ConnectFlags,
        code: ReasonCode,
        __: Properties | None,
    ) -> None:
        if not code.is_failure:
            client.subscribe(topics.of(self.site, self.gateway, Channel.ACK), qos=1)
