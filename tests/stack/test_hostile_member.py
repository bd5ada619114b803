"""A member of the network that does whatever harms: what it costs, and that honest nodes are still heard."""

from __future__ import annotations

import tracemalloc
from itertools import islice
from random import Random

import pytest

from firmware_bridge.stack.events import AccessReceived
from tools.fuzzing.attacks import ATTACKS, HONEST, IV, VICTIM, member, suffer

PDUS = 1500


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_keeps_an_honest_node_from_being_heard_for_long(name: str) -> None:
    victim, friend = member(VICTIM), member(HONEST)
    # Numbers above those that the attacker uses in the honest node's name: else it is a replay, by design.
    friend.sequence.take(PDUS * 8)
    now = suffer(victim, list(islice(ATTACKS[name](Random(1)), PDUS)), 0.0)
    victim.iv = friend.iv
    friend.send(VICTIM, bytes(range(100)), now, application=0)
    heard: list[bytes] = []
    while (at := friend.next_time()) is not None and not heard:
        friend.poll(at)
        for data in friend.outgoing():
            events = victim.receive(data, at)
            heard += [event.payload for event in events if isinstance(event, AccessReceived)]
    assert heard == [bytes(range(100))]


def test_all_attacks_together_leave_little_behind() -> None:
    victim, random = member(VICTIM), Random(2)
    pdus = [list(islice(attack(random), PDUS)) for attack in ATTACKS.values()]
    now = suffer(victim, pdus[0], 0.0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for each in pdus[1:]:
            now = suffer(victim, each, now)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 1 << 20
    assert after - before < 1 << 19
    assert len(victim.reassembler) <= 64
    assert victim.iv.index <= IV + 43
    # The numbers of an IV index must last until the next one may come.
    assert victim.sequence.next <= 64 + 16 * now + 1


def test_a_message_of_ours_ends_whatever_acknowledgements_come() -> None:
    victim = member(VICTIM)
    handle = victim.send(HONEST, bytes(300), 0.0, application=0)
    sent = victim.sequence.next
    acks = list(islice(ATTACKS["foreign_acks"](Random(3)), PDUS))
    now = suffer(victim, acks, 0.0)
    while (at := victim.next_time()) is not None:
        victim.poll(max(at, now))
    assert [each for each, _ in victim.outcomes()] == [handle]
    assert victim.sequence.next - sent <= 8 * 26
