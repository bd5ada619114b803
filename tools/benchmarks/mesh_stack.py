"""CPU time and memory of the mesh stack: encrypting, receiving, 2,000 nodes, and a hostile node.

CPU time of this process, in microseconds a PDU; the best of several rounds, because what else the machine
does only ever adds. `_ratio` is the time over that of one AES-CCM call of the library, measured in between.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import os
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from firmware_bridge.stack import network
from firmware_bridge.stack.iv_index import IvState
from firmware_bridge.stack.keyring import Keyring
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from tools.fuzzing.attacks import ATTACKS, HONEST, VICTIM, Hostile, member, suffer

BATCH: Final = 2000
NODES: Final = 2000
ROUNDS: Final = 15
QUICK_ROUNDS: Final = 5
ATTACK_PDUS: Final = 20_000
QUICK_ATTACK_PDUS: Final = 4000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Nothing beyond --quick and --seed."""


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH, and what a hostile node costs."""
    return await asyncio.to_thread(_measure, options.quick, Random(options.seed))


def _measure(quick: bool, random: Random) -> dict[str, Any]:
    rounds = QUICK_ROUNDS if quick else ROUNDS
    figures = _speed(rounds)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as clean:
        figures["state_mib_2000_nodes"] = round(clean.submit(state_mib).result(), 2)
    return figures | _hostile(QUICK_ATTACK_PDUS if quick else ATTACK_PDUS, random)


def _speed(rounds: int) -> dict[str, Any]:
    """Encrypting, receiving and the library's own call, in turns, so that all see the same machine."""
    best = {"encrypt": float("inf"), "receive": float("inf"), "ccm": float("inf")}
    for _ in range(rounds):
        for name, batch in (("encrypt", _encrypting()), ("receive", _receiving()), ("ccm", _library())):
            best[name] = min(best[name], _cpu_us(batch))
    return {
        "encrypt_us": round(best["encrypt"], 2),
        "receive_us": round(best["receive"], 2),
        "ccm_us": round(best["ccm"], 2),
        "encrypt_ratio": round(best["encrypt"] / best["ccm"], 2),
        "receive_ratio": round(best["receive"] / best["ccm"], 2),
    }


def _cpu_us(batch: Callable[[], None]) -> float:
    gc.collect()
    gc.disable()
    try:
        begun = time.process_time_ns()
        batch()
        return (time.process_time_ns() - begun) / 1000 / BATCH
    finally:
        gc.enable()


def _encrypting() -> Callable[[], None]:
    """Network encryption and obfuscation of an unsegmented access message of 11 bytes."""
    credentials = member(VICTIM).keyring.transmit_key(0).credentials
    pdus = [NetworkPdu(False, 7, number, 1, 2, bytes(15)) for number in range(BATCH)]

    def batch() -> None:
        for pdu in pdus:
            network.seal(pdu, credentials, 5)

    return batch


def _receiving() -> Callable[[], None]:
    """All layers of an unsegmented access message under an application key, each from a source known."""
    receiver, sender = member(VICTIM), member(HONEST)
    pdus: list[bytes] = []
    for number in range(BATCH):
        sender.send(VICTIM, b"\x82\x02\x01" + number.to_bytes(7, "big"), 0.0, application=0)
        pdus += sender.outgoing()

    def batch() -> None:
        heard = sum(len(receiver.receive(pdu, 0.0)) for pdu in pdus)
        assert heard == BATCH, f"{heard} of {BATCH} received"

    return batch


def _library() -> Callable[[], None]:
    cipher, nonce, plain = AESCCM(bytes(16), tag_length=4), bytes(13), bytes(17)

    def batch() -> None:
        for _ in range(BATCH):
            cipher.encrypt(nonce, plain, None)

    return batch


def state_mib() -> float:
    """Resident memory of a node that knows 2,000 others, in a process that has done nothing else.

    It holds their device keys, each used, the last message of each, a full message cache, and as many
    messages in segments as it takes in at once.
    """
    _populated(10)
    gc.collect()
    before = _resident_mib()
    node = _populated(NODES)
    gc.collect()
    after = _resident_mib()
    assert len(node.replay) == NODES, f"{len(node.replay)} sources known"
    return after - before


def _populated(nodes: int) -> StackNode:
    devices = {address: address.to_bytes(16, "big") for address in range(2, nodes + 2)}
    ring = Keyring.of({0: bytes(range(16))}, {0: (bytes(range(16, 32)), 0)}, devices)
    node = StackNode(VICTIM, ring, IvState(5), 0, lambda iv, limit: None)
    for address in devices:
        sender = StackNode(address, ring, IvState(5), 0, lambda iv, limit: None)
        sender.send(VICTIM, b"\x80\x01\x02\x03", 0.0, device=address)
        sender.send(VICTIM, bytes(380), 0.0, device=address)
        for pdu in sender.outgoing():
            node.receive(pdu, 0.0)
    return node


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _hostile(pdus: int, random: Random) -> dict[str, Any]:
    """Each attack on a victim of its own: CPU a PDU, memory at most, and sequence numbers used up."""
    costs, numbers, peak_kib, heard = {}, [], 0.0, True
    for name, attack in ATTACKS.items():
        victim, stream = member(VICTIM), attack(random)
        now = suffer(victim, list(islice(stream, pdus // 10)), 0.0)
        arrived = list(islice(stream, pdus))
        begun = time.process_time_ns()
        now = suffer(victim, arrived, now)
        costs[name] = round((time.process_time_ns() - begun) / 1000 / len(arrived), 2)
        numbers.append(victim.sequence.next / now)
        peak_kib = max(peak_kib, _grown_kib(arrived))
        heard = heard and _still_hears(victim, now)
    return {
        "hostile_cpu_us_per_pdu": max(costs.values()),
        "hostile_cpu_us_by_attack": costs,
        "hostile_memory_kib": round(peak_kib, 1),
        "hostile_numbers_used_per_s": round(max(numbers), 1),
        "hostile_honest_heard": heard,
    }


def _grown_kib(pdus: list[Hostile]) -> float:
    """What a fresh victim of these PDUs alone holds at most because of them."""
    victim = member(VICTIM)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        suffer(victim, pdus, 0.0)
        return (tracemalloc.get_traced_memory()[1] - before) / 1024
    finally:
        tracemalloc.stop()


def _still_hears(victim: StackNode, now: float) -> bool:
    """Whether an honest node gets a segmented message through afterwards."""
    friend = member(HONEST)
    friend.iv = victim.iv
    friend.sequence.take(ATTACK_PDUS * 40)
    friend.send(VICTIM, bytes(100), now, application=0)
    while (at := friend.next_time()) is not None:
        friend.poll(max(at, now))
        if any(victim.receive(pdu, max(at, now)) for pdu in friend.outgoing()):
            return True
    return False
