"""`heal --manual-clock`: deaths on simulated sites in simulated time, by seed, with what took how long.

Not the figure of record, which is of real time and of daemons: there is no broker here and no other process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tools.stage.healing_simulated import Mended, Play, play


async def figures(
    seeds: Iterable[int], faults: int, loss: float, soak_s: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Figures over one site a seed, `faults` deaths on each. Times are simulated seconds since the death."""
    plays: dict[int, Play] = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="heal-") as folder:
            plays[seed] = await play(Path(folder), seed, faults, loss, soak_s, partial(_tell, say, seed))
        say(f"seed {seed}: learnt in {plays[seed].learned_s:.0f} s")
    mended = [one for life in plays.values() for one in life.mended]
    return {
        "clock": "manual: simulated time, no broker, one process",
        "seeds": sorted(plays),
        **_healed(mended),
        "false_actions": sum(life.false_actions for life in plays.values()),
        "soak_s": soak_s,
        "loss": loss,
        "learned_s": {str(seed): round(life.learned_s, 1) for seed, life in plays.items()},
        "medians_s": {
            "told": _median(m.told_s for m in mended),
            "believed": _median(m.believed_s for m in mended),
            "applied": _median(m.applied_s for m in mended),
            "first_answer": _median(m.healed.first_sign_s for m in mended),
        },
        "answered_share": _share(mended),
        "transmissions_per_s": {
            "at_rest": _median(life.transmissions_per_s for life in plays.values()),
            "while_mending": _median(m.transmissions_per_s for m in mended),
        },
        "reports_per_s": _median(life.reports_per_s for life in plays.values()),
        "simulated_s": round(sum(life.simulated_s for life in plays.values())),
    }


def _healed(mended: list[Mended]) -> dict[str, Any]:
    times = sorted(m.healed.seconds for m in mended if m.healed.seconds is not None)
    return {
        "median_s": _median(times),
        "p95_s": round(times[min(len(times) - 1, int(0.95 * len(times)))], 2) if times else None,
        "faults": len(mended),
        "repaired": len(times),
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None


def _share(mended: list[Mended]) -> float | None:
    asked = sum(m.asked for m in mended)
    return round(sum(m.answered for m in mended) / asked, 3) if asked else None


def _tell(say: Callable[[str], None], seed: int, mended: Mended) -> None:
    healed = mended.healed
    times = {"told": mended.told_s, "believed": mended.believed_s, "applied": mended.applied_s}
    times |= {"first answer": healed.first_sign_s, "healed": healed.seconds}
    shown = ", ".join(f"{what} {'never' if t is None else f'{t:.2f} s'}" for what, t in times.items())
    say(f"seed {seed}: 0x{healed.relay:04x}, {len(healed.cut_off)} cut off: {shown}")
