"""`coordinator models`: train, evaluate, release and roll back what gateways forecast with."""

from __future__ import annotations

import getpass
import json
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from common.errors import Unavailable
from coordinator.cli.handing_down import hand_down

if TYPE_CHECKING:
    from coordinator.client import Client

models = typer.Typer(
    invoke_without_command=True, help="Forecast models: train, evaluate, release, roll back."
)

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State folder; default $MESHTWIN_STATE or the user's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table.")]
Sites = Annotated[list[str] | None, typer.Option("--site", help="Only this site; repeatable.")]
Hours = Annotated[float, typer.Option(min=0.01, max=87_840.0, help="Look back this many hours.")]
_MAX_VERSION: Final = 2**31
Number = Annotated[
    int | None, typer.Argument(min=1, max=_MAX_VERSION, help="Version; by default the newest.")
]
_POLL_S: Final = 0.2
_ENDS_WITHIN_S: Final = 15.0


class Precision(StrEnum):
    """How numbers are stored in a model."""

    INT8 = "int8"
    FLOAT32 = "float32"


@models.callback(epilog="Example: coordinator models train && coordinator models release --site office")
def models_default(context: typer.Context, state: State = None, as_json: AsJson = False) -> None:
    """Forecast models: train, evaluate, release, roll back. Without a subcommand, list them."""
    hand_down(context, state=state, as_json=as_json)
    if context.invoked_subcommand is None:
        models_list(state, False, as_json)


@models.command(
    "list", epilog="Example: coordinator models list --json | jq '.[] | select(.state == \"released\")'"
)
def models_list(
    state: State = None,
    everything: Annotated[bool, typer.Option("--all", help="Also the precision not to be released.")] = False,
    as_json: AsJson = False,
) -> None:
    """Every version: how its error compares with the naive forecast's, by site, and who runs or refused it.

    Errors are mean absolute errors of the share of probes heard in the next window, on stored observations
    (evaluated) and as gateways count them right now (live). Gateways use a model unless it is worse than the
    naive forecast by more than chance.
    """
    from coordinator.cli import model_tables

    with _connect(state) as client:
        found = client.get("models")
    if as_json:
        print(json.dumps(found))
    else:
        model_tables.models(found, everything)


