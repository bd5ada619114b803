"""Compiling the simulator when the coordinator is installed, as the account that will use it.

Not at every start: a worker that finds the cache stale compiles by itself, which only the first question
feels. An image cannot do it: what is compiled is for the processor that it runs on.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ACCOUNT: Final = "meshtwin-coordinator"
CACHE: Final = "/var/cache/meshtwin/coordinator/numba"
STATE: Final = "/var/lib/meshtwin/coordinator"
LONGEST_S: Final = 600.0


def warmed(root: Path, python: str) -> Iterator[str]:
    """Do it, telling what is done. A failure is only told: the services work without."""
    if root != Path("/"):
        yield f"note: the first question compiles the simulator; beforehand, on that machine: {_line(python)}"
        return
    yield "compiling the simulator, up to a minute"
    try:
        done = subprocess.run(
            [python, "-m", "coordinator.engine.warming"],
            user=ACCOUNT,
            group=ACCOUNT,
            extra_groups=[],
            cwd="/",
            env={"NUMBA_CACHE_DIR": CACHE, "HOME": STATE, "PATH": "/usr/bin:/bin"},
            umask=0o077,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, LookupError, subprocess.SubprocessError) as error:
        yield f"note: not compiled ({error}); the first question will wait for it"
        return
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        yield f"note: not compiled ({said[:200]}); the first question will wait for it"
    else:
        yield done.stdout.strip()


def _line(python: str) -> str:
    return f"sudo -u {ACCOUNT} env NUMBA_CACHE_DIR={CACHE} {python} -m coordinator.engine.warming"
