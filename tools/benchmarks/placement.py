"""Placement: J over the best known one, and CPU time per decision, by family of instances.

`--instances DIR` holds one folder per family with its instances; `--schedules OUT` gets one schedule for each
in the checker's form. The interpreted kernel is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from common.errors import Misconfigured, Rejected
from common.placement import Instance, Schedule, best_static, cpop, heft, heft_j, peft, schedule
from common.placement.kernel import is_compiled
from tools.benchmarks.report import ROOT

DEFAULT: Final = Path(os.environ.get("MESHTWIN_DATA", ROOT.parent / "shared/data")) / "placement"
_WARM_UPS: Final = 3
_BASELINES: Final = {"heft": heft, "cpop": cpop, "peft": peft, "heft_j": heft_j, "best_static": best_static}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where instances come from, where schedules go to."""
    parser.add_argument("--instances", type=Path, default=DEFAULT, help="placement: folder of families")
    parser.add_argument("--schedules", type=Path, help="placement: folder for the schedules")


def inputs(options: argparse.Namespace) -> list[Path]:
    """Every instance."""
    return [path for paths in _families(options.instances).values() for path in paths]


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Figures per family; `interpreted_…` are those of the kernel without a compiler, if there are others."""
    families = _families(options.instances)
    figures: dict[str, Any] = {name: _family(paths, options) for name, paths in families.items()}
    for name, slow in _interpreted(options).items() if is_compiled() else ():
        for key in ("ratio_mean", "ratio_p95", "decision_ms_mean", "evaluations_mean"):
            figures[name][f"interpreted_{key}"] = slow.get(key)
    return figures


def _families(folder: Path) -> dict[str, list[Path]]:
    families = {path.name: sorted(path.glob("*.json")) for path in sorted(folder.glob("*")) if path.is_dir()}
    found = {name: paths for name, paths in families.items() if paths}
    # A folder of instances alone is a family.
    alone = sorted(folder.glob("*.json"))
    if not found and alone:
        return {folder.name: alone}
    if not found:
        raise Misconfigured(f"no instances in {folder}", "--instances DIR, with one folder per family")
    return found


def instance_in(path: Path) -> Instance:
    """The instance in a file. Raises Misconfigured, naming the file."""
    try:
        return Instance.parse(path.read_bytes())
    except Rejected as error:
        raise Misconfigured(f"{path}: {error.detail}", "mend the file, or move it away") from error
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}", "move it away") from error


def _family(paths: Sequence[Path], options: argparse.Namespace) -> dict[str, Any]:
    instances = [instance_in(path) for path in paths]
    for instance in instances[:_WARM_UPS]:
        schedule(instance, seed=options.seed)
    plans, spent = [], 0.0
    for instance in instances:
        begun = time.thread_time()
        plans.append(schedule(instance, seed=options.seed))
        spent += time.thread_time() - begun
    if options.schedules is not None:
        _write(options.schedules, paths, plans)
    figures = _ratios(instances, plans)
    figures["decision_ms_mean"] = round(1e3 * spent / len(plans), 3)
    figures["evaluations_mean"] = round(sum(plan.evaluations for plan in plans) / len(plans))
    if not os.environ.get("MESHTWIN_INTERPRETED"):
        for name, scheduler in _BASELINES.items():
            ratios = _ratios(instances, [scheduler(instance) for instance in instances])
            figures[f"{name}_ratio_mean"] = ratios.get("ratio_mean")
    return figures


def _ratios(instances: Sequence[Instance], plans: Sequence[Schedule]) -> dict[str, Any]:
    """Of instances with a reference: mean, and the 95th percentile (the next larger value)."""
    found = sorted(
        plan.cost / instance.reference.best
        for instance, plan in zip(instances, plans, strict=True)
        if instance.reference is not None
    )
    figures: dict[str, Any] = {"instances": len(instances), "proven": _proven(instances)}
    if found:
        figures["ratio_mean"] = round(sum(found) / len(found), 4)
        figures["ratio_p95"] = round(found[min(len(found) - 1, int(0.95 * len(found)))], 4)
    return figures


def _proven(instances: Iterable[Instance]) -> int:
    return sum(instance.reference is not None and instance.reference.proven_optimal for instance in instances)


def _write(folder: Path, paths: Sequence[Path], plans: Sequence[Schedule]) -> None:
    for path, plan in zip(paths, plans, strict=True):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(plan.as_json()))


def _interpreted(options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.benchmarks", "placement", "--instances", str(options.instances)]
    environment = {**os.environ, "MESHTWIN_INTERPRETED": "1"}
    done = subprocess.run(
        [*command, "--seed", str(options.seed)], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE
    )
    figures: dict[str, Any] = json.loads(done.stdout)["figures"]
    return figures
