"""Many gateways' streams out of one process, as fast as they are acknowledged, or at a rate.

    python -m tools.stage.publisher PORT GATEWAYS_FOLDER SECONDS RATE SITE=GATEWAY…

Each gateway keeps to what an agent keeps to: so many envelopes beyond the last acknowledged one, so many
packets without PUBACK. Nothing is repeated. Standard output takes the `stream.Report`, packed.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from common import topics
from common.errors import Corrupt, TimedOut, Unavailable
from common.messages import Ack, decode
from common.tls import client_context
from common.topics import Channel
from edge_agent.share.mqtt import IN_FLIGHT
from edge_agent.share.window import FULL
from tools.stage import packets, stream
from tools.stage.stream import Account

HOST: Final = "127.0.0.1"
CONNECT_S: Final = 10.0
DRAIN_S: Final = 30.0
"""How long to wait for the last acknowledgements."""

WINDOW_S: Final = 1e-4
"""Between the five windows of a message. All of them end when it is published: `now - t` is its age."""

_KEEPALIVE_S: Final = 600
_READ: Final = 16_384
_IDLE_S: Final = 0.005
_PACKET_IDS: Final = 60_000


class Line:
    """One gateway's connection. Raises Unavailable when the broker refuses or hangs up."""

    def __init__(self, port: int, identity: Path, site: str, gateway: str) -> None:
        self.account = Account(gateway)
        self._site, self._gateway = site, gateway
        self._topic = packets.topic_bytes(topics.up(site, gateway))
        context = client_context(identity / "ca.crt", identity / "gateway.crt", identity / "gateway.key")
        raw = socket.create_connection((HOST, port), CONNECT_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(raw, server_hostname=HOST)
        self._in, self._out = bytearray(), bytearray()
        self._on_way = 0
        self._ready = False
        self._out += packets.connect(gateway, _KEEPALIVE_S)
        self._out += packets.subscribe(topics.of(site, gateway, Channel.ACK))

    @property
    def ready(self) -> bool:
        """Whether the subscription stands."""
        return self._ready

    @property
    def waiting(self) -> int:
        """Messages that are not acknowledged as stored."""
        return len(self.account.digests) - self.account.acked

    def room(self) -> int:
        """How many messages may be sent now."""
        return min(FULL - self.waiting, IN_FLIGHT - self._on_way)

    def send(self, count: int) -> None:
        """Make and send so many messages."""
        for _ in range(count):
            now, sequence = time.time(), len(self.account.digests) + 1
            body = stream.measurement(now, WINDOW_S)
            self.account.digests.append(stream.digest(body))
            payload = stream.envelope(self._site, self._gateway, sequence, now, body)
            self._out += packets.publish(self._topic, sequence % _PACKET_IDS + 1, payload)
        self._on_way += count
        self.write()

    def write(self) -> None:
        """Write what the socket takes."""
        try:
            while self._out:
                # OpenSSL wants to be given the same bytes again after a refusal; they stay in front.
                sent = self.socket.send(self._out[:_READ])
                del self._out[:sent]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            raise Unavailable(f"{self._gateway}: {error}") from error

    def read(self) -> None:
        """Read what there is."""
        try:
            while data := self.socket.recv(_READ):
                self._in += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            raise Unavailable(f"{self._gateway}: {error}") from error
        else:
            raise Unavailable(f"{self._gateway}: the broker hung up")
        for kind, rest in packets.split(self._in):
            self._take(kind, rest)

    def _take(self, kind: int, rest: bytes) -> None:
        if kind == packets.PUBLISH:
            self.account.acked = max(self.account.acked, decode(Ack, packets.payload_of(rest)).sequence)
            return
        if kind not in (packets.CONNACK, packets.SUBACK, packets.PUBACK) or packets.failed(kind, rest):
            raise Corrupt(f"{self._gateway}: packet {kind} {rest.hex()}")
        self._ready = self._ready or kind == packets.SUBACK
        self._on_way -= kind == packets.PUBACK


def publish(lines: Sequence[Line], seconds: float, rate: float) -> float:
    """Send for `seconds`, `rate` messages a second in all (0: no limit), then wait for acknowledgements.

    Seconds from the first message on. Raises TimedOut when a subscription is not granted.
    """
    with selectors.DefaultSelector() as selector:
        for line in lines:
            line.socket.setblocking(False)
            selector.register(line.socket, selectors.EVENT_READ, line)
        _until_ready(lines, selector)
        begun, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - begun) < seconds:
            sent += _send(lines, int(rate * elapsed) - sent if rate else sys.maxsize)
            _turn(lines, selector)
        while any(line.waiting for line in lines) and time.monotonic() - begun < seconds + DRAIN_S:
            _turn(lines, selector)
        return time.monotonic() - begun


def _send(lines: Sequence[Line], allowed: int) -> int:
    """Send what windows and the rate allow, an equal share each; how many."""
    share = -(-allowed // len(lines))
    counts = [max(0, min(line.room(), share)) for line in lines]
    for line, count in zip(lines, counts, strict=True):
        if count:
            line.send(count)
    return sum(counts)


def _until_ready(lines: Sequence[Line], selector: selectors.BaseSelector) -> None:
    deadline = time.monotonic() + CONNECT_S
    while not all(line.ready for line in lines):
        if time.monotonic() > deadline:
            raise TimedOut("the broker does not grant every subscription")
        _turn(lines, selector)


def _turn(lines: Sequence[Line], selector: selectors.BaseSelector) -> None:
    for line in lines:
        line.write()
    for key, _ in selector.select(_IDLE_S):
        key.data.read()


def main(arguments: Sequence[str]) -> int:
    """See the module's docstring."""
    port, folder, seconds, rate, *gateways = arguments
    pairs = [pair.split("=") for pair in gateways]
    lines = [Line(int(port), Path(folder) / gateway, site, gateway) for site, gateway in pairs]
    elapsed = publish(lines, float(seconds), float(rate))
    sys.stdout.buffer.write(stream.Report(elapsed, [line.account for line in lines]).packed())
    for line in lines:
        line.socket.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
