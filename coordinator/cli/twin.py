"""`coordinator twin`, `recipes` and `whatif`: what the twin is asked, and what is done about it.

Sites are asked of the running coordinator; a scenario file is computed right here, without one.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from common.errors import Misconfigured, Rejected, RejectReason
from common.files import write_file
from coordinator.cli import twin_tables as tables

if TYPE_CHECKING:
    from coordinator.client import Client

twin = typer.Typer(no_args_is_help=True, help="Twins: simulate, score, look back, apply plans.")
recipes = typer.Typer(no_args_is_help=True, help="Questions and optimisations put to the twin.")

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State folder; default $MESHTWIN_STATE or the user's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table.")]
Seed = Annotated[
    int, typer.Option(min=0, max=2**31, help="Of all randomness: the same one, the same answer.")
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="As it was then: 2026-03-01T12:30, or 90min, 6h, 2d ago."),
]
LONG_S: Final = 900.0
POLL_S: Final = 0.5


@twin.command("simulate", epilog="Example: coordinator twin simulate hall.json.gz --seed 7 --json")
def simulate_scenario(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, .json or .json.gz.")],
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's own.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.001, max=366 * 86_400.0, help="Instead of its duration.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a scenario in the event simulator: delivery and times of every flow. Needs no coordinator."""
    from common import scenario as scenarios
    from common.radio import simulate

    site = scenarios.read(scenario)
    with tables.waiting("compiling and simulating"):
        outcome = simulate(site, seed=seed, duration_s=seconds)
    if as_json:
        print(json.dumps(outcome.as_json()))
    else:
        tables.simulated(outcome.as_json())


