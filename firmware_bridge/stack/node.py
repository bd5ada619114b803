"""A whole mesh node without any I/O: network PDUs and beacons in, messages out, and the other way round.

Its holder calls `receive`, `beacon`, `send` and `poll`, transmits what `outgoing` gives, and calls `poll`
again at `next_time`. The node does not relay: it sits behind a proxy, or at the end of the air.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from common.errors import Rejected, RejectReason
from firmware_bridge.stack import beacons, control
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.events import IvIndexChanged, Received
from firmware_bridge.stack.inbound import Acknowledged, Inbound
from firmware_bridge.stack.iv_index import Change, IvState
from firmware_bridge.stack.key_refresh import Phase
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.keys import NetworkKey
from firmware_bridge.stack.outbound import Message, Outbound, Sent
from firmware_bridge.stack.reassembly import Reassembler
from firmware_bridge.stack.replay import ReplayList
from firmware_bridge.stack.sar import SarReceiver, SarTransmitter
from firmware_bridge.stack.sending import Outcome
from firmware_bridge.stack.sequence import SequenceNumbers

PRIMARY: Final = 0
"""Index of the primary subnet's network key (4.2.2)."""

USUAL_TRANSMITTER: Final = SarTransmitter()
USUAL_RECEIVER: Final = SarReceiver()


class Heard(NamedTuple):
    """An authentic beacon (3.10.3, 3.10.4): whose it is, and what it says."""

    net_index: int
    key: NetworkKey
    said: NetworkBeacon


