"""The air of a simulated site: the event simulator, fed with what nodes send, and what becomes of it.

Here links become signals and messages become numbers; what a message means is the site's. The simulator, and
numba with it, is loaded when the first site is made: 150 MB, and a compilation of up to a minute at the very
first time on a machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from common.mesh.addresses import ALL_NODES
from common.mesh.configuration import Transmit
from common.scenario import NO_SIGNAL_DB, NetworkConfiguration, Node, Radio, Scenario
from firmware_bridge.virtual.node import VirtualNode
from firmware_bridge.virtual.radio import LinkKey, Links, threshold_dbm
from firmware_bridge.virtual.reception import Signal, signal_for

if TYPE_CHECKING:
    from common.radio.live import LiveRadio

TRANSMITTED_DBM: Final = 20.0
"""What every node sends with, here: attenuations are not negative. Differences are in the links."""

HARDWARE: Final = NetworkConfiguration(relay_sets=4, message_cache=256)
"""What simulated nodes are made of, unless a scenario says it. With a cache of 32 messages, which some stacks
have, a site of 60 that was once overloaded stays so: late copies of forgotten messages are relayed again."""

ANSWERED_STEP_S: Final = 0.015
"""While a message is under way to somebody who may answer, time passes in such steps. An answer takes
longer: by as much at least as the simulator needs to judge a packet."""

URGENT_STEP_S: Final = 0.01
"""So late may gateways get what is urgent for them."""

FLOOD_S: Final = 1.0
PUBLISHED_S: Final = 0.3
"""So long a message is waited for. One that comes later is heard too, and answered a little late."""

UNDER_WAY_S: Final = 5.0
"""And after so long it does not come any more."""

PUBLISH_WITHIN_MS: Final = 100
"""All transmissions of a publication are on air within this time, and at most 50 ms apart."""


class Heard(NamedTuple):
    """A node received a message for the first time, at site time `t`."""

    node: int
    t: float
    hops: int
    level_dbm: float


Take: TypeAlias = Callable[[Heard], None]


@dataclass(slots=True)
class _UnderWay:
    """A message: who takes it, and how many of those who are waited for still miss it."""

    take: Take
    missing: int


class _Waiting:
    """Messages that somebody waits for, with the time after which nobody does."""

    def __init__(self) -> None:
        self._until: dict[int, float] = {}

    def add(self, number: int, until: float) -> None:
        self._until[number] = until

    def came(self, number: int) -> None:
        self._until.pop(number, None)

    def any(self, now: float) -> bool:
        while self._until:
            number = next(iter(self._until))
            if self._until[number] > now:
                return True
            del self._until[number]
        return False


class Air:
    """The radio between `nodes`. `faint` are margins (dB) of pairs that only disturb each other."""

    def __init__(
        self,
        nodes: Mapping[int, VirtualNode],
        links: Links,
        faint: Mapping[LinkKey, float],
        noise_figure_db: float,
        hardware: NetworkConfiguration,
        seed: int,
    ) -> None:
        from common.radio.live import LiveRadio

        self._nodes, self._links = nodes, links
        self._noise_figure_db = noise_figure_db
        self._threshold_dbm = threshold_dbm(noise_figure_db)
        signals = {(a, b): self._signal(a, b) for a, b, _ in links}
        self._at_first = {key: self._threshold_dbm + margin for key, margin in faint.items()}
        self._at_first |= {key: signal.level_dbm for key, signal in signals.items()}
        scenario = _scenario(nodes, self._at_first, noise_figure_db, hardware)
        self._radio: LiveRadio = LiveRadio(scenario, seed=seed)
        for key, signal in signals.items():
            self._radio.erase(*key, signal.erased)
        for key in faint:
            self._radio.erase(*key, 1.0)
        self._under_way: dict[int, _UnderWay] = {}
        self._by_age: deque[tuple[float, int]] = deque()
        self._answered, self._awaited = _Waiting(), _Waiting()
        for node in nodes.values():
            node.changed = self._configure
            self._configure(node.address)
        links.changed = self._tune

    @property
    def now(self) -> float:
        """Site time up to which it has been played."""
        return self._radio.now_s

    def group(self, address: int, members: Iterable[int]) -> None:
        """Who takes messages to a group from now on."""
        self._radio.group(address, members)

    def flood(
        self, sender: VirtualNode, destination: int, size: int, take: Take, waiting: int, answered: bool
    ) -> None:
        """Send an access message of `size` bytes now. `take` gets each node of the destination that it
        reaches. `waiting` of them are waited for; they may answer if `answered`."""
        number = self._radio.send(sender.address, destination, size, sender.default_ttl)
        self._begin(number, _UnderWay(take, waiting), self.now)
        if waiting:
            (self._answered if answered else self._awaited).add(number, self.now + FLOOD_S)

    def publish(self, sender: VirtualNode, size: int, take: Take, at: float, to: int | None = None) -> None:
        """Send to direct neighbours at a site time, as often as the sender's probes. `take` gets all who hear
        it, or `to` alone, who may answer it."""
        count = sender.monitor.transmissions
        interval_ms = min(50, max(10, PUBLISH_WITHIN_MS // max(1, count - 1) // 10 * 10))
        number = self._radio.send(
            sender.address,
            ALL_NODES if to is None else to,
            size,
            0,
            at,
            transmit=Transmit(count, interval_ms),
        )
        self._begin(number, _UnderWay(take, 1), at)
        if to is not None:
            self._answered.add(number, at + PUBLISHED_S)

    def advance(self, to: float) -> Iterator[tuple[Take, Heard]]:
        """Play on until site time `to`; what was heard, in order, with who takes it."""
        self._forget(self.now)
        for delivery in self._radio.advance(to):
            number = delivery.message
            message = self._under_way.get(number)
            if message is not None:
                message.missing -= 1
                if not message.missing:
                    self._answered.came(number)
                    self._awaited.came(number)
                yield message.take, Heard(*delivery[1:])

    def answers_from(self) -> float:
        """Site time from when on somebody might answer what nobody has looked at yet."""
        return self.now + ANSWERED_STEP_S if self._answered.any(self.now) else inf

    def urgent_from(self) -> float:
        """Site time from when on it is worth to look what has come."""
        return min(self.answers_from(), self.now + URGENT_STEP_S if self._awaited.any(self.now) else inf)

    def fail(self, address: int) -> None:
        """A node loses power."""
        self._radio.fail(address)

    def restore(self, address: int) -> None:
        """A node regains power."""
        self._radio.restore(address)

    def interfere(self, address: int, noise_db: float, seconds: float) -> None:
        """Raise the noise at a node from now on, for so long."""
        self._radio.interfere(address, noise_db, seconds)

    def levels_at(self, receiver: int) -> dict[int, float]:
        """How strongly a node gets each other one, in dBm."""
        return {a: self._radio.received_dbm(a, receiver) for a in self._nodes if a != receiver}

    def transmissions(self) -> int:
        """Advertising events since the beginning."""
        return self._radio.totals()["transmissions"]

    def time_share(self) -> float:
        """Air time of all transmissions together as a share of the time passed, on each channel. More than 1
        is possible where parts of the site are out of reach of each other."""
        return self._radio.air_time_s() / max(self.now, 1e-9)

    def fork(self, seed: int) -> LiveRadio:
        """The simulator as it is now, to try something of which nothing happens to the site."""
        return self._radio.fork(seed)

    def _begin(self, number: int, message: _UnderWay, at: float) -> None:
        self._under_way[number] = message
        self._by_age.append((at + UNDER_WAY_S, number))

    def _forget(self, now: float) -> None:
        while self._by_age and self._by_age[0][0] < now:
            del self._under_way[self._by_age.popleft()[1]]

    def _configure(self, address: int) -> None:
        node = self._nodes[address]
        self._radio.configure(
            address,
            relay=node.relay,
            network_transmit=node.network_transmit,
            relay_retransmit=node.relay_retransmit,
        )

    def _signal(self, transmitter: int, receiver: int) -> Signal:
        level = self._threshold_dbm + self._links.margin_db(transmitter, receiver)
        return signal_for(self._links.pdr(transmitter, receiver), level, self._noise_figure_db)

    def _tune(self, transmitter: int, receiver: int) -> None:
        """A link has changed."""
        signal = self._signal(transmitter, receiver)
        at_first = self._at_first.get((transmitter, receiver), TRANSMITTED_DBM - NO_SIGNAL_DB)
        self._radio.attenuate(transmitter, receiver, at_first - signal.level_dbm)
        self._radio.erase(transmitter, receiver, signal.erased)


def _scenario(
    nodes: Iterable[int],
    levels: Mapping[LinkKey, float],
    noise_figure_db: float,
    hardware: NetworkConfiguration,
) -> Scenario:
    """A scenario in which every pair has an attenuation, so that any link can come to be."""
    addresses = sorted(nodes)
    return Scenario(
        nodes=[Node(address=address, tx_power_dbm=TRANSMITTED_DBM) for address in addresses],
        attenuation_db=[
            [_attenuation(levels.get((transmitter, receiver))) for receiver in addresses]
            for transmitter in addresses
        ],
        radio=Radio(noise_figure_db=noise_figure_db),
        configuration=hardware,
    )


def _attenuation(level_dbm: float | None) -> float:
    return NO_SIGNAL_DB if level_dbm is None else min(NO_SIGNAL_DB, max(0.0, TRANSMITTED_DBM - level_dbm))