@twin.command("score", epilog="Examples: coordinator twin score; coordinator twin score office --json")
def score(
    site: Annotated[str | None, typer.Argument(help="Only this site.")] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """How well each twin foretells its site, and whether it vouches for changes."""
    with _connect(state) as client:
        found = client.get("twins") if site is None else [client.get(f"sites/{site}/twin")]
    _show(found, tables.scores, as_json)


@twin.command(
    "asof", epilog="Examples: coordinator twin asof office 6h; coordinator twin asof office 2026-03-01T12:30"
)
def as_of(
    site: Annotated[str, typer.Argument(help="The site.")],
    at: Annotated[str, typer.Argument(metavar="TIME", help="2026-03-01T12:30, or 90min, 6h, 2d ago.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """A site's twin as it was: nodes, relays, configuration, and the score that it would have had."""
    with _connect(state) as client:
        found = client.get(f"sites/{site}/twin", t=moment(at, time.time()))
    _show(found, tables.past, as_json)


@twin.command(
    "apply", epilog="Examples: coordinator twin apply lamps.json; coordinator twin apply lamps.json --yes"
)
def apply(
    plan: Annotated[Path, typer.Argument(help="A plan, as `recipes run --plan` wrote it.")],
    state: State = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option(help="Also while the twin does not vouch for changes.")] = False,
    detach: Annotated[bool, typer.Option(help="Start it, and do not wait.")] = False,
    as_json: AsJson = False,
) -> None:
    """Apply a plan step by step through the site's gateways; put everything back when anything gets worse.

    Ctrl-C leaves it going: `coordinator twin plans` shows it, `coordinator twin undo` puts it back.
    """
    from coordinator.recipes import plan as plans

    read = plans.read(plan)
    if not as_json:
        tables.plan(plans.as_json(read))
    if not yes and not typer.confirm(f"Make {read.changes} changes at {read.site}?"):
        raise typer.Exit(1)
    with _connect(state) as client:
        begun = client.post("applications", plan=plans.as_json(read), force=force)
        ended = begun if detach else _follow(client, begun, quiet=as_json)
    if as_json:
        print(json.dumps(ended))
    elif detach:
        print(f"{begun['id']} is under way: coordinator twin plans")
    if ended["state"] in ("undone", "stuck"):
        raise typer.Exit(1)


@twin.command("plans", epilog="Example: coordinator twin plans --json | jq '.[0].story'")
def applied_plans(state: State = None, as_json: AsJson = False) -> None:
    """The plans that are being applied, or were, newest first."""
    with _connect(state) as client:
        found = client.get("applications")
    _show(found, tables.applications, as_json)


@twin.command("undo", epilog="Example: coordinator twin undo lighting-1a2b3c4d-1")
def undo(
    application: Annotated[str, typer.Argument(help="Its id, from `coordinator twin plans`.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Stop an application and put back what it did so far."""
    with _connect(state) as client:
        begun = client.delete(f"applications/{application}")
        ended = _follow(client, begun, quiet=as_json)
    if as_json:
        print(json.dumps(ended))


@recipes.command("list", epilog="Example: coordinator recipes list")
def recipes_list(state: State = None, as_json: AsJson = False) -> None:
    """Every recipe: ours, and your own in the state folder's `recipes`."""
    found = [_view(one) for one in _shelf(state).all()]
    _show(found, tables.recipes, as_json)


@recipes.command("show", epilog="Example: coordinator recipes show lighting")
def recipes_show(
    name: Annotated[str, typer.Argument(help="Its name.")], state: State = None, as_json: AsJson = False
) -> None:
    """What a recipe does, and what can be set."""
    _show(_view(_shelf(state).get(name)), tables.recipe, as_json)


@recipes.command(
    "run",
    epilog="Examples: coordinator recipes run topology-audit office; "
    "coordinator recipes run lighting office --plan lamps.json --picture lamps.html; "
    "coordinator recipes run relay-thinning --scenario hall.json.gz --set mean_loss=0.001",
)
def recipes_run(
    name: Annotated[str, typer.Argument(help="The recipe: coordinator recipes list.")],
    site: Annotated[str | None, typer.Argument(help="The site to ask about.")] = None,
    state: State = None,
    scenario: Annotated[
        Path | None, typer.Option(help="Ask about a scenario file instead; needs no coordinator.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; repeatable.")
    ] = None,
    seed: Seed = 1,
    at: At = None,
    plan: Annotated[Path | None, typer.Option(help="Write the plan here, for `twin apply`.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a map here, as an HTML page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put a recipe to a site's twin. Nothing is changed: `twin apply` does that."""
    given = _given(setting or [])
    if (site is None) is (scenario is None):
        raise Misconfigured("name a site, or a scenario file", f"coordinator recipes run {name} SITE")
    if scenario is not None:
        found = _run_here(state, name, scenario, given, seed)
    else:
        t = None if at is None else moment(at, time.time())
        with _connect(state, LONG_S) as client, tables.waiting(f"{name} at {site}"):
            found = client.post(
                f"sites/{site}/recipes/{name}", given=given, seed=seed, t=t, picture=picture is not None
            )
    _keep(found, plan, picture)
    _show(found, tables.ran, as_json)


def whatif(
    site: Annotated[str, typer.Argument(help="The site to ask about.")],
    state: State = None,
    fail: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="This node dies; repeatable.")
    ] = None,
    relay_on: Annotated[list[str] | None, typer.Option(metavar="NODE", help="It relays; repeatable.")] = None,
    relay_off: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="It relays no more; repeatable.")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE:NEIGHBOUR=PDR,…", help="A node is added that hears these so well; repeatable."
        ),
    ] = None,
    ttl: Annotated[int | None, typer.Option(min=2, max=127, help="TTL of all nodes.")] = None,
    transmit: Annotated[
        str | None, typer.Option(metavar="COUNTxMS", help="Network transmit, such as 3x20.")
    ] = None,
    retransmit: Annotated[
        str | None, typer.Option(metavar="COUNTxMS", help="Relay retransmit, such as 2x20.")
    ] = None,
    load: Annotated[float, typer.Option(min=0.001, max=1000.0, help="Everything is sent so often.")] = 1.0,
    times: Annotated[bool, typer.Option(help="Latencies, too: takes longer.")] = False,
    seed: Seed = 1,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """What a change would do to every flow, by the cheapest model that can tell. Changes nothing."""
    said = {
        "failed": _nodes(fail),
        "relays_on": _nodes(relay_on),
        "relays_off": _nodes(relay_off),
        "added": [_added(text) for text in add or []],
        "ttl": ttl,
        "network_transmit": _timing(transmit),
        "relay_retransmit": _timing(retransmit),
        "load": load,
        "times": times,
        "seed": seed,
        "t": None if at is None else moment(at, time.time()),
    }
    with _connect(state, LONG_S) as client, tables.waiting(f"what if, at {site}"):
        found = client.post(f"sites/{site}/whatif", **said)
    _show(found, tables.effects, as_json)


def moment(text: str, now: float) -> float:
    """Unix time of `2026-03-01T12:30` (local time) or `6h` ago. Raises Misconfigured."""
    units = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
    for unit in sorted(units, key=len, reverse=True):
        number = text.removesuffix(unit).strip()
        if text.endswith(unit) and number.replace(".", "", 1).isdigit():
            return max(0.0, now - float(number) * units[unit])
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise Misconfigured(
            f"{text[:40]!r} is no time", "write it like 2026-03-01T12:30, or 6h for 6 hours ago"
        ) from error


def _follow(client: Client, begun: Any, *, quiet: bool) -> Any:
    """Show an application's story until it ends."""
    shown = 0
    while True:
        now = client.get(f"applications/{begun['id']}")
        if not quiet:
            tables.story(now["story"][shown:])
            shown = len(now["story"])
        if now["state"] not in ("applying", "undoing"):
            if not quiet:
                tables.ended(now)
            return now
        time.sleep(POLL_S)


def _run_here(
    state: Path | None, name: str, scenario: Path, given: dict[str, str], seed: int
) -> dict[str, Any]:
    """On a scenario file, in this process."""
    from common import scenario as scenarios
    from coordinator.recipes.offline import ask

    shelf, site = _shelf(state), scenarios.read(scenario)
    with tables.progress() as tell:
        return ask(shelf, name, given, scenario.name.split(".")[0], site, seed, time.time(), tell)


def _shelf(state: Path | None) -> Any:
    from coordinator.config import StatePaths, default_state
    from coordinator.recipes.shelf import Shelf

    shelf = Shelf(StatePaths((state or default_state()).absolute()).recipes)
    for problem in shelf.problems:
        typer.echo(f"note: {problem}", err=True)
    return shelf


def _view(found: Any) -> Any:
    return {
        **found.model_dump(mode="json", exclude={"recipes", "question"}),
        "recipes": [stage.recipe for stage in found.recipes],
    }


def _keep(found: dict[str, Any], plan: Path | None, picture: Path | None) -> None:
    if picture is not None:
        write_file(picture, found["picture"], 0o644)
    found.pop("picture", None)
    if plan is not None:
        if found["plan"] is None:
            typer.echo("note: nothing is to be changed, so no plan was written", err=True)
        else:
            write_file(plan, json.dumps(found["plan"], indent=1) + "\n", 0o644)


def _given(settings: list[str]) -> dict[str, str]:
    given = {}
    for setting in settings:
        name, is_set, value = setting.partition("=")
        if not is_set:
            raise Misconfigured(f"--set {setting[:40]!r} has no value", "write it like --set limit_ms=200")
        given[name.strip()] = value.strip()
    return given


def _nodes(texts: list[str] | None) -> list[int]:
    from common.mesh.addresses import check_unicast, parse

    return [check_unicast(parse(word.strip())) for text in texts or [] for word in text.split(",")]


def _added(text: str) -> dict[str, Any]:
    """`0x0200:0x0105=0.9,0x0106=0.7`"""
    node, _, rest = text.partition(":")
    try:
        pairs = [part.split("=") for part in rest.split(",") if part]
        pdr = {_nodes([address])[0]: float(share) for address, share in pairs}
        return {"address": _nodes([node])[0], "pdr": pdr}
    except ValueError as error:
        raise Rejected(
            RejectReason.MALFORMED, f"--add {text[:60]!r}: write it like 0x0200:0x0105=0.9,0x0106=0.7"
        ) from error


def _timing(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    count, _, interval = text.partition("x")
    if not (count.isdigit() and interval.isdigit()):
        raise Rejected(RejectReason.MALFORMED, f"{text[:20]!r}: write it like 3x20, transmissions and ms")
    return int(count), int(interval)


def _connect(state: Path | None, timeout_s: float = 60.0) -> Client:
    from coordinator.cli.commands import connect

    return connect(state, timeout_s)


def _show(answer: Any, table: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))
    else:
        table(answer)
