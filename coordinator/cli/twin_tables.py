"""Answers about twins, recipes and plans for people."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Answer = Mapping[str, Any]
_ENDS = {
    "applied": "[green]applied[/]: nothing got worse",
    "undone": "[yellow]put back[/]: everything is as it was before",
    "stuck": "[red]stuck[/]: some nodes keep their changes, see above",
}
SHOWN = 30
WORST = 10


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A sign of life while something takes seconds; only for people."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(escape(what)):
            yield
    else:
        yield


@contextmanager
def progress() -> Iterator[Callable[[float, str], None]]:
    """A bar; only for people."""
    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)

        def tell(share: float, what: str) -> None:
            bar.update(task, completed=share, description=escape(what))

        yield tell


def simulated(outcome: Answer) -> None:
    rows = (
        (
            _way(flow),
            str(flow["sent"]),
            _percent(flow["pdr"]),
            _ms(flow["one_way_ms"], "p50"),
            _ms(flow["one_way_ms"], "p95"),
            _ms(flow.get("round_trip_ms"), "mean"),
        )
        for flow in outcome["flows"]
    )
    printed(("flow", "sent", "delivered", "p50 ms", "p95 ms", "round trip ms"), rows, "No flows.")
    totals = outcome["totals"]
    print(
        f"{totals['simulated_s']:.0f} s simulated in {totals['cpu_s']:.2f} s, {totals['transmissions']} "
        f"transmissions, {totals['collisions']} collisions"
    )


def scores(found: list[Answer]) -> None:
    rows = (
        (
            escape(one["site"]),
            "-" if one["score"] is None else f"{one['score']['value']:.2f}",
            "-" if one["score"] is None else f"{one['score']['low']:.2f} to {one['score']['high']:.2f}",
            _error(one, "delivery_error", 3),
            _error(one, "hops_error", 2),
            _error(one, "round_trip_error", 2),
            "[green]yes[/]" if one["vouches"] else f"[red]no[/]: {escape(one['doubt'])}",
        )
        for one in found
    )
    columns = ("site", "score", "90 % interval", "delivery", "hops", "round trip", "vouches")
    printed(columns, rows, "No twins yet: nothing was measured.")


def past(found: Answer) -> None:
    """One twin."""
    times = "{} x {} ms"
    rows = [
        ("time", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["t"]))),
        ("nodes", f"{found['nodes']}, dead: {_addresses(found['dead'])}"),
        ("gateways", _addresses(found["gateways"])),
        ("relays", _addresses(found["relays"])),
        ("links, flows", f"{found['links']}, {found['flows']}"),
        ("TTL", str(found["ttl"])),
        ("sends", times.format(*found["network_transmit"])),
        ("repeats", times.format(*found["relay_retransmit"])),
    ]
    printed((escape(found["site"]), ""), rows, "")
    scores([found])


def links(found: list[Answer]) -> None:
    """What is believed of links, the surest first."""
    rows = (
        (
            f"0x{one['transmitter']:04x}",
            f"0x{one['receiver']:04x}",
            f"{one['pdr']:.3f}",
            f"{one['deviation']:.3f}",
        )
        for one in sorted(found, key=lambda one: float(one["deviation"]))
    )
    printed(("from", "to", "PDR", "+/-"), rows, "No links are known.")


def recipes(found: list[Answer]) -> None:
    rows = ((one["name"], one["kind"], escape(one["title"])) for one in found)
    printed(("recipe", "kind", "what"), rows, "No recipes.")


def recipe(found: Answer) -> None:
    console = Console()
    console.print(f"[bold]{found['name']}[/] ({found['kind']}): {escape(found['title'])}\n")
    console.print(escape(found["help"].strip()) + "\n")
    if found["recipes"]:
        console.print(f"Runs in turn: {', '.join(found['recipes'])}\n")
    rows = (
        (
            name,
            f"{one['default']} {one['unit']}".strip() or "-",
            _limits(one),
            escape(one["help"]),
        )
        for name, one in found["parameters"].items()
    )
    printed(("parameter", "default", "limits", "what"), rows, "It has no parameters.")
    for example in found["examples"]:
        console.print(f"Example: {escape(example)}")


def ran(found: Answer) -> None:
    console = Console()
    for answer in found["answers"]:
        console.print(f"[bold]{answer['recipe']}[/]: {escape(answer['summary'])}")
        if answer["rows"]:
            rows = [
                tuple("-" if cell is None else escape(str(cell)) for cell in row) for row in answer["rows"]
            ]
            printed(tuple(answer["columns"]), rows[:SHOWN], "")
            if len(rows) > SHOWN:
                console.print(f"… {len(rows) - SHOWN} more: --json")
        for note in answer["notes"]:
            console.print(f"[yellow]note[/]: {escape(note)}")
        console.print()
    if found["plan"] is not None:
        plan(found["plan"])


def plan(found: Answer) -> None:
    """The steps, and what they come to."""
    console = Console()
    console.print(f"[bold]Plan {found['id']}[/] for {escape(found['site'])}: {escape(found['reason'])}")
    rows = (
        (
            str(number),
            escape(step["title"]),
            escape(_changes(step["changes"])),
            _percent(step["delivery"]),
            _percent(step["worst_delivery"]),
        )
        for number, step in enumerate(found["steps"], 1)
    )
    printed(("step", "what", "changes", "delivery", "worst"), rows, "No steps: everything is as it wants.")
    worse = [flow for flow in found["flows"] if flow["effect"] in ("worse", "ended")]
    unsure = sum(flow["effect"] == "undecided" for flow in found["flows"])
    if worse:
        worse.sort(key=lambda f: f["after"] - f["before"])
        lines = (
            (_way(f), _percent(f["before"]), f"{_percent(f['low'])} to {_percent(f['high'])}", f["effect"])
            for f in worse[:WORST]
        )
        printed(("flow", "now", "then (90 %)", "is to be expected"), lines, "")
        if len(worse) > WORST:
            console.print(f"These {WORST} come off worst; {len(worse) - WORST} more get worse: --json")
    if unsure:
        console.print(f"{unsure} of {len(found['flows'])} flows may gain or lose a little: that is watched.")
    for note in found["notes"]:
        console.print(f"[yellow]note[/]: {escape(note)}")


def effects(found: Answer, *, everything: bool = False) -> None:
    """What becomes of each flow, the worst first; `SHOWN` of them unless `everything` is wanted."""
    console = Console()
    order = {"ended": 0, "worse": 1, "undecided": 2, "better": 3, "harmless": 4}
    flows = sorted(found["flows"], key=lambda f: (order[f["effect"]], f["change"]["mean"]))
    shown = flows if everything else flows[:SHOWN]
    rows = (
        (
            _way(flow),
            _percent(flow["before"]["mean"]),
            _percent(flow["after"]["mean"]),
            f"{100 * flow['change']['low']:+.1f} to {100 * flow['change']['high']:+.1f}",
            _p95(flow["latency_before_ms"]),
            _p95(flow["latency_after_ms"]),
            flow["effect"],
        )
        for flow in shown
    )
    columns = ("flow", "now", "then", "change, points", "p95 ms now", "then", "is to be expected")
    printed(columns, rows, "No flows.")
    if len(shown) < len(flows):
        console.print(
            f"These {len(shown)} change most, the worst first; {len(flows) - len(shown)} more flows: --all"
        )
    counts = {name: sum(flow["effect"] == name for flow in flows) for name in order}
    said = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    console.print(f"{said or 'nothing'}; by {found['method']}: {escape(found['reason'])}")
    if not found["vouches"]:
        console.print(f"[yellow]note[/]: the twin does not vouch for this: {escape(found['doubt'])}")


def applications(found: list[Answer]) -> None:
    rows = (
        (
            one["id"],
            escape(one["site"]),
            f"[bold]{one['state']}[/]{', to be put back' * (one['unwanted'] and one['state'] == 'applying')}",
            f"{one['taken']}/{one['steps']}",
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["began"])),
            escape(one["reason"] or (one["story"][-1]["text"] if one["story"] else "")),
        )
        for one in found
    )
    printed(("id", "site", "state", "steps", "began", "what"), rows, "No plan was applied yet.")


def story(lines: Iterable[Answer]) -> None:
    """Further lines of an application's story."""
    console = Console()
    for line in lines:
        console.print(f"{time.strftime('%H:%M:%S', time.localtime(line['t']))} {escape(line['text'])}")
    sys.stdout.flush()


