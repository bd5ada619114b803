"""`tools/fuzz`: feed every parser with inputs that a coverage-guided fuzzer makes up (atheris, libFuzzer).

Each target runs in a process of its own, at the lowest priority, for its share of the time. An input that
raises what is not named ends its target and is kept; the line to add to the tests is printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
STATE: Final = ROOT / ".fuzz"
INSTRUMENTED: Final = ("common", "firmware_bridge", "edge_agent")
LOWEST_PRIORITY: Final = 19
MEMORY_MIB: Final = 1024
SLOWEST_INPUT_S: Final = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one target fared: inputs tried, branches reached, and the input that broke it, if any."""

    target: str
    executions: int
    coverage: int
    broken_by: str | None

    @classmethod
    def read(cls, target: str, log: str, artifacts: Path) -> Outcome:
        """From what libFuzzer printed and left behind."""
        executed = re.findall(r"stat::number_of_executed_units: (\d+)|Done (\d+) runs", log)
        covered = re.findall(r"cov: (\d+)", log)
        broken = sorted(artifacts.iterdir())
        return cls(
            target,
            max((int(a or b) for a, b in executed), default=0),
            int(covered[-1]) if covered else 0,
            broken[0].read_bytes().hex() if broken else None,
        )


def main() -> int:
    """Parse the command line and run; 1 when a target broke."""
    options = _parser().parse_args()
    if options.inside is not None:
        _fuzz(options.inside, options.rest)
    from tools.fuzzing.targets import TARGETS

    names = options.target or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        print(f"error: no target {', '.join(sorted(unknown))}\n  fix: tools/fuzz --list", file=sys.stderr)
        return 2
    if options.list:
        for name in names:
            print(f"{name:<22} {(TARGETS[name].run.__doc__ or '').splitlines()[0]}")
        return 0
    each = options.each or max(1, options.seconds // len(names))
    outcomes = [_one(name, each, options.seed) for name in names]
    print(json.dumps({"seconds": each * len(names), "targets": [asdict(outcome) for outcome in outcomes]}))
    return 1 if any(outcome.broken_by for outcome in outcomes) else 0


def _one(name: str, seconds: int, seed: int) -> Outcome:
    """Fuzz one target; its corpus grows under `.fuzz/` from run to run."""
    from tools.fuzzing.targets import TARGETS

    corpus, artifacts = _folders(name, TARGETS[name].begin_with)
    command = [
        *(sys.executable, "-m", "tools.fuzzing", "--inside", name, "--", str(corpus)),
        f"-max_total_time={seconds}",
        f"-max_len={TARGETS[name].most}",
        f"-artifact_prefix={artifacts}/",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-timeout={SLOWEST_INPUT_S}",
        f"-seed={seed}",
        "-print_final_stats=1",
    ]
    print(f"{name}: {seconds} s", file=sys.stderr, flush=True)
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        preexec_fn=lambda: os.nice(LOWEST_PRIORITY),  # noqa: PLW1509  # no threads here
    )
    outcome = Outcome.read(name, done.stderr + done.stdout, artifacts)
    if outcome.executions == 0 or outcome.broken_by is not None:
        print(done.stdout[-3000:] + done.stderr[-3000:], file=sys.stderr)
    if outcome.broken_by is not None:
        print(f"add to tests/fuzz/found/{name}.txt:\n{outcome.broken_by}", file=sys.stderr)
    return outcome


def _folders(name: str, begin_with: tuple[bytes, ...]) -> tuple[Path, Path]:
    """The corpus with the seeds in it, and an empty folder for what breaks the target."""
    corpus, artifacts = STATE / name / "corpus", STATE / name / "broken"
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for old in artifacts.iterdir():
        old.unlink()
    for data in begin_with:
        (corpus / sha256(data).hexdigest()[:16]).write_bytes(data)
    return corpus, artifacts


def _fuzz(name: str, arguments: list[str]) -> None:
    """Run one target under libFuzzer, in this process; never returns."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        targets = importlib.import_module("tools.fuzzing.targets")
    atheris.Setup([name, *arguments], targets.TARGETS[name].run)
    atheris.Fuzz()


def _seconds(text: str) -> int:
    if (seconds := int(text)) < 1:
        raise ValueError
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tools/fuzz",
        description="Fuzz the parsers of everything that comes from outside over the mesh.",
        epilog="examples: tools/fuzz; tools/fuzz --target node --seconds 60; tools/fuzz --each 600",
    )
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together (default 600)")
    parser.add_argument("--each", type=_seconds, help="for every target, instead of --seconds for all")
    parser.add_argument("--target", action="append", help="only this target; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's randomness (default 1)")
    parser.add_argument("--list", action="store_true", help="name the targets")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
