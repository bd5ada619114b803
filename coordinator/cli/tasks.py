"""`coordinator tasks`: jobs of gateways, the machines that run tasks, and what the cloud runs for them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from coordinator.cli.handing_down import hand_down
from coordinator.cli.twin import AsJson, State, connect

tasks = typer.Typer(
    invoke_without_command=True, help="Tasks of gateways: their jobs, the machines, the cloud."
)
_LOOK_S: Final = 1.0
Errand = Annotated[str, typer.Argument(metavar="ID", help="As `coordinator tasks list` shows it.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Keep looking, until Ctrl-C.")]


@tasks.callback(epilog="Example: coordinator tasks list --watch")
def tasks_default(context: typer.Context, state: State = None, as_json: AsJson = False) -> None:
    """Tasks of gateways: their jobs, the machines, the cloud. Without a subcommand, list them."""
    hand_down(context, state=state, as_json=as_json)
    if context.invoked_subcommand is None:
        tasks_list(state, False, as_json)


@tasks.command("list", epilog="Examples: coordinator tasks list --watch; coordinator tasks list --json")
def tasks_list(state: State = None, watch: Watch = False, as_json: AsJson = False) -> None:
    """Jobs as their gateways last told them, how busy each machine is, and the tasks that the cloud has.

    A job belongs to its gateway: `edge-agent tasks` there submits, explains and cancels it.
    """
    with connect(state) as client:
        found = client.get("tasks")
        if as_json:
            print(json.dumps(found))
        elif not watch:
            Console().print(_page(found))
        else:
            with Live(_page(found), auto_refresh=False) as live:
                while True:
                    time.sleep(_LOOK_S)
                    live.update(_page(client.get("tasks")), refresh=True)


@tasks.command("show", epilog="Example: coordinator tasks show 4f1c09a2b3d4e5f60718293a")
def tasks_show(errand: Errand, state: State = None, as_json: AsJson = False) -> None:
    """One task that the cloud has: whose it is, what it is, how far it is."""
    with connect(state) as client:
        found = client.get(f"tasks/{errand}")
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        typer.echo(f"{name:8} {value}")


@tasks.command("cancel", epilog="Example: coordinator tasks cancel 4f1c09a2b3d4e5f60718293a")
def tasks_cancel(errand: Errand, state: State = None) -> None:
    """End a task that the cloud has. Its job is told so, and fails: a cancelled task is not tried again."""
    with connect(state) as client:
        client.post(f"tasks/{errand}/cancel")
    typer.echo(f"cancelled {errand}")


def _page(found: Mapping[str, Any]) -> RenderableType:
    parts: list[RenderableType] = [_jobs(found["jobs"]), _machines(found["machines"], found["cloud"])]
    if found["cloud"] is None:
        parts.append("The cloud takes no tasks: tasks.enabled in coordinator.toml.")
    elif found["cloud"]["errands"]:
        parts.append(_errands(found["cloud"]["errands"]))
    return Group(*parts)


def _jobs(found: list[Mapping[str, Any]]) -> RenderableType:
    if not found:
        return "No live jobs. Submit one on a gateway: edge-agent tasks submit FILE"
    table = _table("site", "gateway", "job", "name", "progress", "", "running", "deputy")
    for job in found:
        late = " [red]late[/]" if job["late"] else ""
        table.add_row(
            escape(job["site"]),
            escape(job["gateway"]),
            escape(job["id"]),
            escape(job["name"]) + late,
            ProgressBar(total=max(1, job["tasks"]), completed=job["done"], width=24),
            f"{job['done']}/{job['tasks']}",
            str(job["running"]),
            escape(job["deputy"]) or "[yellow]none[/]",
        )
    return table


def _machines(found: list[Mapping[str, Any]], cloud: Mapping[str, Any] | None) -> RenderableType:
    table = _table("site", "machine", "tier", "state", "busy", "waiting")
    for one in found:
        table.add_row(
            escape(one["site"]),
            escape(one["name"]),
            one["tier"],
            "[green]live[/]" if one["live"] else f"[red]gone[/] {one['age_s']:.0f} s",
            f"{one['busy']}/{one['slots']}",
            str(one["queued"]),
        )
    if cloud is not None:
        busy = min(cloud["running"], cloud["slots"])
        waiting = max(0, cloud["running"] - cloud["slots"])
        table.add_row("(all)", "cloud", "cloud", "[green]live[/]", f"{busy}/{cloud['slots']}", str(waiting))
    return table


def _errands(found: list[Mapping[str, Any]]) -> RenderableType:
    table = _table("id", "site", "gateway", "job", "task", "attempt", "kind", "state")
    for one in found:
        cells = (one[name] for name in ("id", "site", "gateway", "job", "task", "attempt", "kind", "state"))
        table.add_row(*(escape(str(cell)) for cell in cells))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


@tasks.command(
    "learn-costs",
    epilog="Example: edge-agent tasks costs --runs > runs.jsonl; "
    "coordinator tasks learn-costs runs.jsonl --output task-costs.tflite",
)
def tasks_learn_costs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Of gateways, one JSON a line.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The model.")],
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Learn what tasks cost from runs of gateways, as a model for `edge-agent tasks costs --use`.

    Here and now, without the coordinator's service; it takes some seconds.
    """
    from coordinator.training import task_costs  # JAX: for this command alone.

    told = task_costs.learn(runs, output, time.time(), seed)
    if as_json:
        print(json.dumps(told))
    else:
        print(f"{output}: learned from {told['runs']} runs; {told['bad_lines']} lines were none")
