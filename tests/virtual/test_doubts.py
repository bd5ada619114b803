"""Questions and answers between simulated nodes, and how soon a death is told at a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random
from statistics import median

from common.clock import ManualClock
from firmware_bridge.access import catalogue
from firmware_bridge.access.link_monitor import Lost, MonitorStatus
from firmware_bridge.link import Event, LostNeighbour
from firmware_bridge.virtual import VirtualLink, VirtualSite
from firmware_bridge.virtual.site import Packet

LEARNING_S = 40.0
COLUMNS, ROWS = 4, 3


class Listener:
    """A gateway that keeps the losses it is told."""

    def __init__(self) -> None:
        self.lost: list[tuple[float, int, int]] = []

    def received(self, packet: Packet) -> None:
        message = catalogue.parse(packet.payload) if packet.payload else None
        if isinstance(message, Lost):
            self.lost.append((packet.t, packet.source, message.transmitter))

    def powered(self, alive: bool) -> None:
        pass


def star(pdr: float, transmissions: int = 2, seed: int = 1) -> tuple[VirtualSite, Listener]:
    """Gateway 1 and nodes 2 to 5, which all hear each other."""
    links = {(a, b): pdr for a in range(1, 6) for b in range(1, 6) if a != b}
    site = VirtualSite(links, gateways=[1], monitor=MonitorStatus(10, 5, transmissions), seed=seed)
    listener = Listener()
    site.attach(1, listener)
    return site, listener


def grid(seed: int) -> VirtualSite:
    """Twelve nodes that hear their neighbours in all eight directions, with 10 % loss; all relay."""
    places = {row * COLUMNS + column + 1: (row, column) for row in range(ROWS) for column in range(COLUMNS)}
    links = {
        (a, b): 0.9
        for a, (row, column) in places.items()
        for b, (other_row, other_column) in places.items()
        if a != b and abs(row - other_row) <= 1 and abs(column - other_column) <= 1
    }
    return VirtualSite(links, relays=places, gateways=[1], seed=seed)


async def first_told(events: AsyncIterator[Event], transmitter: int, since: float) -> float:
    async for event in events:
        if isinstance(event, LostNeighbour) and event.transmitter == transmitter and event.t >= since:
            return event.t - since
    raise AssertionError(f"the death of {transmitter} was never told")


async def seconds_until_told(seed: int) -> float:
    """From a death at a random moment to the first report of it at the gateway."""
    random, clock, site = Random(seed), ManualClock(), grid(seed)
    link = VirtualLink(site, 1, clock)
    await link.open()
    await clock.advance(LEARNING_S + random.random())
    victim, died = random.randrange(2, COLUMNS * ROWS + 1), clock.monotonic()
    site.down(victim)
    await clock.advance(3.0)
    await link.close()
    return await first_told(link.events(), victim, died)


async def test_a_death_is_told_within_a_second_or_so() -> None:
    """A period of 1 s, the grace, a question or two of 0.25 s each, and a flood that may be late or lost."""
    told = [await seconds_until_told(seed) for seed in range(1, 11)]
    assert max(told) < 2.0
    assert median(told) < 1.2


def test_a_living_node_that_was_missed_answers_and_is_not_lost() -> None:
    site, listener = star(pdr=0.9, transmissions=4)
    site.advance(1800.0)
    doubts = site.monitoring.doubts
    assert doubts.questions > 0
    assert doubts.answers > 0
    assert listener.lost == []


def test_most_missed_probes_on_lossy_links_are_no_losses() -> None:
    site, listener = star(pdr=0.9)
    site.advance(3600.0)
    asked, told = site.monitoring.doubts.questions, {(s, t) for _, s, t in listener.lost}
    assert asked > 300
    assert len(listener.lost) < asked / 10
    assert told <= {(a, b) for a, b, _ in site.links}


def test_one_answer_is_for_all_who_ask_at_once() -> None:
    site, listener = star(pdr=1.0, seed=2)
    site.advance(60.0)
    for receiver in (1, 3, 4, 5):
        site.links.set(2, receiver, 0.0)
    # The answer finds the links whole again: only the probe was lost on all of them.
    doubts = site.monitoring.doubts
    probes, questions, answers = site.monitoring.probes, doubts.questions, doubts.answered[2]
    while doubts.questions == questions:
        site.advance(site.now + 0.001)
    for receiver in (1, 3, 4, 5):
        site.links.set(2, receiver, 1.0)
    site.advance(site.now + 0.2)
    assert site.monitoring.probes > probes
    assert doubts.questions > questions + 1
    assert doubts.answered[2] == answers + 1


def test_a_question_that_is_never_heard_is_no_sign_of_life() -> None:
    """The silent node lives, but cannot hear who asks."""
    site, listener = star(pdr=1.0)
    site.advance(60.0)
    answers = site.monitoring.doubts.answered[2]
    for receiver in (1, 3, 4, 5):
        site.links.set(2, receiver, 0.0)
        site.links.set(receiver, 2, 0.0)
    site.advance(64.0)
    assert {(source, transmitter) for _, source, transmitter in listener.lost} >= {(1, 2), (3, 2)}
    assert site.monitoring.doubts.answered[2] == answers


def test_nobody_asks_or_answers_while_monitoring_is_off() -> None:
    site, listener = star(pdr=0.5, transmissions=1)
    site.advance(60.0)
    for node in site.nodes.values():
        before, node.monitor = node.monitor, MonitorStatus(0, 5, 1)
        site.monitoring.changed(node, before)
    site.advance(61.0)
    asked, answered = site.monitoring.doubts.questions, site.monitoring.doubts.answers
    site.advance(300.0)
    assert (site.monitoring.doubts.questions, site.monitoring.doubts.answers) == (asked, answered)


def test_the_same_seed_gives_the_same_questions() -> None:
    histories = []
    for _ in range(2):
        site, listener = star(pdr=0.8, seed=4)
        site.advance(900.0)
        histories.append((site.monitoring.doubts.questions, site.monitoring.doubts.answers, listener.lost))
    assert histories[0] == histories[1]
    assert histories[0][0] > 100


def test_a_node_tells_four_losses_at_once_and_no_more() -> None:
    site, listener = star(pdr=1.0)
    site.advance(60.0)
    # Node 2 alone goes deaf: it loses everybody, tells each twice at most, and the rest stays in its report.
    for transmitter in (1, 3, 4, 5):
        site.links.set(transmitter, 2, 0.0)
    site.advance(64.0)
    assert len([source for _, source, _ in listener.lost if source == 2]) == 4
    assert site.monitoring.doubts.untold > 0
