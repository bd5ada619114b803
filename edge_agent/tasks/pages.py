"""Jobs, plans and kinds as people read them. For the command line only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

Answer = Mapping[str, Any]
GOOD, BAD, DOUBTFUL = "green", "bold red", "yellow"
SHOWN_TASKS: Final = 200
_STYLES: Final = {"done": GOOD, "failed": BAD, "cancelled": DOUBTFUL, "running": "cyan", "live": "cyan"}


def jobs(found: Iterable[Answer]) -> Table:
    """The list."""
    table = _table("job", "name", "state", "tasks", "submitted", "took", "note")
    for column in table.columns[:1]:
        column.no_wrap = True
    for one in found:
        done = one["counts"].get("done", 0)
        table.add_row(
            _text(one["job"]),
            _text(one["name"][:40]),
            _text(one["state"], _STYLES.get(one["state"], "")),
            f"{done}/{one['tasks']}",
            time.strftime("%d. %H:%M", time.localtime(one["submitted"])),
            _took(one),
            _text(_note(one)),
        )
    return table


def job(told: Answer) -> RenderableType:
    """One job with its tasks."""
    facts = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("job", _text(f"{told['job']}: {told['name']}"))
    facts.add_row("state", _text(told["state"], _STYLES.get(told["state"], "")))
    if note := _note(told):
        facts.add_row("note", _text(note, BAD if told["state"] == "failed" else ""))
    facts.add_row("service", _text(f"{told['service']}, priority {told['priority']}"))
    if told["state"] == "live":
        facts.add_row("deputy", _text(told.get("deputy") or "none"))
    facts.add_row("took", _took(told))
    if told.get("promised_s") is not None:
        facts.add_row("foretold", f"{told['promised_s']:.2f} s")
    machines = ", ".join(f"{name}: {count}" for name, count in sorted(told["machines"].items()))
    facts.add_row("ran on", _text(machines or "nothing yet"))
    facts.add_row(
        "work", f"{told['cpu_s']:.2f} s of CPU; energy about {told['energy_j']:.2f} J (modelled from that)"
    )
    return Group(facts, "", _tasks(told["task_rows"]))


def plan(told: Answer) -> RenderableType:
    """A job's plan."""
    if not told["planned"]:
        why = (
            told.get("waits_for")
            or "its plan is no longer kept (the agent was restarted, or it is long over)"
        )
        return _text(f"{told['job']}: no plan: {why}")
    head = (
        f"{told['job']}: {told['method']}; J {told['cost']:.3f} of this gateway alone; "
        f"{told['finish_s']:.2f} s and about {told['energy_j']:.2f} J from the plan on"
    )
    table = _table("task", "machine", "from s", "to s", "ran on")
    for row in told["task_rows"][:SHOWN_TASKS]:
        table.add_row(
            _text(row["task"]),
            _text(row["machine"]),
            f"{row['start_s']:.2f}",
            f"{row['finish_s']:.2f}",
            _text(row["ran_on"] or ""),
        )
    return Group(_text(head), "", table, *_rest(told["task_rows"]))


def alternatives(told: Answer) -> RenderableType:
    """What each machine would cost for a task."""
    if not told["alternatives"]:
        return _text(f"{told['task']}: nothing is known of its plan any more")
    table = _table("machine", "tier", "task s", "task J", "graph s", "graph J", "J", "")
    best = min(row["cost"] for row in told["alternatives"] if row["possible"])
    for row in told["alternatives"]:
        if not row["possible"]:
            table.add_row(_text(row["machine"]), row["tier"], "-", "-", "-", "-", "-", "cannot run it")
            continue
        note = "chosen" if row["chosen"] else f"+ {100 * (row['cost'] / best - 1):.1f} %" if best else ""
        figures = [row["task_s"], row["task_energy_j"], row["finish_s"], row["energy_j"]]
        table.add_row(
            _text(row["machine"]),
            row["tier"],
            *(f"{figure:.3f}" for figure in figures),
            f"{row['cost']:.4f}",
            _text(note, GOOD if row["chosen"] else ""),
        )
    ran = f"; it ran on {told['ran_on']}" if told["ran_on"] else ""
    head = f"{told['task']}: the whole graph's time, energy and J with it on each machine{ran}"
    return Group(_text(head), "", table)


