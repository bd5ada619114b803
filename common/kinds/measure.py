"""Kind `measure`: a known amount of work, for learning how fast a machine is and for trying things out."""

from __future__ import annotations

import json
from hashlib import sha256
from time import perf_counter, process_time

from common.kinds.built_in import MeasureParameters
from common.kinds.kind import MIB, Blobs

PAGE = 4096


def measure(given: MeasureParameters, inputs: Blobs) -> Blobs:
    """Chained SHA-256 over 32 bytes, `rounds` times; the last digest proves that it was done."""
    begun, cpu = perf_counter(), process_time()
    memory = bytearray(given.memory_mib * MIB)
    for at in range(0, len(memory), PAGE):
        memory[at] = 1
    digest = b"\0" * 32
    for _ in range(given.rounds):
        digest = sha256(digest).digest()
    report = {"rounds": given.rounds, "digest": digest.hex()}
    report |= {"wall_s": round(perf_counter() - begun, 6), "cpu_s": round(process_time() - cpu, 6)}
    return {"report": json.dumps(report).encode()}
