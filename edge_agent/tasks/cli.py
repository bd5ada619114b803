"""`edge-agent tasks …`: the operator's commands about task graphs. The daemon never imports this."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from common.errors import Misconfigured, Rejected
from edge_agent.client import ask
from edge_agent.config import read_config
from edge_agent.tasks import carrying, pages

ASK_S: Final = 15.0
EXPLAIN_S: Final = 60.0
FOLLOW_S: Final = 20.0

tasks = typer.Typer(
    name="tasks",
    help="Task graphs: run work here, on peers, on MEC servers or in the cloud, wherever it costs least.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="MESHTWIN_AGENT_CONFIG", metavar="FILE", help="The agent's TOML file."
    ),
]
SocketOption = Annotated[
    Path | None, typer.Option(metavar="PATH", help="The agent's socket, instead of a configuration.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its id, or how that ends.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write the results below this folder.")
]
_DEFAULT: Final = Path("/etc/meshtwin/agent.toml")


@tasks.command(
    epilog="Examples: edge-agent tasks submit bearing.json; edge-agent tasks submit bearing.json --wait "
    "--output results; edge-agent tasks submit bearing.json --json | jq -r .job"
)
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The task graph, JSON.")],
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Show how it goes, until it is over.")] = False,
    output: OutputOption = None,
    config: ConfigOption = _DEFAULT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a task graph, with the files that it names.

    Their paths are relative to the graph's. It runs on when this command ends, also by Ctrl-C. The first
    task that fails for good ends the whole job, also tasks that need nothing of it: what is to go on whatever
    happens to the rest is a job of its own. Exit code 1 when it was waited for and did not come to a good
    end.
    """
    path = _socket(config, socket)
    told = carrying.submit(path, file, quiet=as_json)
    if not as_json:
        deputy = told.get("deputy") or "nobody: no other machine of the site keeps it"
        told_to = sys.stderr if wait else sys.stdout
        print(f"{told['job']}: {told['tasks']} tasks; deputy: {deputy}", file=told_to)
    if wait or output is not None:
        told = _waited(path, told["job"], as_json)
        if output is not None and told["state"] == "done":
            told["files"] = carrying.fetch(path, told["job"], output, quiet=as_json)
    if as_json:
        print(json.dumps(told))
    if (wait or output is not None) and told["state"] != "done":
        raise typer.Exit(1)


