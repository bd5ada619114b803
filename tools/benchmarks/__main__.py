"""`tools/bench NAME [options]`: run a benchmark and print its result as one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from common import logs
from common.errors import MeshtwinError
from common.tasks import together
from tools.benchmarks import (
    agent_footprint,
    forecast,
    foresight,
    heal,
    ingest,
    mesh_stack,
    outbox,
    twin_accuracy,
    twin_search,
    twin_speed,
)
from tools.benchmarks.report import report
from tools.stage import ending

Benchmark = Callable[[argparse.Namespace], Awaitable[dict[str, Any]]]
BENCHMARKS: dict[str, Any] = {
    "agent-footprint": agent_footprint,
    "forecast": forecast,
    "foresight": foresight,
    "heal": heal,
    "ingest": ingest,
    "mesh-stack": mesh_stack,
    "outbox": outbox,
    "twin-accuracy": twin_accuracy,
    "twin-search": twin_search,
    "twin-speed": twin_speed,
}


def main() -> int:
    """Parse the command line and run."""
    options = _parser().parse_args()
    logs.configure(level="warning")
    if options.list:
        for name, module in BENCHMARKS.items():
            print(f"{name:<16} {module.__doc__.splitlines()[0]}")
        return 0
    names = list(BENCHMARKS) if options.all else [options.name]
    if names == [None]:
        _parser().print_help()
        return 2
    try:
        for name in names:
            figures = ending.run(_measure(name, options))
            inputs = getattr(BENCHMARKS[name], "inputs", _no_files)(options)
            print(json.dumps(report(name, figures, options.quick, inputs)), flush=True)
    except MeshtwinError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: everything that it started is stopped", file=sys.stderr)
        return ending.STOPPED
    return 0


def _no_files(_: argparse.Namespace) -> list[Path]:
    """What a benchmark without `inputs` was measured on."""
    return []


async def _measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one benchmark as a task, so that whatever fails in its groups comes out as one error."""
    async with together() as tasks:
        running = tasks.create_task(BENCHMARKS[name].run(options))
    figures: dict[str, Any] = running.result()
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Measure a figure. Progress goes to standard error, the result to standard output.",
        epilog="examples: tools/bench --list; tools/bench heal --quick; tools/bench --all --quick",
    )
    parser.add_argument("name", nargs="?", choices=list(BENCHMARKS), help="which benchmark")
    parser.add_argument("--list", action="store_true", help="name the benchmarks")
    parser.add_argument("--all", action="store_true", help="run every benchmark")
    parser.add_argument("--quick", action="store_true", help="short soaks and outages")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random (default 1)")
    for module in BENCHMARKS.values():
        module.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
