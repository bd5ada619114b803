"""A worker process: `python -m common.kinds.worker PARENT`. Runs tasks one after the other, confined.

Requests and replies are frames on its standard input and output: four bytes of length, then MessagePack.
Blobs are files: inputs are read where the request says, outputs written to its folder. What a task prints
goes nowhere. Whoever started it watches from outside (`worker_process`).
"""

from __future__ import annotations

import errno
import os
import resource
import sys
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, Final

from common.codec import pack, unpack
from common.errors import MeshtwinError, NotSupported, Rejected, RejectReason
from common.kinds import catalogue
from common.kinds.confinement import allow, confine
from common.kinds.kind import Blobs, TaskKind
from common.taskgraph.wire import MAX_TEXT, FailureReason

LENGTH_BYTES: Final = 4
MAX_FRAME: Final = 256 * 1024
_LIMITS: Final = {errno.EFBIG: FailureReason.OUTPUT_SIZE, errno.ENOMEM: FailureReason.MEMORY}
"""What the kernel answers beyond a limit."""

SLACK_BYTES: Final = 1 << 20
"""What files may be larger than the outputs: a task's own notes in its folder."""


class _Failed(Exception):
    """The task ends without outputs."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def main() -> int:
    """Serve until the input ends."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    confine(int(sys.argv[1]))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    while frame := _read(requests):
        reply = pack(_answered(unpack(frame)))
        replies.write(len(reply).to_bytes(LENGTH_BYTES, "big") + reply)
        replies.flush()
    return 0


def _read(stream: BinaryIO) -> bytes:
    head = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(head, "big")) if len(head) == LENGTH_BYTES else b""


def _answered(request: Any) -> dict[str, Any]:
    begun, cpu = perf_counter(), _cpu()
    answer: dict[str, Any] = {"serial": request["serial"]}
    try:
        answer["outputs"] = _run(request)
    except _Failed as error:
        answer["failure"] = [error.reason.value, str(error)[:MAX_TEXT]]
    return answer | {"wall_s": perf_counter() - begun, "cpu_s": _cpu() - cpu}


def _run(request: dict[str, Any]) -> dict[str, int]:
    """Sizes of the outputs that were written. Raises _Failed."""
    os.chdir(request["folder"])
    allow(request["memory_bytes"], request["cpu_s"], request["output_bytes"] + SLACK_BYTES)
    try:
        kind = catalogue.find(request["kind"])
        inputs = {name: _input(name, *where) for name, where in request["inputs"].items()}
        outputs = _checked(kind, kind.run(request["parameters"], inputs), request["output_bytes"])
        for number, data in enumerate(outputs.values()):
            Path(f"{number}.output").write_bytes(data)
        return {name: len(data) for name, data in outputs.items()}
    except _Failed:
        raise
    except MemoryError:
        most = request["memory_bytes"] >> 20
        raise _Failed(FailureReason.MEMORY, f"it wanted more than {most} MiB") from None
    except MeshtwinError as error:
        raise _Failed(_reason(error), str(error)) from error
    except OSError as error:
        raise _Failed(_LIMITS.get(error.errno or 0, FailureReason.BUG), repr(error)) from error
    except Exception as error:
        raise _Failed(FailureReason.BUG, f"{type(error).__name__}: {error}") from error


def _input(name: str, path: str, digest: str) -> bytes:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise _Failed(FailureReason.MISSING_INPUT, f"input {name} is not here") from error
    if sha256(data).hexdigest() != digest:
        raise _Failed(FailureReason.CORRUPT_INPUT, f"input {name} is not what its digest says")
    return data


def _checked(kind: TaskKind, outputs: Blobs, most: int) -> Blobs:
    """What the code gave, if it is what the kind promises."""
    if not isinstance(outputs, dict) or not all(isinstance(data, bytes) for data in outputs.values()):
        raise _Failed(FailureReason.BUG, f"{kind.name} gave no bytes by name")
    if set(outputs) != set(kind.outputs):
        raise _Failed(FailureReason.BUG, f"{kind.name} gave {sorted(outputs)[:8]}"[:200])
    if (size := sum(map(len, outputs.values()))) > most:
        raise _Failed(FailureReason.OUTPUT_SIZE, f"outputs of {size} bytes, at most {most}")
    return outputs


def _reason(error: MeshtwinError) -> FailureReason:
    if isinstance(error, NotSupported):
        return FailureReason.KIND
    if isinstance(error, Rejected):
        unknown = error.reason is RejectReason.UNKNOWN_KIND
        return FailureReason.KIND if unknown else FailureReason.INPUT
    return FailureReason.BUG


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


if __name__ == "__main__":
    sys.exit(main())
