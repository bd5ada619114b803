"""The same advertising bearer once more, plainly, in SimPy: what the fast one must equal.

Written for reading, after the specifications and `RadioParameters`, and not after the kernel: every packet is
an event of its own on each channel, interference is summed over all signals that are on air, and bits are
judged by the stretches between which the interference changes. Unsegmented messages only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import simpy

from common.radio import RadioParameters, timing
from common.radio.packing import noise_floor_dbm
from common.radio.propagation import links
from common.scenario import Flow, Scenario

BITS_PER_MS = 1000.0


@dataclass(eq=False)
class Message:
    """A network PDU: who made it when, for whom, and what it answers."""

    source: int
    recipients: frozenset[int]
    group: bool
    size: int
    flow: int
    asked: float
    answer: bool = False


@dataclass(eq=False)
class Signal:
    """A packet on air, as one node sends it."""

    message: Message
    ttl: int
    hops: int


@dataclass
class Found:
    """Of one flow: messages times recipients, arrivals, and their milliseconds and hops."""

    sent: int = 0
    one_way: list[float] = field(default_factory=list)
    hops: list[int] = field(default_factory=list)
    round_trip: list[float] = field(default_factory=list)


@dataclass(eq=False)
class Reception:
    """What a receiver is locked on: log of the chance that no bit was wrong until `since`."""

    signal: Signal
    power: float
    since: float
    log_chance: float = 0.0


class Node:
    """Radio, advertising sets and message cache."""

    def __init__(self, bearer: Bearer, number: int, relay: bool) -> None:
        self.bearer, self.number, self.relay = bearer, number, relay
        self.cache: OrderedDict[Message, None] = OrderedDict()
        self.present: dict[Signal, float] = {}
        self.reception: Reception | None = None
        self.sending = 0
        self.phase = bearer.random.uniform(0, 3 * bearer.configuration.scan_interval_ms)
        self.radio = simpy.Resource(bearer.env)
        self.own: Any = simpy.Store(bearer.env)
        self.relayed: Any = simpy.Store(bearer.env)
        configuration = bearer.configuration
        bearer.env.process(self.advertise(self.own, configuration.network_transmit))
        for _ in range(configuration.relay_sets):
            bearer.env.process(self.advertise(self.relayed, configuration.relay_retransmit))

    def send(self, queue: Any, signal: Signal) -> None:
        if len(queue.items) < self.bearer.parameters.queue_length:
            queue.put(signal)

    def advertise(self, queue: Any, transmit: Any) -> Generator[Any, Any, None]:
        """One advertising set: each message in `count` events."""
        env, parameters, random = self.bearer.env, self.bearer.parameters, self.bearer.random
        while True:
            signal = yield queue.get()
            due = env.now + parameters.advertising_wait_ms
            for _ in range(transmit.count):
                due += random.uniform(0, parameters.advertising_delay_ms)
                yield env.timeout(max(due - env.now, 0.0))
                with self.radio.request() as request:
                    yield request
                    due = env.now + transmit.interval_ms
                    yield from self.event(signal)

    def event(self, signal: Signal) -> Generator[Any, Any, None]:
        """One packet on each channel. Meanwhile this node hears nothing."""
        env, bearer = self.bearer.env, self.bearer
        self.sending += 1
        self.reception = None
        for channel in range(3):
            if channel:
                yield env.timeout(bearer.parameters.channel_gap_ms)
            on_air = Signal(signal.message, signal.ttl, signal.hops)
            hearers = [
                (bearer.nodes[other], power)
                for other, power in bearer.hearers[self.number]
                if bearer.nodes[other].listens_on(channel)
            ]
            for hearer, power in hearers:
                hearer.begin(on_air, power)
            yield env.timeout(signal.message.size * timing.BYTE_MS)
            for hearer, _ in hearers:
                hearer.finish(on_air)
        self.sending -= 1

    def listens_on(self, channel: int) -> bool:
        configuration = self.bearer.configuration
        interval = configuration.scan_interval_ms
        place = (self.bearer.env.now + self.phase) % (3 * interval)
        return 0 <= place - channel * interval < configuration.scan_window_ms

    def begin(self, signal: Signal, power: float) -> None:
        """A signal appears: it is received, or it disturbs."""
        bearer = self.bearer
        self.weigh()
        noise = bearer.thermal + sum(self.present.values())
        self.present[signal] = power
        if self.reception is None and not self.sending and power >= bearer.sync * noise:
            self.reception = Reception(signal, power, bearer.env.now)

    def weigh(self) -> None:
        """Judge the bits since the interference changed last."""
        reception, now = self.reception, self.bearer.env.now
        if reception is not None:
            others = sum(power for signal, power in self.present.items() if signal is not reception.signal)
            ratio = reception.power / (self.bearer.thermal + others)
            wrong = 0.5 * math.exp(-0.5 * ratio)
            reception.log_chance += (now - reception.since) * BITS_PER_MS * math.log1p(-wrong)
            reception.since = now

    def finish(self, signal: Signal) -> None:
        """A signal ends; if it was being received, it may have arrived."""
        self.weigh()
        del self.present[signal]
        reception = self.reception
        if reception is not None and reception.signal is signal:
            self.reception = None
            if self.bearer.random.random() < math.exp(reception.log_chance):
                self.receive(signal)

    def receive(self, signal: Signal) -> None:
        """Network layer: cache, take, relay."""
        message = signal.message
        if message in self.cache or message.source == self.number:
            return
        self.cache[message] = None
        if len(self.cache) > self.bearer.configuration.message_cache:
            self.cache.popitem(last=False)
        if self.number in message.recipients:
            self.bearer.arrived(self.number, signal)
            if not message.group:
                return
        if self.relay and signal.ttl >= 2:
            self.send(self.relayed, Signal(message, signal.ttl - 1, signal.hops + 1))


class Bearer:
    """All nodes, their links, and what has arrived."""

    def __init__(self, scenario: Scenario, parameters: RadioParameters, seed: int) -> None:
        self.env, self.random = simpy.Environment(), Random(seed)
        self.parameters, self.configuration = parameters, scenario.configuration
        self.flows, self.groups = scenario.flows, scenario.groups
        floor_dbm = noise_floor_dbm(scenario, parameters)
        self.thermal = 10 ** ((floor_dbm + parameters.detector_loss_db) / 10)
        self.sync = 10 ** (parameters.sync_snr_db / 10)
        self.nodes = [Node(self, number, node.relay) for number, node in enumerate(scenario.nodes)]
        self.hearers: list[list[tuple[int, float]]] = [[] for _ in self.nodes]
        heard = links(scenario, floor_dbm + parameters.interference_floor_db)
        for one, other, dbm in zip(heard.transmitter, heard.receiver, heard.received_dbm, strict=True):
            self.hearers[one].append((int(other), float(10 ** (dbm / 10))))
        self.found = [Found() for _ in scenario.flows]
        self.taken: set[tuple[Message, int]] = set()

    def originate(
        self, flow: Flow, number: int, index: dict[int, int], until: float
    ) -> Generator[Any, Any, None]:
        """A flow's messages. `until` in ms."""
        group = self.groups.get(flow.destination)
        named = [flow.destination] if group is None else group
        source = index[flow.source]
        recipients = frozenset(index[address] for address in named) - {source}
        size = timing.last_packet_bytes(flow.payload_bytes)
        first = self.random.uniform(0, flow.period_s) if flow.offset_s is None else flow.offset_s
        yield self.env.timeout(1000 * first)
        while self.env.now < until:
            message = Message(source, recipients, group is not None, size, number, self.env.now)
            self.found[number].sent += len(recipients)
            self.nodes[source].send(self.nodes[source].own, Signal(message, self.configuration.ttl, 1))
            yield self.env.timeout(1000 * flow.period_s * self.random.uniform(0.95, 1.05))

    def arrived(self, node: int, signal: Signal) -> None:
        message = signal.message
        if (message, node) in self.taken:
            return
        self.taken.add((message, node))
        found, flow = self.found[message.flow], self.flows[message.flow]
        if message.answer:
            found.round_trip.append(self.env.now - message.asked)
            return
        found.one_way.append(self.env.now - message.asked)
        found.hops.append(signal.hops)
        if flow.acknowledged:
            self.env.process(self.answer(node, message, flow))

    def answer(self, node: int, asked: Message, flow: Flow) -> Generator[Any, Any, None]:
        yield self.env.timeout(flow.response_delay_ms)
        size = timing.last_packet_bytes(flow.response_bytes)
        back = Message(node, frozenset([asked.source]), False, size, asked.flow, asked.asked, answer=True)
        self.nodes[node].send(self.nodes[node].own, Signal(back, self.configuration.ttl, 1))


def simulate_with_simpy(
    scenario: Scenario, parameters: RadioParameters, *, seed: int, duration_s: float, settle_s: float = 3.0
) -> list[Found]:
    """One play: what each flow has come to, `settle_s` after the last message was sent."""
    bearer = Bearer(scenario, parameters, seed)
    index = {node.address: place for place, node in enumerate(scenario.nodes)}
    for number, flow in enumerate(scenario.flows):
        bearer.env.process(bearer.originate(flow, number, index, 1000 * duration_s))
    bearer.env.run(until=1000 * (duration_s + settle_s))
    return bearer.found
