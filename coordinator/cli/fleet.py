"""`coordinator twin fleet` and `coordinator engine`: all twins at a glance, and who does the work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from coordinator.cli.twin import AsJson, State, connect, show
from coordinator.cli.twin_tables import printed
from coordinator.twin.fleet_order import Order

_STATES = {"applied": "green", "undone": "yellow", "stuck": "red"}


def fleet(
    state: State = None,
    sort: Annotated[Order, typer.Option(help="What comes first: the worst of it.")] = Order.TRUST,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, max=10_000, help="At most this many sites.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every site and its twin, the worst first: what arrives, whether the twin is to be trusted, its age, the
    last plan."""
    with connect(state) as client:
        found = client.get("twin/fleet", sort=sort.value, limit=limit)
    show(found, _table, as_json)


def engine(state: State = None, as_json: AsJson = False) -> None:
    """Who computes what-ifs, searches, scores and tasks: processes of this machine, or a cluster."""
    with connect(state) as client:
        found = client.get("engine")
    show(found, _engine_table, as_json)


def _table(found: list[Mapping[str, Any]]) -> None:
    columns = ("site", "age", "nodes", "arrives", "worst flow", "twin's score", "trusted", "last plan")
    printed(columns, ((_cells(one)) for one in found), "No twins yet: nothing was measured.")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    dead = f" [red]{one['dead']} dead[/]" if one["dead"] else ""
    return (
        escape(one["site"]) + " [red]mesh down[/]" * (one["mesh_up"] is False),
        _span(one["age_s"]),
        f"{one['nodes']}{dead}",
        "-" if one["delivery"] is None else f"{100 * one['delivery']:.1f} %",
        _flow(one["worst"]),
        "-" if one["score"] is None else f"{one['score']:.2f} ({one['low']:.2f} to {one['high']:.2f})",
        f"[red]no[/]: {escape(one['doubt'])}" if one["doubt"] else "[green]yes[/]",
        _plan(one["plan"]),
    )


def _flow(flow: Mapping[str, Any] | None) -> str:
    if flow is None:
        return "-"
    return f"0x{flow['source']:04x} to 0x{flow['destination']:04x} {100 * flow['delivery']:.1f} %"


def _plan(plan: Mapping[str, Any] | None) -> str:
    if plan is None:
        return "-"
    colour = _STATES.get(plan["state"], "cyan")
    return f"{escape(plan['recipe'])} [{colour}]{plan['state']}[/] {_span(time.time() - plan['began'])} ago"


def _span(seconds: float) -> str:
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _engine_table(found: Mapping[str, Any]) -> None:
    workers = "as many as it has" if not found["workers"] else f"up to {found['workers']}"
    rows = [
        ("where", escape(found["where"])),
        ("workers", f"{workers}, {found['alive']} alive"),
        ("jobs", f"{found['running']} running, {found['waiting']} waiting (at most {found['most_waiting']})"),
        ("so far", f"{found['done']} done, {found['failed']} failed, {found['refused']} refused"),
        ("workers lost", str(found["died"])),
        ("problem", f"[red]{escape(found['problem'])}[/]" if found["problem"] else "-"),
    ]
    printed(("engine", ""), rows, "")
