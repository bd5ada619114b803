"""`tools/interop`: our mesh stack among real nodes; prints the figures of every check as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from common import logs
from common.errors import MeshtwinError
from tools.benchmarks.report import report
from tools.interoperability.campaign import CHECKS, Check, play, stage
from tools.stage import ending

console = Console(stderr=True, highlight=False)


def main() -> int:
    """Exit codes: 0 when every check holds, 1 when one does not, 2 when it cannot be played here."""
    options = _parser().parse_args()
    logs.configure(level="error")
    chosen = [check for check in CHECKS if not options.only or check.__name__ in options.only]
    try:
        with tempfile.TemporaryDirectory(prefix="interop-") as folder:
            results = ending.run(_campaign(Path(folder), options, chosen))
    except MeshtwinError as error:
        console.print(f"[red]error:[/] {error}")
        return 2
    except KeyboardInterrupt:
        console.print("interrupted: everything that it started is stopped")
        return ending.leave()
    failed = sum("failed" in result for result in results.values())
    print(json.dumps(report("interop", results, quick=bool(options.only))), flush=True)
    console.print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


async def _campaign(
    folder: Path, options: argparse.Namespace, chosen: list[Check]
) -> dict[str, dict[str, object]]:
    console.print(f"{options.lamps} bluetooth-meshd nodes behind a virtual proxy …")
    results: dict[str, dict[str, object]] = {}
    async with stage(folder, options.lamps, options.rounds) as on:
        for check in chosen:
            results |= await play(on, [check])
            console.print(f"  {check.__name__}: {json.dumps(results[check.__name__])}")
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/interop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lamps", type=int, default=24, help="how many real nodes (default: 24)")
    parser.add_argument(
        "--rounds", type=int, default=10, help="repetitions of what has to hold again and again"
    )
    names = [check.__name__ for check in CHECKS]
    parser.add_argument(
        "--only", action="append", choices=names, help="play this check alone; may be repeated"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
