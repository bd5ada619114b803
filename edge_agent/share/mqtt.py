"""The gateway's line to the broker: sends the outbox, publishes the status, and hears the coordinator and
the peers.

One coroutine owns each connection from attempt to end; a broken one is thrown away whole. The outbox is
sent in order, a bounded window ahead of what the coordinator has stored; the broker's own acknowledgement
only measures the uplink. Decides nothing about the mesh.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from common import topics
from common.clock import Clock
from common.errors import Unavailable
from common.logs import get_logger
from common.messages import Ack, Envelope, Status, encode
from common.topics import Channel
from edge_agent.observe.uplink import UplinkMeter
from edge_agent.share.change import Change
from edge_agent.share.ends import Complaints, Cut, Refused
from edge_agent.share.incoming import Incoming
from edge_agent.share.outbox import Outbox
from edge_agent.share.outbox_rows import Entry
from edge_agent.share.post import Post
from edge_agent.share.retries import Retries
from edge_agent.share.session import Acknowledged, Connected, Ended, Endpoint, Received, Session, Told
from edge_agent.share.window import Window

# On their way to the broker at once, in publications and bytes: small, so that a status is never far behind.
IN_FLIGHT: Final = 32
IN_FLIGHT_BYTES: Final = 256 * 1024
CONNECT_PATIENCE_S: Final = 12.0
SILENCE_S: Final = 8.0
# Without an answer for this many status periods the peers cannot be heard either, well before their leases
# end: a gateway that still believed in the broker would then take itself for the only one.
SILENT_PERIODS: Final = 1.5
GOODBYE_S: Final = 1.0

_log = get_logger(__name__)


class BrokerLine:
    """Run `run()` in the supervisor; it returns only when cancelled, and then says goodbye.

    `statuses` and `instructions` hold what came in (bounded, the oldest goes first). `status` is asked for
    this gateway's own status each period. `rejected` counts hostile input by reason. `unwelcome` while the
    broker refuses that status, over connections too: it then hands out no peers' statuses either.
    `complaints` know why there is no connection.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        site: str,
        outbox: Outbox,
        status: Callable[[], Status],
        status_period_s: float,
        clock: Clock,
        meter: UplinkMeter,
        jitter: random.Random,
        tier: Literal["gateway", "mec"] = "gateway",
    ) -> None:
        self._endpoint = endpoint
        self._site, self._gateway = site, endpoint.client_id
        self._outbox = outbox
        self._status = status
        self._period = status_period_s
        self._clock = clock
        self._meter = meter
        self._jitter = jitter
        self._tier = tier
        self._window = Window()
        self._epoch = outbox.epoch
        self._wake = asyncio.Event()
        self._told: deque[Told] = deque()
        self.complaints = Complaints(clock, _log)
        self._incoming = Incoming(site, endpoint.client_id, self._take_ack)
        self.statuses = self._incoming.statuses
        self.instructions = self._incoming.instructions
        self.letters = self._incoming.letters
        self.post = Post()
        """Letters to peers: put them here, and read `letters` for what peers wrote."""
        self.post.wake = self._wake.set
        self.rejected = self._incoming.rejected
        self.refused = 0
        self.connected = False
        self._status_wanted = False
        self.unwelcome = False
        self._statuses: set[int] = set()
        self._change = Change(SILENT_PERIODS * status_period_s)
        self._attached_at = self._connected_at = 0.0
        outbox.notify(self._wake.set)

    @property
    def attached_s(self) -> float | None:
        """For how long the broker has answered without a break; None when it does not, or refuses us."""
        now = self._clock.monotonic()
        if not self.connected or self.unwelcome or self._is_silent(now) or self._change.is_late(now):
            return None
        return now - self._attached_at

    def publish_soon(self) -> None:
        """Publish the status at once: peers should know of a change before anything else happens."""
        self._status_wanted = True
        self._wake.set()

    def use(self, endpoint: Endpoint) -> None:
        """Connect by `endpoint` from the next connection on, and change to it at the next moment at which
        nothing is on its way."""
        self._change.ask(endpoint, self._clock.monotonic())
        self._wake.set()

    async def run(self) -> None:
        """Connect, serve the connection, and begin anew with growing pauses; until cancelled."""
        retries = Retries()
        while True:
            try:
                await self._attempt()
                # Only for another identity does it end without an error: at once, then.
                self._change.left(self._clock.monotonic())
                continue
            except Cut as cut:
                pause = retries.after_cut(self._clock.monotonic() - self._connected_at, cut.taken_over)
                self.complaints.tell_end(cut, retries.contested)
            except Unavailable as error:
                pause = retries.after_failure(self.connected)
                self.complaints.tell_end(error, contested=False)
            self.connected = False
            self._change.failed()
            await self._clock.sleep(pause * self._jitter.uniform(0.7, 1.3))

    async def _attempt(self) -> None:
        """One connection, from attempt to end. Raises Unavailable with the reason of the end; returns when
        another identity is to be used."""
        self._told.clear()
        self._statuses.clear()
        self._endpoint = self._change.take(self._endpoint)
        session = Session(self._endpoint, self._will(), self._on_told, asyncio.get_running_loop())
        session.start()
        try:
            await self._await_connected()
            await self._serve(session)
            # A proper end: the broker publishes no will, and peers notice nothing.
            await session.close(GOODBYE_S)
            with suppress(Cut):
                self._hear()
        except asyncio.CancelledError:
            await self._say_goodbye(session)
            raise
        finally:
            self._meter.disconnected()
            self.post.disconnected()
            await session.abort()

    async def _await_connected(self) -> None:
        deadline = self._clock.monotonic() + CONNECT_PATIENCE_S
        while (left := deadline - self._clock.monotonic()) > 0:
            await self._wait(left)
            while self._told:
                match self._told.popleft():
                    case Connected():
                        return
                    case Ended() as ended:
                        raise Refused(ended)
                    case _:
                        pass
        raise Unavailable("no answer to the connection attempt")

    async def _serve(self, session: Session) -> None:
        now = self._clock.monotonic()
        if not self._change.arrived(now):
            self._attached_at = now
        self.connected, self._connected_at, self.complaints.reason = True, now, ""
        self._meter.connected(now)
        self._window.begin(self._outbox.acked, now)
        session.subscribe(self._incoming.topics())
        _log.info("broker-connected", host=self._endpoint.host, queued=self._outbox.queued)
        status_due = now
        while True:
            self._hear()
            now = self._clock.monotonic()
            if self._change.is_due(self._is_quiet(), now):
                return
            if now >= status_due or self._status_wanted:
                self._status_wanted = False
                self._publish_status(session)
                status_due = now + self._period
            self._send_outbox(session, now)
            self._send_post(session, now)
            if self._meter.silent_for(now) > SILENCE_S:
                raise Unavailable(f"the broker has not answered for {SILENCE_S:.0f} s")
            due = self._window.overdue_at(self._outbox.acked) or status_due
            await self._wait(max(0.0, min(status_due, due) - now))

    async def _wait(self, seconds: float) -> None:
        """Until something happens or `seconds` are over."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _say_goodbye(self, session: Session) -> None:
        """Tell the others that this gateway leaves on purpose, as far as there is time."""
        if not self.connected:
            return
        gone = self._status().model_copy(update={"online": False, "acting": False})
        mid = session.publish(self._own(Channel.STATUS), encode(gone), retain=True)
        deadline = self._clock.monotonic() + GOODBYE_S
        while (left := deadline - self._clock.monotonic()) > 0 and not self._is_answered(mid):
            await self._wait(left)
        await session.close(GOODBYE_S)

    def _is_answered(self, mid: int | None) -> bool:
        return any(isinstance(told, Ended) or told == Acknowledged(mid or 0) for told in self._told)

    def _on_told(self, told: Told) -> None:
        self._told.append(told)
        self._wake.set()

    def _hear(self) -> None:
        """Take in what happened. Raises Unavailable at the connection's end."""
        while self._told:
            now = self._clock.monotonic()
            if self._is_silent(now):
                self._attached_at = now
            match self._told.popleft():
                case Acknowledged(mid, refused):
                    self._meter.acknowledged(mid, now)
                    self.post.acknowledged(mid, refused)
                    self._learn_welcome(mid, refused, now)
                    if refused is not None:
                        self.refused += 1
                        if not self.unwelcome:
                            self.complaints.tell("broker-refused-publication", reason=refused)
                case Received(topic, payload, retained):
                    self._meter.heard(now)
                    if (error := self._incoming.take(topic, payload, retained, now)) is not None:
                        self.complaints.tell("message-rejected", reason=error, topic=topic[:120])
                case Ended() as ended:
                    raise Cut(ended)
                case Connected():
                    pass

    def _learn_welcome(self, mid: int, refused: str | None, now: float) -> None:
        """Whether the broker takes this gateway's status: if not, it has no rights on the site's topics."""
        if mid not in self._statuses:
            return
        self._statuses.discard(mid)
        if refused is not None and not self.unwelcome:
            _log.warning("broker-refuses-this-gateway", reason=refused, fix="revoked? enrol it again")
        elif refused is None and self.unwelcome:
            self._attached_at = now
            _log.info("broker-accepts-this-gateway")
        self.unwelcome = refused is not None

    def _is_quiet(self) -> bool:
        """Whether nothing is on its way to the broker or to the coordinator."""
        return not self._meter.outstanding and self._window.sent_to <= self._outbox.acked

    def _is_silent(self, now: float) -> bool:
        return self._meter.silent_for(now) > SILENT_PERIODS * self._period

    def _take_ack(self, ack: Ack, now: float) -> None:
        if self._outbox.acknowledge(ack.epoch, ack.sequence):
            self._window.progressed(self._outbox.acked, now)

    def _send_outbox(self, session: Session, now: float) -> None:
        outbox, window = self._outbox, self._window
        if outbox.epoch != self._epoch:
            self._epoch = outbox.epoch
            window.begin(outbox.acked, now)
        if window.rewind_if_overdue(outbox.acked, now) and window.is_patient:
            self.complaints.tell("coordinator-silent", unacknowledged=outbox.queued)
        while (room := min(window.room(outbox.acked), IN_FLIGHT - self._meter.outstanding)) > 0:
            entries = outbox.pending(window.sent_to, room)
            if not entries or not self._send(session, entries, now):
                return

    def _send(self, session: Session, entries: list[Entry], now: float) -> bool:
        """Send in order until the bytes on their way are enough; whether all went."""
        for entry in entries:
            if self._meter.outstanding_bytes > IN_FLIGHT_BYTES:
                return False
            payload = self._envelope(entry)
            mid = session.publish(topics.up(self._site, self._gateway), payload)
            if mid is None:
                return False
            self._meter.sent(mid, len(payload), now)
            self._window.sent(entry.sequence, self._outbox.acked, now)
        return True

    def _send_post(self, session: Session, now: float) -> None:
        """Letters last: what heals and what is durable has gone before."""
        while (letter := self.post.next()) is not None:
            mid = session.publish(letter.topic, letter.payload)
            if mid is None:
                return
            self.post.sent(mid, letter)
            self._meter.sent(mid, len(letter.payload), now)

    def _envelope(self, entry: Entry) -> bytes:
        return encode(
            Envelope(
                site=self._site,
                gateway=self._gateway,
                epoch=self._outbox.epoch,
                sequence=entry.sequence,
                time=entry.time,
                kind=entry.kind,
                body=entry.body,
            )
        )

    def _publish_status(self, session: Session) -> None:
        payload = encode(self._status())
        mid = session.publish(self._own(Channel.STATUS), payload, retain=True)
        if mid is not None:
            self._statuses.add(mid)
            self._meter.sent(mid, len(payload), self._clock.monotonic())

    def _will(self) -> tuple[str, bytes]:
        gone = Status(
            site=self._site,
            gateway=self._gateway,
            time=self._clock.wall(),
            online=False,
            period_s=self._period,
            tier=self._tier,
        )
        return self._own(Channel.STATUS), encode(gone)

    def _own(self, channel: Channel) -> str:
        return topics.of(self._site, self._gateway, channel)
