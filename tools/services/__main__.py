"""`tools/services/run`: boot a Debian 12 with the services, check them, print the figures as JSON."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from common.errors import MeshtwinError
from tools.benchmarks.report import report
from tools.services import image
from tools.services.checks import CHECKS, Check
from tools.services.container import Container
from tools.services.programs import check_machine

console = Console(stderr=True, highlight=False)


def main() -> int:
    """Exit codes: 0 when every check holds, 1 when one does not, 2 when it cannot be played here."""
    options = _parser().parse_args()
    # As Ctrl-C: the container must not outlive its campaign.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _campaign(options)
    except KeyboardInterrupt:
        console.print("interrupted: the container is stopped")
        return 130


def _campaign(options: argparse.Namespace) -> int:
    try:
        check_machine()
        options.work.mkdir(parents=True, exist_ok=True)
        system = _machine(options.work)
    except MeshtwinError as error:
        console.print(f"[red]error:[/] {error}")
        return 2
    wanted = [c for c in CHECKS if not options.only or c.__name__ in options.only or c is CHECKS[0]]
    with Container(system, options.work / "console.log") as inside:
        results: dict[str, dict[str, Any]] = {}
        for number, check in enumerate(wanted, 1):
            results[check.__name__] = _play(number, check, inside)
            if "failed" in results[CHECKS[0].__name__]:
                break  # Nothing runs that could be checked.
        failed = sum("failed" in result for result in results.values())
        if failed and options.keep:
            console.input("failed; the container stays until you press Enter ")
    print(json.dumps(report("services", results, quick=bool(options.only))), flush=True)
    console.print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _machine(work: Path) -> Path:
    with console.status("a bare Debian 12 (once, about a minute)"):
        base = image.bare_system(work)
    with console.status("the project and what it needs, as wheels"):
        wheels = image.wheels(work, sys.executable)
    with console.status("installing it into a copy of the system"):
        return image.machine(work, base, wheels)


def _play(number: int, check: Check, inside: Container) -> dict[str, Any]:
    purpose = (check.__doc__ or "").strip()
    begun = time.monotonic()
    try:
        with console.status(f"{number}. {purpose}"):
            result = check(inside)
    except MeshtwinError as error:
        console.print(f"[red]FAILED[/] {purpose}\n       {error}")
        return {"failed": str(error)}
    console.print(f"[green]ok[/]     {purpose} [dim]{time.monotonic() - begun:.0f} s[/]")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/services/run",
        description="Check the systemd units on a Debian 12 booted by systemd-nspawn. Takes root, a package "
        "mirror and about six minutes. Progress goes to standard error, the figures to standard output.",
        epilog="examples: tools/services/run; tools/services/run --only hung_agent --keep",
    )
    parser.add_argument(
        "--only", action="append", choices=[c.__name__ for c in CHECKS], help="this check alone; repeatable"
    )
    parser.add_argument("--keep", action="store_true", help="leave the container up when a check has failed")
    parser.add_argument(
        "--work", type=Path, default=Path("/var/tmp/meshtwin-services"), help="where the system is kept"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