class StackNode:
    """One node with the primary element `address` (3.4 to 3.6).

    `save(state, limit)` makes the IV index state and the sequence numbers' limit durable, together, before it
    returns; `sequence` is the limit that an earlier run saved last. `groups` are group addresses listened to,
    besides all-nodes and the virtual addresses of the keyring's labels. `refused` counts, by reason, what was
    sent under our keys and still was wrong. `ignored_beacons` counts the authentic ones whose IV index is not
    believed, below ours or above, by the sign of the difference.
    """

    def __init__(
        self,
        address: int,
        keyring: Keyring,
        iv: IvState,
        sequence: int,
        save: Callable[[IvState, int], None],
        *,
        groups: Collection[int] = (),
        default_ttl: int = 7,
        transmitter: SarTransmitter = USUAL_TRANSMITTER,
        receiver: SarReceiver = USUAL_RECEIVER,
    ) -> None:
        self.address = address
        self.keyring = keyring
        self.iv = iv
        self.groups = set(groups)
        self.default_ttl = default_ttl
        self.replay = ReplayList()
        self.refused: Counter[RejectReason] = Counter()
        self.ignored_beacons: Counter[int] = Counter()
        self.sequence = SequenceNumbers(sequence, lambda limit: save(self.iv, limit))
        self.reassembler = Reassembler(receiver)
        self._save = save
        self._inbound = Inbound(address, keyring, self.groups, self.replay, self.reassembler)
        self._outbound = Outbound(address, keyring, self.sequence, lambda: self.iv.transmit, transmitter)

    def send(
        self,
        destination: int,
        payload: bytes,
        now: float,
        *,
        application: int | None = None,
        device: int | None = None,
        net_index: int = 0,
        ttl: int | None = None,
        long_mic: bool = False,
        segmented: bool = False,
        label: bytes | None = None,
    ) -> Sent:
        """Send an access payload under an application key (by index) or the device key of node `device`
        (3.6.4.1).

        Long payloads go in segments, one message to a destination at a time; `segmented` asks for segments
        (and so for acknowledgement) even where none are needed. Raises Rejected (OVERSIZED, OUT_OF_RANGE,
        INVALID: a Label UUID that does not fit), Misconfigured (no such key), Unavailable (no sequence
        numbers left, too many messages waiting), ValueError for none or both of `application` and `device`.
        """
        if (application is None) == (device is None):
            raise ValueError("a message needs an application key or a device key, and not both")
        hops = self.default_ttl if ttl is None else ttl
        if application is not None:
            key = self.keyring.application(application)
            message = Message(destination, payload, key, key.aid, key.net_index, hops, long_mic, label)
        else:
            assert device is not None  # by the check above
            owner = self.keyring.device(device)
            message = Message(destination, payload, owner, None, net_index, hops, long_mic, label)
        return self._outbound.send(message, segmented, now)

    def send_control(self, destination: int, message: control.Message, ttl: int, net_index: int = 0) -> None:
        """Send a control message, such as a heartbeat (3.6.5). Raises as `send` does."""
        self._outbound.send_control(destination, message, ttl, net_index)

    def outgoing(self) -> list[bytes]:
        """The network PDUs to transmit now, in order (3.4.4); each is given once."""
        return self._outbound.outgoing()

    def outcomes(self) -> list[tuple[Sent, Outcome]]:
        """How segmented messages ended since the last call, by the handles that `send` gave (3.5.3.3)."""
        return self._outbound.outcomes()

    def poll(self, now: float) -> None:
        """Let everything happen that is due (3.5.3): segments, their repetition, and acknowledgements. Raises
        Unavailable (no sequence numbers left), and nothing else of its own."""
        for answer in self.reassembler.poll(now):
            self._outbound.answer(answer, self.default_ttl)
        self._outbound.poll(now)

    def next_time(self) -> float | None:
        """When `poll` has something to do next (3.5.3)."""
        times = (self._outbound.next_time(), self.reassembler.next_time())
        return min((t for t in times if t is not None), default=None)

    def receive(self, data: bytes, now: float) -> list[Received]:
        """What a network PDU brings (3.4.6.3): usually nothing, or one message. Hostile bytes are counted,
        no more."""
        try:
            taken = self._inbound.take(data, self.iv.index, now)
        except Rejected as error:
            self.refused[error.reason] += 1
            return []
        if isinstance(taken, Acknowledged):
            self._outbound.acknowledged(taken.source, taken.ack, now)
            return []
        return [] if taken is None else [taken]

    @property
    def left_out(self) -> int:
        """PDUs that were not kept, because nobody took `outgoing` for too long."""
        return self._outbound.left_out

    def authentic(self, data: bytes) -> Heard | None:
        """Whose beacon this is among our subnets (3.10.3, 3.10.4); None for anybody else's."""
        try:
            for index, subnet in self.keyring.subnets.items():
                for key in subnet.beacon_keys:
                    if (said := beacons.parse(data, key)) is not None:
                        return Heard(index, key, said)
        except Rejected as error:
            self.refused[error.reason] += 1
        return None

    def beacon(self, data: bytes, wall: float) -> list[Received]:
        """Follow an authentic beacon's IV index and key refresh state (3.10, 3.11.4 to 3.11.6). `wall` is
        Unix time: procedures last days. Raises what `save` raises, with nothing changed."""
        heard = self.authentic(data)
        return [] if heard is None else self.follow(heard, wall)

    def follow(self, heard: Heard, wall: float) -> list[Received]:
        """Like `beacon`, for one that `authentic` gave (3.10, 3.11.4 to 3.11.6)."""
        # First what must be on disk: when that fails, nothing has changed.
        events = self._follow(heard.said, heard.net_index, wall)
        subnet = self.keyring.subnets[heard.net_index]
        self.keyring.subnets[heard.net_index] = subnet.heard(heard.key, heard.said.key_refresh)
        return events

    def own_beacon(self, net_index: int = 0) -> bytes:
        """The secure network beacon of what this node knows (3.10.3), to tell of an update that it began.

        Raises Misconfigured (no such network key).
        """
        key = self.keyring.transmit_key(net_index)
        refresh = self.keyring.subnets[net_index].phase is Phase.SWITCHED
        return beacons.build_secure(NetworkBeacon(self.iv.index, self.iv.updating, refresh), key)

    def begin_iv_update(self, wall: float) -> list[Received]:
        """Begin an IV update, as `sequence.wants_update` asks for; nothing while it may not (3.11.5). The
        network follows beacons: send `own_beacon` every 10 seconds or so."""
        state = self.iv.begin_update(wall)
        return [] if state is None else self._change(state, Change.UPDATE_BEGAN)

    def end_iv_update(self, wall: float) -> list[Received]:
        """End an IV update that nobody's beacon ended; nothing while it may not, or while segmented messages
        are under way (3.11.5)."""
        state = self.iv.end_update(wall)
        return [] if state is None or self._outbound.busy else self._change(state, Change.UPDATE_ENDED)

    def _follow(self, said: NetworkBeacon, net_index: int, wall: float) -> list[Received]:
        secondary = net_index != PRIMARY and PRIMARY in self.keyring.subnets
        if secondary and (not self.iv.known or said.iv_index > self.iv.index):
            # Whoever holds a secondary key alone must not move the whole network on (3.11.5).
            return self._ignore(said)
        state, change = self.iv.heard(said.iv_index, said.iv_update, wall)
        if change is Change.NONE and said.iv_index != self.iv.index:
            return self._ignore(said)
        # Segments under way keep their IV index (3.11.5): the change waits for a later beacon.
        if change is Change.NONE or (change is Change.UPDATE_ENDED and self._outbound.busy):
            return []
        return self._change(state, change)

    def _ignore(self, said: NetworkBeacon) -> list[Received]:
        self.ignored_beacons[1 if said.iv_index > self.iv.index else -1] += 1
        return []

    def _change(self, state: IvState, change: Change) -> list[Received]:
        # Numbers that were used under an assumed index may lie above those of another state of this address.
        if state.transmit != self.iv.transmit and change is not Change.LEARNED:
            # On disk before it is used: the other way round, a crash would use numbers twice.
            self._save(state, 0)
            self._outbound.abandon()
            self.sequence.restart()
        else:
            self._save(state, self.sequence.limit)
        self.iv = state
        self.replay.forget_before(state.index)
        return [IvIndexChanged(state.index, change)]