@models.command(
    "train", epilog="Examples: coordinator models train; coordinator models train --site office --quick"
)
def models_train(
    state: State = None,
    site: Sites = None,
    hours: Hours = 14 * 24.0,
    quick: Annotated[bool, typer.Option(help="Some seconds instead of a minute, for a first look.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Train the next version on stored observations. It stays a candidate until it is released.

    Measured link traces in $MESHTWIN_DATA/radio of the coordinator's environment are learnt from as well.
    Ctrl-C ends the training and leaves nothing behind.
    """
    said = {"sites": site or [], "hours": hours, "quick": quick, "seed": seed}
    _perform(state, "models/train", said, as_json)


@models.command("evaluate", epilog="Example: coordinator models evaluate 3 --site office --hours 6")
def models_evaluate(
    version: Number = None,
    state: State = None,
    site: Sites = None,
    hours: Hours = 24.0,
    as_json: AsJson = False,
) -> None:
    """Score a version on stored observations, against the best naive forecast of each site.

    Choose the hours so that they begin after its training: windows that it learnt from flatter it.
    """
    said = {"version": version, "sites": site or [], "hours": hours}
    made = _perform(state, "models/evaluate", said, as_json)
    if not any(bundle["evaluations"]["observed"]["sites"] for bundle in made["bundles"]):
        typer.echo(
            f"note: nothing was measured in the last {hours:g} hours, or too little to score", err=True
        )
    elif time.time() - hours * 3600.0 < made["created"]:
        typer.echo("note: some of these windows were there at its training and may flatter it", err=True)


@models.command(
    "release", epilog="Examples: coordinator models release; coordinator models release 3 --site office"
)
def models_release(
    version: Number = None,
    state: State = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Instead of int8, or float32 where int8 costs accuracy."),
    ] = None,
    site: Annotated[list[str] | None, typer.Option("--site", help="To this site first; repeatable.")] = None,
    gateway: Annotated[
        list[str] | None, typer.Option("--gateway", help="To this gateway first; repeatable.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it was found worse than the naive forecast, or refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let gateways run a version: all of them, or some first.

    One that was found worse than the naive forecast, overall, at any site or by a gateway since, or that a
    gateway refused, is not released without --force. The same again asks gateways that refused it to try.
    """
    said = {
        "version": version,
        "precision": precision,
        "sites": site or [],
        "gateways": gateway or [],
        "force": force,
        "by": _user(),
    }
    with _connect(state) as client:
        _tell(client.post("models/release", **said), "released", as_json)


@models.command("rollback", epilog="Example: coordinator models rollback")
def models_rollback(
    state: State = None,
    force: Annotated[
        bool, typer.Option("--force", help="To the one before, even if it was found worse, or refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Undo the last release: gateways return to the one before, or to none, the naive forecast.

    Models that were found worse than the naive forecast, or that a gateway refused, are passed over.
    """
    with _connect(state) as client:
        _tell(client.post("models/rollback", by=_user(), force=force), "rolled back", as_json)


@models.command("history", epilog="Example: coordinator models history")
def models_history(state: State = None, as_json: AsJson = False) -> None:
    """Who released and rolled back what, newest first, and when that was lost."""
    from coordinator.cli import model_tables

    with _connect(state) as client:
        found = client.get("models/changes")
    if as_json:
        print(json.dumps(found))
    else:
        model_tables.model_changes(found)


@models.command("cancel", epilog="Example: coordinator models cancel train-1")
def models_cancel(
    job: Annotated[str | None, typer.Argument(help="By default the one that runs.")] = None,
    state: State = None,
) -> None:
    """End a training or evaluation that was started elsewhere."""
    with _connect(state) as client:
        running = [found["id"] for found in client.get("jobs") if found["state"] == "running"]
        for number in [job] if job else running:
            print(f"{number}: {_end(client, number)['state']}")
        if not job and not running:
            print("No training or evaluation runs.")


def _perform(state: Path | None, path: str, said: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """Start a job, follow it, and show the version it was about; that version.

    Raises Unavailable when it fails.
    """
    from coordinator.cli import model_tables

    with _connect(state) as client:
        job = client.post(path, **said)
        try:
            ended = _follow(client, job, as_json)
        except KeyboardInterrupt:
            ended = _end(client, job["id"])
            if ended["state"] != "done":
                typer.echo(f"{job['about']}: cancelled", err=True)
                raise typer.Exit(130) from None
        if ended["state"] == "cancelled":
            raise Unavailable(f"{job['about']}: cancelled by somebody else")
        if ended["state"] != "done":
            raise Unavailable(f"{job['about']}: {ended['error']}")
        made: dict[str, Any] = next(m for m in client.get("models") if _is(m, ended["result"]))
    if as_json:
        print(json.dumps(made))
    else:
        model_tables.models([made], True)
    return made


def _is(model: dict[str, Any], result: dict[str, Any]) -> bool:
    return (model["name"], model["version"]) == (result["name"], result["version"])


def _follow(client: Client, job: dict[str, Any], quiet: bool) -> dict[str, Any]:
    """The job at its end, with a bar on standard error meanwhile."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        shown = bar.add_task(job["about"], total=None, note="")
        while job["state"] == "running":
            time.sleep(_POLL_S)
            job = client.get(f"jobs/{job['id']}")
            bar.update(shown, **_progress(job))
    return job


def _progress(job: dict[str, Any]) -> dict[str, Any]:
    """What the bar shows of a job. Phases without steps leave it where it was."""
    told = job["progress"]
    held_out = told.get("held_out")
    steps = {"completed": told["step"], "total": told["steps"]} if told.get("steps") else {}
    return {
        "description": f"{job['about']}: {told.get('phase', job['kind'])}",
        "note": "" if held_out is None else f"held-out loss {held_out:.4f}",
        **steps,
    }


def _end(client: Client, number: str) -> dict[str, Any]:
    """Cancel a job and wait until it has ended; the job as it is then."""
    job: dict[str, Any] = client.delete(f"jobs/{number}")
    deadline = time.monotonic() + _ENDS_WITHIN_S
    while job["state"] == "running" and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        job = client.get(f"jobs/{number}")
    return job


def _tell(outcome: dict[str, Any], done: str, as_json: bool) -> None:
    from coordinator.cli import model_tables

    if as_json:
        print(json.dumps(outcome))
        return
    for reason in outcome["overruled"]:
        typer.echo(f"warning: {reason}", err=True)
    print(f"{done}: {outcome['detail']}")
    if outcome["grounds"]:
        print(f"compared with the naive forecast on: {', '.join(outcome['grounds'])}")
    for remark in outcome["remarks"]:
        print(f"note: {remark}")
    model_tables.model_moves(outcome["moved"])
    if outcome["moved"] and not outcome["announced"]:
        print("The broker is not connected; gateways are told as soon as it is.")


def _user() -> str:
    try:
        return getpass.getuser()[:64]
    except (KeyError, OSError):
        return "unknown"


def _connect(state: Path | None) -> Client:
    from coordinator.cli.commands import connect

    return connect(state)
