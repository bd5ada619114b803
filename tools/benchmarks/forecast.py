"""How much better the link forecast is than naive ones, on measured link traces. (Traffic: not yet.)

The traces are the files radio/*.k7.gz of the folder that MESHTWIN_DATA or --data names. Each link's series is
split by time: the first 70 % are learnt, the rest is forecast, one report ahead whenever it comes. Errors are
mean absolute errors of the PDR as reported; the gain is over the better naive forecast.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import Misconfigured
from coordinator.training import bundle, evaluation, naive, traces
from coordinator.training.job import Observed, TrainingRequest, TrainingResult, train
from coordinator.training.runtime import Model
from coordinator.training.windows import Windows, rows_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be set."""
    group = parser.add_argument_group("forecast")
    group.add_argument(
        "--data", type=Path, default=traces.data_folder(os.environ), help="folder with radio/*.k7.gz"
    )


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train on all traces, score on each. Always the full training: a quick one sees other windows.

    Raises Misconfigured without traces, unless every benchmark runs: then it says that they are absent.
    """
    data = traces.load_all(options.data)
    if not data:
        if options.all:
            return {"absent": f"{traces.VARIABLE} names no folder with radio/{traces.PATTERN}"}
        raise Misconfigured("there are no link traces", f"set {traces.VARIABLE} or --data")
    print(f"training on {', '.join(data)}", file=sys.stderr)
    result = await _trained(options)
    figures: dict[str, Any] = {"seconds": round(result.seconds, 1)}
    for precision, content in result.bundles.items():
        _, model = bundle.read(content)
        scored = {name: _scored(model, windows) for name, windows in data.items()}
        figures |= scored if precision == "float32" else {"int8": scored}
    return figures


async def _trained(options: argparse.Namespace) -> TrainingResult:
    observed = Observed(None, 0.0, time.time(), data_folder=options.data)
    request = TrainingRequest(observed, version=1, created=time.time(), seed=options.seed)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, train, request)


def _scored(model: Model, windows: Windows) -> dict[str, float]:
    rows = rows_of(windows, late=np.inf)
    chosen = rows.scored() & (windows.t >= evaluation.held_out(windows))
    tried = rows.where(chosen)
    observed = tried.heard[:, 0] / tried.expected[:, 0]
    forecasts = {
        "error": evaluation.expected_shares(model(tried.inputs), tried)[:, 0],
        "persistence": windows.share[chosen],
        "ewma": naive.ewma(windows)[chosen],
    }
    errors = {name: float(np.abs(share - observed).mean()) for name, share in forecasts.items()}
    better = min(errors["persistence"], errors["ewma"])
    figures = {name: round(error, 5) for name, error in errors.items()}
    return figures | {"gain_percent": round(100 * (1 - errors["error"] / better), 1), "windows": len(tried)}
