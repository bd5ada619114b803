"""`coordinator twin sweep`: one what-if for every combination of some values, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from common.errors import Misconfigured
from common.topics import check_name
from coordinator.cli import twin_tables as tables
from coordinator.cli.asking import answers
from coordinator.cli.twin import LONG_S, AsJson, At, Seed, State, connect, moment, show
from coordinator.cli.usage import asked_rightly

if TYPE_CHECKING:
    from coordinator.twin.sweep import Row, Setting

AT_ONCE: Final = 8
"""Questions to the coordinator under way at once, however many workers it has."""


@asked_rightly("coordinator twin sweep --help, and coordinator twin score for the sites")
def sweep(
    site: Annotated[str | None, typer.Argument(help="The site to ask about.")] = None,
    state: State = None,
    scenario: Annotated[
        Path | None, typer.Option(help="Ask about a scenario file instead; needs no coordinator.")
    ] = None,
    ttl: Annotated[str | None, typer.Option(metavar="VALUES", help="TTLs, such as 3-8 or 3,5,7.")] = None,
    transmit: Annotated[
        str | None, typer.Option(metavar="VALUES", help="Network transmits: 1-4 (20 ms apart), 1x20,3x40.")
    ] = None,
    retransmit: Annotated[
        str | None, typer.Option(metavar="VALUES", help="Relay retransmits, written alike.")
    ] = None,
    load: Annotated[
        str | None, typer.Option(metavar="VALUES", help="Everything is sent so often: 1,2,4.")
    ] = None,
    times: Annotated[bool, typer.Option(help="Latencies, too: takes longer.")] = False,
    seed: Seed = 1,
    at: At = None,
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="With --scenario: processes at once; 0: one a processor.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """What every combination of some values would do to a site, the best first. Changes nothing."""
    from coordinator.twin import sweep as sweeps

    if (site is None) is (scenario is None):
        raise Misconfigured("name a site, or a scenario file", "coordinator twin sweep SITE --ttl 3-8")
    if site is not None:
        check_name(site, "site")
    chosen = sweeps.settings(
        ttls=sweeps.numbers(ttl, 2, 127, "--ttl") if ttl is not None else (),
        transmits=sweeps.transmits(transmit, "--transmit") if transmit is not None else (),
        retransmits=sweeps.transmits(retransmit, "--retransmit") if retransmit is not None else (),
        loads=sweeps.loads(load) if load is not None else (),
    )
    if scenario is not None:
        rows = _here(scenario, chosen, times, seed, workers)
    else:
        rows = _there(state, str(site), chosen, times, seed, at)
    show([one.as_json() for one in sweeps.ranked(rows)], _table, as_json)


def _here(scenario: Path, chosen: list[Setting], times: bool, seed: int, workers: int) -> list[Row]:
    from common import scenario as scenarios
    from coordinator.config import EngineSettings
    from coordinator.engine import open_engine
    from coordinator.twin.site_model import SiteModel
    from coordinator.twin.sweep import effects_of

    model = SiteModel.of(scenarios.read(scenario))
    with open_engine(EngineSettings(workers=workers)) as engine:
        at_once = engine.describe().workers
        return _rows(
            chosen, lambda one, play: engine.call(effects_of, model, one, play, seed), times, at_once
        )


def _there(
    state: Path | None, site: str, chosen: list[Setting], times: bool, seed: int, at: str | None
) -> list[Row]:
    import time

    t = None if at is None else moment(at, time.time())
    with connect(state) as client:
        engine = client.get("engine")
    return _rows(
        chosen,
        partial(_ask, state, site, {"seed": seed, "t": t}),
        times,
        min(AT_ONCE, max(1, engine["workers"] or engine["alive"])),
    )


def _ask(state: Path | None, site: str, said: Mapping[str, Any], one: Setting, times: bool) -> Any:
    with connect(state, LONG_S) as client:
        return client.post(f"sites/{site}/whatif", **said, times=times, **one.asked())


def _rows(chosen: list[Setting], ask: Callable[[Setting, bool], Any], times: bool, at_once: int) -> list[Row]:
    """What each setting comes to. Where only some were simulated, the best of the others are, too."""
    from coordinator.twin.sweep import finalists, row

    def asked(some: list[Setting], play: bool) -> dict[Setting, Row]:
        with tables.progress() as tell:
            found = answers(some, lambda one: ask(one, play), at_once, tell)
        return {one: row(one, effects) for one, effects in zip(some, found, strict=True)}

    rows = asked(chosen, times)
    if again := finalists(list(rows.values())):
        rows |= asked(again, True)
    return list(rows.values())


def _table(found: list[Mapping[str, Any]]) -> None:
    swept = [name for name in _SETTINGS if any(one["setting"][name] not in (None, 1.0) for one in found)]
    columns = (*(_SETTINGS[name][0] for name in swept), "arrives", "worst", "surely", "worse", "channel",
               "p95 ms", "model")  # fmt: skip
    rows = ((*(_SETTINGS[name][1](one["setting"][name]) for name in swept), *_cells(one)) for one in found)
    tables.printed(columns, rows, "Nothing to compare.")
    apart = sum(one["method"] != "simulation" for one in found)
    if 0 < apart < len(found):
        print(f"The last {apart} are ranked apart: their model knows no collisions. --times simulates all.")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{100 * one['delivery']:.1f} %",
        f"{100 * one['worst']:.1f} %",
        f"{100 * one['low']:.1f} %",
        str(one["worse"] or "-"),
        f"{100 * one['occupancy']:.1f} %",
        "-" if one["p95_ms"] is None else f"{one['p95_ms']:.0f}",
        str(one["method"]),
    )


def _timing(transmit: Mapping[str, int]) -> str:
    return f"{transmit['count']}x{transmit['interval_ms']}"


_SETTINGS: Final[Mapping[str, tuple[str, Callable[[Any], str]]]] = {
    "ttl": ("TTL", str),
    "transmit": ("sends", _timing),
    "retransmit": ("repeats", _timing),
    "load": ("load", "{:g}".format),
}
"""Columns of what may be swept. What was not is not shown."""