@tasks.command("list", epilog="Examples: edge-agent tasks list; edge-agent tasks list --json | jq '.[].job'")
def list_jobs(
    live: Annotated[bool, typer.Option("--live", help="Only those that are not over.")] = False,
    config: ConfigOption = _DEFAULT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the jobs of this gateway, the newest first.

    Those of a dead gateway that this one finishes, as its deputy, are here until they are handed over.
    """
    jobs = ask(_socket(config, socket), "tasks-list", ASK_S)["jobs"]
    jobs = [job for job in jobs if job["state"] == "live"] if live else jobs
    if as_json:
        print(json.dumps(jobs))
    else:
        none = "no live jobs" if live else "no jobs; see: edge-agent tasks submit --help"
        Console().print(pages.jobs(jobs) if jobs else none)


@tasks.command(
    epilog="Examples: edge-agent tasks show 3f2a; edge-agent tasks show 3f2a --output results; "
    "edge-agent tasks show 3f2a --watch"
)
def show(
    job: JobArgument,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow it until it is over.")] = False,
    output: OutputOption = None,
    every: Annotated[bool, typer.Option("--all", help="Write the outputs of every task.")] = False,
    config: ConfigOption = _DEFAULT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a job: its tasks, where they ran, what they took, and their results."""
    path = _socket(config, socket)
    if watch:
        _waited(path, job, as_json)
    told = ask(path, "tasks-show", ASK_S, job=job)
    if output is not None:
        told["files"] = carrying.fetch(path, job, output, every, quiet=as_json)
    if as_json:
        print(json.dumps(told))
    else:
        Console().print(pages.job(told))


@tasks.command(epilog="Example: edge-agent tasks cancel 3f2a")
def cancel(
    job: JobArgument,
    config: ConfigOption = _DEFAULT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop a job, wherever its tasks are."""
    told = ask(_socket(config, socket), "tasks-cancel", ASK_S, job=job)
    print(json.dumps(told) if as_json else f"{told['job']}: cancelled")


@tasks.command(
    epilog="Examples: edge-agent tasks explain 3f2a; edge-agent tasks explain 3f2a spectrum --json"
)
def explain(
    job: JobArgument,
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="One of its tasks.")] = None,
    config: ConfigOption = _DEFAULT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why tasks are where they are: the plan, or what each machine would cost for one task."""
    asked: dict[str, Any] = {"job": job} | ({} if task is None else {"task": task})
    told = ask(_socket(config, socket), "tasks-explain", EXPLAIN_S, **asked)
    if as_json:
        print(json.dumps(told))
    else:
        Console().print(pages.plan(told) if task is None else pages.alternatives(told))


@tasks.command(epilog="Examples: edge-agent tasks kinds; edge-agent tasks kinds spectrum")
def kinds(
    name: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Only this one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the kinds of tasks, with their inputs, outputs and parameters. Needs no running agent."""
    from common.kinds import catalogue

    try:
        found = catalogue.every() if name is None else {name: catalogue.find(name)}
    except Rejected as error:
        raise Misconfigured(error.detail, "edge-agent tasks kinds") from error
    told = [kind.described() for kind in found.values()]
    if as_json:
        print(json.dumps(told, default=str))
    else:
        Console().print(pages.kinds(told))
    for broken, why in catalogue.broken().items() if name is None else ():
        print(f"{broken} is left out: {why}", file=sys.stderr)


@tasks.command(
    epilog="Examples: edge-agent tasks costs; edge-agent tasks costs --runs > runs.jsonl; "
    "edge-agent tasks costs --use task-costs.tflite"
)
def costs(
    runs: Annotated[
        bool, typer.Option("--runs", help="The last runs, one JSON object a line, to learn a model from.")
    ] = False,
    use: Annotated[Path | None, typer.Option(metavar="FILE", help="Follow this cost model.")] = None,
    no_model: Annotated[bool, typer.Option("--no-model", help="Follow no cost model.")] = False,
    config: ConfigOption = _DEFAULT,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was learned of the machines: how long their runs take beside the kinds' hints.

    A cost model, learned by `coordinator tasks learn-costs`, corrects the hints; it is used for the kinds
    where it was clearly better than that on runs which it had not seen.
    """
    path = _socket(config, socket)
    if runs:
        print(*ask(path, "tasks-runs", ASK_S)["runs"], sep="\n")
        return
    if no_model:
        ask(path, "tasks-use-costs", ASK_S)
    elif use is not None:
        carrying.use_costs(path, use)
    told = ask(path, "tasks-costs", ASK_S)
    if as_json:
        print(json.dumps(told["costs"]))
        return
    Console().print(pages.costs(told["costs"]) if told["costs"] else "nothing was run yet")
    if told["model"]["present"] or told["model"]["failure"]:
        Console().print(pages.cost_model(told["model"]))


def _waited(path: Path, job: str, quiet: bool) -> dict[str, Any]:
    """The job when it is over. Ctrl-C leaves it running, and says so."""
    try:
        return pages.followed(lambda seen: ask(path, "tasks-follow", FOLLOW_S, job=job, seen=seen), quiet)
    except KeyboardInterrupt:
        print(f"\n{job} runs on; edge-agent tasks show {job} --watch", file=sys.stderr)
        raise


def _socket(config: Path, socket: Path | None) -> Path:
    if socket is not None:
        return socket
    loaded = read_config(config)
    if not loaded.tasks.enabled:
        raise Misconfigured("tasks are switched off here", f"set tasks.enabled = true in {config}")
    return loaded.socket
