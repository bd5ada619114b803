"""The fuzz targets in short: their seeds, what once broke them, and a fixed number of mutations of both."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.fuzzing.targets import TARGETS

MUTATIONS = 1000
FOUND = Path(__file__).parent / "found"
"""One file per target: a line of hex for every input that once made it raise."""


def found(name: str) -> list[bytes]:
    path = FOUND / f"{name}.txt"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def mutated(data: bytes, other: bytes, random: Random) -> bytes:
    """One of the changes that fuzzers make."""
    changed, at = bytearray(data or b"\x00"), random.randrange(len(data) or 1)
    match random.randrange(6):
        case 0:
            changed[at] ^= 1 << random.randrange(8)
        case 1:
            changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
        case 2:
            del changed[at:]
        case 3:
            changed[at:at] = random.randbytes(random.randrange(1, 5))
        case 4:
            del changed[at : at + random.randrange(1, 4)]
        case _:
            changed[at:] = other[random.randrange(len(other) or 1) :]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_and_no_mutation_of_one_raises_what_is_not_named(name: str) -> None:
    target, random = TARGETS[name], Random(name)
    pool = [*target.begin_with, *found(name)]
    for data in pool:
        target.run(data)
    for _ in range(MUTATIONS):
        data = mutated(random.choice(pool), random.choice(pool), random)[: target.most]
        target.run(data)
        if random.random() < 0.3:
            pool.append(data)


@settings(max_examples=60, deadline=None, derandomize=True)
@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=128))
def test_any_bytes_raise_nothing_that_is_not_named(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


def test_every_target_has_a_good_input_that_gets_past_the_first_look() -> None:
    assert all(target.begin_with for target in TARGETS.values())
    assert all(len(data) <= target.most for target in TARGETS.values() for data in target.begin_with)