def ended(found: Answer) -> None:
    Console().print(_ENDS[found["state"]])


def printed(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], empty: str) -> None:
    """A table, or what is said instead of an empty one."""
    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table if table.row_count else escape(empty))


def _changes(changes: list[Answer]) -> str:
    from coordinator.recipes.plan import NodeSetting

    shown = [str(NodeSetting.model_validate(change)) for change in changes[:4]]
    return ", ".join(shown) + (f" and {len(changes) - 4} more" if len(changes) > 4 else "")


def _limits(parameter: Answer) -> str:
    if parameter["choices"]:
        return ", ".join(parameter["choices"])
    if parameter["minimum"] is None:
        return "-"
    return f"{parameter['minimum']:g} to {parameter['maximum']:g}"


def _error(one: Answer, name: str, places: int) -> str:
    value = None if one["score"] is None else one["score"][name]
    return "-" if value is None else f"{value:.{places}f}"


def _way(flow: Answer) -> str:
    return f"0x{flow['source']:04x} -> 0x{flow['destination']:04x}"


def _addresses(found: list[int]) -> str:
    shown = ", ".join(f"0x{address:04x}" for address in found[:12])
    return (shown or "none") + (f" and {len(found) - 12} more" if len(found) > 12 else "")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _ms(latency: Answer | None, name: str) -> str:
    return "-" if latency is None else f"{latency[name]:.1f}"


def _p95(latency: list[float] | None) -> str:
    return "-" if latency is None else f"{latency[1]:.1f}"
