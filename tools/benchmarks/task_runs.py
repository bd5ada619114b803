"""Tasks of every kind with drawn inputs and parameters, run by a real worker: what costs are learned from."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tempfile
import wave
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from common.errors import Unavailable
from common.kinds import catalogue
from common.kinds.kind import MIB, Blobs
from common.kinds.worker_process import WorkerProcess
from common.taskgraph.wire import TaskLimits
from coordinator.training.task_costs import Run
from coordinator.training.tflite_writer import Graph

Dice = np.random.Generator
Drawn = tuple[dict[str, Any], Blobs]
LIMITS: Final = TaskLimits(memory_bytes=1024 * MIB, cpu_s=60.0, wall_s=120.0, output_bytes=64 * MIB)
MACHINE: Final = "here"


def _between(dice: Dice, low: float, high: float) -> int:
    """Log-uniform: sizes of tasks are spread over powers of ten."""
    return int(np.exp(dice.uniform(np.log(low), np.log(high))))


def _measure(dice: Dice) -> Drawn:
    memory = int(dice.choice([0, 0, 8, 64]))
    return {"rounds": _between(dice, 3_000, 600_000), "memory_mib": memory}, {}


def _spectrum(dice: Dice) -> Drawn:
    form = str(dice.choice(["wav", "f32", "i16"]))
    channels = int(dice.choice([1, 1, 2, 4]))
    frames = _between(dice, 4_000, 400_000) // channels
    values = dice.normal(0, 0.2, (frames, channels))
    values = np.clip(values, -1, 1)
    given: dict[str, Any] = {
        "format": form,
        "window": int(2 ** dice.integers(8, 16)),
        "bands": int(dice.integers(4, 65)),
    }
    if form == "wav":
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(channels)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes((values * 32_767).astype("<i2").tobytes())
        return given, {"block": buffer.getvalue()}
    scaled = values.astype("<f4") if form == "f32" else (values * 32_767).astype("<i2")
    return given | {"channels": channels}, {"block": scaled.tobytes()}


def _compress(dice: Dice) -> Drawn:
    lines = _between(dice, 200, 12_000)
    nodes, kinds = dice.integers(1, 200, lines), dice.integers(0, 40, lines)
    text = "\n".join(
        f"12:{n % 60:02d}:{at % 60:02d} gw-{n % 7} event-{kind}: node 0x{node:04x} lost {at} packets"
        for at, (n, kind, node) in enumerate(zip(nodes, kinds, nodes * 7, strict=True))
    )
    method = str(dice.choice(["zlib", "zlib", "lzma"]))
    return {"method": method, "level": int(dice.integers(0, 10))}, {"data": text.encode()}


def _image(dice: Dice, width: int, form: str) -> bytes:
    """Smooth with some noise, as cameras' are."""
    height = int(width * 0.75)
    small = Image.fromarray(dice.integers(0, 255, (24, 32, 3), np.uint8).astype(np.uint8))
    image = np.asarray(small.resize((width, height)), np.int16) + dice.integers(-6, 7, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(buffer, form)
    return buffer.getvalue()


def _thumbnail(dice: Dice) -> Drawn:
    image = _image(dice, _between(dice, 200, 2000), str(dice.choice(["JPEG", "JPEG", "PNG"])))
    width = _between(dice, 60, 800)
    form = str(dice.choice(["jpeg", "png", "webp"]))
    return {"width": width, "height": width, "format": form}, {"image": image}


def _difference(dice: Dice) -> Drawn:
    width, form = _between(dice, 200, 2000), str(dice.choice(["JPEG", "JPEG", "PNG"]))
    images = {name: _image(dice, width, form) for name in ("before", "after")}
    return {"width": _between(dice, 100, 1000)}, images


def _forecast(dice: Dice) -> Drawn:
    links, windows = _between(dice, 5, 600), int(dice.integers(4, 24))
    rows = [
        {"link": f"0x{link:04x}-0x0001", "t": 10 * n, "heard": int(dice.integers(0, 11)), "expected": 10}
        for link in range(links)
        for n in range(windows)
    ]
    return {}, {"series": "\n".join(map(json.dumps, rows)).encode()}


def _infer(dice: Dice) -> Drawn:
    inputs, hidden = _between(dice, 8, 256), _between(dice, 16, 1024)
    graph = Graph(inputs)
    layer = graph.dense(graph.input, dice.normal(0, 0.1, (inputs, hidden)).astype(np.float32), relu=True)
    for _ in range(int(dice.integers(0, 3))):
        layer = graph.dense(layer, dice.normal(0, 0.1, (hidden, hidden)).astype(np.float32), relu=True)
    model = graph.model(graph.dense(layer, dice.normal(0, 0.1, (hidden, 4)).astype(np.float32)), "drawn")
    rows = _between(dice, 10, 8_000)
    data = dice.normal(0, 1, (rows, inputs)).astype("<f4").tobytes()
    return {"batch": int(2 ** dice.integers(3, 11))}, {"model": model, "data": data}


DRAWN: Final[dict[str, Callable[[Dice], Drawn]]] = {
    "measure": _measure,
    "spectrum": _spectrum,
    "compress": _compress,
    "thumbnail": _thumbnail,
    "difference": _difference,
    "forecast": _forecast,
    "infer": _infer,
}


async def measured(each: int, seed: int) -> list[Run]:
    """`each` runs of every kind in a drawn order, on one warm worker. Raises Unavailable."""
    dice = np.random.default_rng(seed)
    kinds = dice.permutation(np.repeat(sorted(DRAWN), each))
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        work.mkdir()
        async with await WorkerProcess.start(work) as worker:
            for kind in sorted(DRAWN):  # What is imported once is no task's cost.
                await _run(worker, kind, dice, Path(folder))
            for number, kind in enumerate(kinds):
                runs.append(await _run(worker, str(kind), dice, Path(folder)))
                if number % 50 == 49:
                    print(f"{number + 1} of {len(kinds)} runs", file=sys.stderr)
    return runs


async def _run(worker: WorkerProcess, name: str, dice: Dice, folder: Path) -> Run:
    kind = catalogue.find(name)
    given, inputs = DRAWN[name](dice)
    files = {}
    for key, data in inputs.items():
        path = folder / f"{key}.input"
        await asyncio.to_thread(path.write_bytes, data)
        files[key] = (path, sha256(data).hexdigest())
    outcome = await worker.ask(name, given, files, LIMITS)
    if outcome.failure is not None:
        raise Unavailable(f"{name} failed: {outcome.failure[1]}")
    sizes = {key: len(data) for key, data in inputs.items()}
    parameters = kind.checked(given).model_dump()
    return Run(name, MACHINE, parameters, sizes, kind.cost(given, sizes), outcome.wall_s, outcome.cpu_s)
