"""The cost of a task: what a model sees of a run before it starts, and what its output means.

The model corrects the hint of a task's kind; how fast a machine is stays with what is learned of the machine.
Pure standard library, and the one definition for training and agent: whoever changes it changes `SCHEMA`, and
bundles made for another one are refused by name.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from math import exp, isfinite, log1p
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

if TYPE_CHECKING:
    from common.kinds.kind import Cost

NAME: Final = "task-cost"
BUCKETS: Final = 256
"""Named features share them by their names' hash: kinds that nobody knows yet need no new model shape."""

PLAIN: Final = ("cpu_s", "output_bytes", "memory_bytes", "input_bytes")
"""Of the hint and of all inputs, in front of the buckets."""

INPUTS: Final = len(PLAIN) + BUCKETS
OUTPUTS: Final = 1
LIMIT: Final = 4.0
"""Of a correction: a factor of fifty either way. Beyond, the hint is wrong and not the task special."""

MAX_FEATURES: Final = 64
UNIT: Final = 8.0
MICRO: Final = 1e-6
_LARGEST: Final = 1e18

SCHEMA: Final[dict[str, Any]] = {
    "name": NAME,
    "version": 1,
    "input": {
        "shape": ["batch", INPUTS],
        "plain": list(PLAIN),
        "buckets": BUCKETS,
        "hash": "crc32 of kind, kind/parameter, kind/parameter=word, kind<input",
        "value": ["log1p of the size over the unit, sign kept; 1 for kinds and words", UNIT, MICRO],
        "most": MAX_FEATURES,
    },
    "output": {"shape": ["batch", OUTPUTS], "layout": "log of seconds over the hint's", "limit": LIMIT},
}


def schema_hash() -> str:
    """SHA-256 of the schema in canonical JSON, as hex."""
    return sha256(json.dumps(SCHEMA, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def encode(kind: str, parameters: Mapping[str, Any], sizes: Mapping[str, int], hint: Cost) -> array[float]:
    """The model's input for one run: `INPUTS` float32 values, finite.

    `parameters` are complete, defaults included; what is neither number nor word is left out. `sizes` are
    those of the inputs by name, in bytes.
    """
    row = array("f", bytes(4 * INPUTS))
    plain = (hint.cpu_s / MICRO, hint.output_bytes, hint.memory_bytes, sum(sizes.values()))
    for place, value in enumerate(plain):
        row[place] = _scaled(value)
    row[_bucket(kind)] += 1.0
    for name, value in sorted(parameters.items())[:MAX_FEATURES]:
        if isinstance(value, str):
            row[_bucket(f"{kind}/{name}={value[:32]}")] += 1.0
        elif isinstance(value, int | float):
            row[_bucket(f"{kind}/{name}")] += _scaled(value)
    for name, size in sorted(sizes.items())[:MAX_FEATURES]:
        row[_bucket(f"{kind}<{name}")] += _scaled(size)
    return row


def decode(output: float) -> float:
    """The factor on the hint's seconds; 1 for what is no number."""
    return exp(min(LIMIT, max(-LIMIT, output))) if isfinite(output) else 1.0


def _scaled(value: float) -> float:
    if not abs(value) <= _LARGEST:
        return 0.0
    return log1p(value) / UNIT if value >= 0 else -log1p(-value) / UNIT


@lru_cache(maxsize=512)
def _bucket(name: str) -> int:
    return len(PLAIN) + crc32(name.encode(errors="replace")) % BUCKETS
