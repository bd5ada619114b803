"""`tools/bench NAME [options]`: run a benchmark and print its result as one JSON object."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from common import logs
from common.errors import MeshtwinError
from common.tasks import together
from tools.benchmarks.report import report
from tools.stage import ending

BENCHMARKS: Final = (
    "agent-footprint",
    "forecast",
    "foresight",
    "heal",
    "ingest",
    "mesh-stack",
    "outbox",
    "placement",
    "placement-online",
    "placement-proposal",
    "task-costs",
    "tasks-live",
    "twin-accuracy",
    "twin-fleet",
    "twin-links",
    "twin-plans",
    "twin-search",
    "twin-speed",
    "twin-update-rate",
)
"""Each is a module beside this one, imported only when it is asked for: one that cannot be imported here, for
want of a library, stops no other."""


def main() -> int:
    """Parse the command line and run."""
    words = sys.argv[1:]
    # Before parsing: the options are those of the benchmarks that are asked for.
    named = [word for word in words if word in BENCHMARKS]
    names = BENCHMARKS if "--all" in words or not named else named[:1]
    modules = _loaded(names)
    options = _parser(modules.values()).parse_args(words)
    _resolve(options, Path(os.environ.get("MESHTWIN_CALLED_FROM") or ".").absolute())
    logs.configure(level="warning")
    if options.list:
        for name in names:
            print(f"{name:<16} {_summary(name)}")
        return 0
    if options.name is None and not options.all:
        _parser(modules.values()).print_help()
        return 2
    try:
        for name, module in modules.items():
            figures = ending.run(_measure(module, options))
            inputs = getattr(module, "inputs", _no_files)(options)
            print(json.dumps(report(name, figures, options.quick, inputs)), flush=True)
    except MeshtwinError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: everything that it started is stopped", file=sys.stderr)
        return ending.leave()
    return 0 if len(modules) == len(names) else 1


def _loaded(names: Sequence[str]) -> dict[str, ModuleType]:
    """The modules of benchmarks; one that cannot be imported is told, and left out."""
    modules = {}
    for name in names:
        try:
            modules[name] = importlib.import_module(f"tools.benchmarks.{_module(name)}")
        except ImportError as error:
            print(f"error: {name} cannot be played here: {error}", file=sys.stderr)
    return modules


def _resolve(options: argparse.Namespace, folder: Path) -> None:
    """Paths as whoever called `tools/bench` means them: it goes to the project's own folder first."""
    for name, value in vars(options).items():
        if isinstance(value, Path):
            setattr(options, name, folder / value)
        elif isinstance(value, list) and all(isinstance(one, Path) for one in value):
            setattr(options, name, [folder / one for one in value])


def _module(name: str) -> str:
    return name.replace("-", "_")


def _summary(name: str) -> str:
    """The first line of what a benchmark's module says of itself, without importing it."""
    source = Path(__file__).with_name(f"{_module(name)}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _no_files(_: argparse.Namespace) -> list[Path]:
    """What a benchmark without `inputs` was measured on."""
    return []


async def _measure(module: ModuleType, options: argparse.Namespace) -> dict[str, Any]:
    """Run one benchmark as a task, so that whatever fails in its groups comes out as one error."""
    async with together() as tasks:
        running = tasks.create_task(module.run(options))
    figures: dict[str, Any] = running.result()
    return figures


def _parser(modules: Iterable[ModuleType]) -> argparse.ArgumentParser:
    """With the options of these modules."""
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Measure a figure. Progress goes to standard error, the result to standard output.",
        epilog="examples: tools/bench --list; tools/bench heal --quick; tools/bench --all --quick",
    )
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="which benchmark")
    parser.add_argument("--list", action="store_true", help="name the benchmarks")
    parser.add_argument("--all", action="store_true", help="run every benchmark")
    parser.add_argument("--quick", action="store_true", help="short soaks and outages")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random (default 1)")
    for module in modules:
        module.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