def kinds(found: Iterable[Answer]) -> RenderableType:
    """Every kind with its parameters."""
    parts: list[RenderableType] = []
    for kind in found:
        parts.append(Text.assemble((kind["kind"], "bold"), f"  {kind['summary']}"))
        optional = f" [{', '.join(kind['optional'])}]" if kind["optional"] else ""
        parts.append(f"    inputs: {', '.join(kind['inputs']) or 'none'}".rstrip() + optional)
        parts.append(f"    outputs: {', '.join(kind['outputs'])}")
        for name, about in kind["parameters"].items():
            limits = ", ".join(f"{key} {value}" for key, value in about.items() if key not in ("type",))
            parts.append(_text(f"    {name}: {about['type']}, {limits}"))
        parts.append("")
    return Group(*(part if not isinstance(part, str) else _text(part) for part in parts))


def costs(found: Iterable[Answer]) -> Table:
    """What was learned."""
    table = _table("machine", "kind", "runs", "times the hint", "spread")
    for row in found:
        spread = f"± {100 * row['spread']:.0f} %"
        table.add_row(
            _text(row["machine"]), _text(row["kind"]), str(row["runs"]), f"{row['factor']:.2f}", spread
        )
    return table


def cost_model(told: Answer) -> Table | str:
    """Which of model and estimate is used for each kind, and why."""
    if told["failure"]:
        return f"the cost model was dropped: {told['failure']}"
    if not told["kinds"]:
        return "there is a cost model; no run was compared with it yet"
    table = _table("kind", "runs", "used", "why")
    for kind, row in told["kinds"].items():
        table.add_row(_text(kind), str(row["runs"]), _text(row["used"]), _text(row["why"]))
    return table


def followed(look: Callable[[int], dict[str, Any]], quiet: bool) -> dict[str, Any]:
    """Show a bar until the job is over; what it is then. `look` waits for a change beyond the number seen."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[where]}", markup=False),
    )
    told = look(0)
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task(told["name"][:40], total=told["tasks"], where="")
        while True:
            progress.update(bar, completed=told["counts"].get("done", 0), where=_where(told))
            if told["state"] != "live":
                break
            told = look(told["changes"])
    if not quiet and told["state"] != "done":
        Console(stderr=True).print(_text(f"{told['state']}: {told['reason']}", BAD))
    return told


def _where(told: Answer) -> str:
    running = told.get("running") or {}
    if running:
        return ", ".join(f"{name} {count}" for name, count in sorted(running.items()))
    return str(told.get("waits_for") or "")


def _tasks(rows: list[Answer]) -> RenderableType:
    table = _table("task", "kind", "state", "machine", "try", "wall s", "CPU s", "J", "outputs")
    for row in rows[:SHOWN_TASKS]:
        measured = [f"{row[key]:.3f}" if key in row else "" for key in ("wall_s", "cpu_s", "energy_j")]
        outputs = row.get("outputs", {}).items()
        names = [name if held["here"] else f"{name} (no longer kept)" for name, held in outputs]
        table.add_row(
            _text(row["task"]),
            _text(row["kind"]),
            _text(row["state"], _STYLES.get(row["state"], "")),
            _text(row.get("machine", "")),
            str(row.get("attempt", "") or ""),
            *measured,
            _text(", ".join(names) or row.get("trouble", "")),
        )
    return Group(table, *_rest(rows))


def _rest(rows: list[Answer]) -> list[str]:
    left = len(rows) - SHOWN_TASKS
    return [f"… and {left} more; all of them with --json"] if left > 0 else []


def _note(told: Answer) -> str:
    parts = [f"for {told['adopted_from']}" if told.get("adopted_from") else ""]
    parts += [told.get("reason") or "", "late" if told.get("late") else "", told.get("waits_for") or ""]
    parts += list(told.get("troubles") or [])[:1]
    return "; ".join(part for part in parts if part)


def _took(told: Answer) -> str:
    end = told["ended"] if told["ended"] is not None else time.time()
    return f"{max(0.0, end - told['submitted']):.2f} s" + ("" if told["ended"] is not None else " so far")


def _table(*columns: str) -> Table:
    table = Table(*columns, box=None, pad_edge=False)
    table.header_style = "dim"
    return table


def _text(text: str, style: str = "") -> Text:
    """Text as it is: names may hold what rich or a terminal would obey."""
    return Text("".join(c if c.isprintable() else "�" for c in text), style=style)
