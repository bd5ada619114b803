"""Round trips that the event simulator predicts, against measured ones: means and spread, node by node.

The scenario says who hears whom and how nodes are configured. For each address of the CSV its acknowledged
flow is played alone, as the measurement was made; where the scenario has no such flow, one from the node that
the CSV has no round trips of, with the payloads of Health Attention Get and Status. The CSV has the columns
`address` (0x0001) and `round_trip_ms`, a row for each round trip; rows without a time are round trips that
failed. Nothing is fitted here: the parameters are the simulator's defaults.

`range_error_percent` compares the spread: the range of as many round trips as were measured, its mean over
many such samples of the simulation, against the measured one; sums over the nodes, as a single range is
mostly chance.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common import scenario
from common.errors import Misconfigured
from common.radio import DEFAULT
from common.radio.play import chosen
from common.radio.play import run as play
from common.scenario import Flow, Scenario
from tools.benchmarks.chain import chain_files, chain_scenario

ROUND_TRIPS: Final = 4000
QUICK_ROUND_TRIPS: Final = 600
PERIOD_S: Final = 1.2

Floats = NDArray[np.float64]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What to compare."""
    group = parser.add_argument_group("twin-accuracy")
    group.add_argument("--scenario", type=Path, help="the network (default: the chain of MESHTWIN_DATA)")
    group.add_argument("--observed", type=Path, help="CSV of its round trips")


def inputs(options: argparse.Namespace) -> list[Path]:
    """The files measured on. Raises Misconfigured if there are none."""
    if (options.scenario is None) != (options.observed is None):
        raise Misconfigured("--scenario and --observed belong together", "name both")
    if options.scenario is not None:
        return [options.scenario, options.observed]
    return list(chain_files())


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of BENCH, and the rows they come from."""
    return await asyncio.to_thread(_measure, options)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    files = inputs(options)
    site = chain_scenario(files[0]) if options.scenario is None else scenario.read(files[0])
    observed = read_round_trips(files[1])
    count = QUICK_ROUND_TRIPS if options.quick else ROUND_TRIPS
    return compare(observed, predict(site, observed, count))


def read_round_trips(path: Path) -> dict[int, Floats]:
    """By address: measured round trips (ms). Raises Misconfigured."""
    samples: dict[int, list[float]] = {}
    try:
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                times = samples.setdefault(int(row["address"], 0), [])
                time = float(row["round_trip_ms"] or "nan")
                if 0 < time < 1e6:
                    times.append(time)
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise Misconfigured(
            f"{path} has no round trips: {error!r}", "use columns address and round_trip_ms"
        ) from error
    if not any(samples.values()):
        raise Misconfigured(f"{path} has no round trip above 0 ms", "use columns address and round_trip_ms")
    return {address: np.array(times) for address, times in samples.items() if times}


def predict(site: Scenario, observed: Mapping[int, Floats], count: int) -> dict[int, Floats]:
    """By address: round trips (ms) of `count` requests, each flow played alone."""
    predicted = {}
    for address in observed:
        flow = _flow_to(site, address, observed).model_copy(update={"period_s": PERIOD_S, "offset_s": 0.0})
        alone = site.model_copy(update={"flows": [flow]})
        record = play(alone, DEFAULT, chosen(alone, None), duration_s=PERIOD_S * count)
        times = record.rows["round_trip"]
        predicted[address] = np.asarray(times[~np.isnan(times)])
        if len(predicted[address]) < count / 100:
            raise Misconfigured(
                f"hardly any round trip to 0x{address:04X} arrives in the simulation",
                "compare the scenario's links with the measured network",
            )
    return predicted


def _flow_to(site: Scenario, address: int, observed: Mapping[int, Floats]) -> Flow:
    for flow in site.flows:
        if flow.destination == address and flow.acknowledged:
            return flow
    askers = [node.address for node in site.nodes if node.address not in observed]
    if len(askers) != 1 or address not in {node.address for node in site.nodes}:
        raise Misconfigured(
            f"the scenario has no acknowledged flow to 0x{address:04X}", "add it to the scenario's flows"
        )
    return Flow(
        source=askers[0],
        destination=address,
        period_s=PERIOD_S,
        payload_bytes=2,
        acknowledged=True,
        response_bytes=3,
    )


def compare(observed: Mapping[int, Floats], predicted: Mapping[int, Floats]) -> dict[str, Any]:
    """Figures over all nodes, and a row for each."""
    rows = [_row(address, observed[address], predicted[address]) for address in sorted(observed)]
    chi2 = [row["chi2"] for row in rows if row["chi2"] is not None]
    seen, expected = sum(row["range_ms"] for row in rows), sum(row["predicted_range_ms"] for row in rows)
    return {
        "mape_percent": _round(np.mean([abs(row["error_percent"]) for row in rows])),
        "mae_ms": _round(np.mean([abs(row["predicted_ms"] - row["mean_ms"]) for row in rows])),
        "chi2_per_node": _round(np.mean(chi2)) if chi2 else None,
        "range_error_percent": _round(100 * (expected - seen) / seen) if seen else None,
        "nodes": rows,
    }


def _row(address: int, observed: Floats, predicted: Floats) -> dict[str, Any]:
    mean, count = float(observed.mean()), len(observed)
    error = float(observed.std(ddof=1) / count**0.5) if count > 1 else 0.0
    difference = float(predicted.mean()) - mean
    return {
        "address": f"0x{address:04X}",
        "mean_ms": _round(mean),
        "predicted_ms": _round(predicted.mean()),
        "error_percent": _round(100 * difference / mean),
        "chi2": _round((difference / error) ** 2) if error else None,
        "range_ms": _round(np.ptp(observed)),
        "predicted_range_ms": _round(_range(predicted, count)),
    }


def _range(samples: Floats, size: int) -> float:
    """Mean range of `size` samples."""
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return float(np.ptp(blocks, axis=1).mean()) if len(blocks) else float(np.ptp(samples))


def _round(value: Any) -> float:
    return round(float(value), 3)
