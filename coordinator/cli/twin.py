"""`coordinator twin` and `recipes`: what the twin is asked, and what is done about it.

Sites are asked of the running coordinator; a scenario file is computed right here, without one.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from common.errors import Misconfigured
from common.files import write_file
from common.topics import check_name
from coordinator.cli import twin_tables as tables
from coordinator.cli.usage import asked_rightly

if TYPE_CHECKING:
    from common.scenario import Scenario
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
SITES: Final = "coordinator twin score"
"""What lists the sites that have a twin."""
LONG_S: Final = 900.0
MOST_SEED: Final = 2**63 - 1
POLL_S: Final = 0.5
AHEAD_S: Final = 60.0
"""Clocks may differ by so much; what is later is still to come."""


@twin.command("simulate", epilog="Example: coordinator twin simulate hall.json.gz --seed 7 --json")
def simulate_scenario(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, .json or .json.gz.")],
    seed: Annotated[
        int | None, typer.Option(min=0, max=MOST_SEED, help="Instead of the scenario's own.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.001, max=366 * 86_400.0, help="Instead of its duration.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Play with so many seeds, on all processors, and join them.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Play a scenario in the event simulator: delivery and times of every flow. Needs no coordinator."""
    from common import scenario as scenarios
    from common.radio import simulate

    site = scenarios.read(scenario)
    if seeds > 1:
        found = _played(site, site.seed if seed is None else seed, seeds, seconds)
        show(found, tables.simulated, as_json)
        return
    with tables.waiting("compiling and simulating"):
        outcome = simulate(site, seed=seed, duration_s=seconds)
    if as_json:
        print(json.dumps(outcome.as_json()))
    else:
        tables.simulated(outcome.as_json())


@twin.command("score", epilog="Examples: coordinator twin score; coordinator twin score office --json")
@asked_rightly(SITES)
def score(
    site: Annotated[str | None, typer.Argument(help="Only this site.")] = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """How well each twin foretells its site, and whether it vouches for changes."""
    if site is not None:
        check_name(site, "site")
    with connect(state) as client:
        found = client.get("twins") if site is None else [client.get(f"sites/{site}/twin")]
    show(found, tables.scores, as_json)


@twin.command(
    "asof", epilog="Examples: coordinator twin asof office 6h; coordinator twin asof office 2026-03-01T12:30"
)
@asked_rightly(SITES)
def as_of(
    site: Annotated[str, typer.Argument(help="The site.")],
    at: Annotated[str, typer.Argument(metavar="TIME", help="2026-03-01T12:30, or 90min, 6h, 2d ago.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """A site's twin as it was: nodes, relays, configuration, and the score that it would have had."""
    check_name(site, "site")
    with connect(state) as client:
        found = client.get(f"sites/{site}/twin", t=moment(at, time.time()))
    show(found, tables.past, as_json)


@twin.command("links", epilog="Example: coordinator twin links office --json")
@asked_rightly(SITES)
def believed_links(
    site: Annotated[str, typer.Argument(help="The site.")], state: State = None, as_json: AsJson = False
) -> None:
    """What the twin believes of every link, and how sure it is."""
    check_name(site, "site")
    with connect(state) as client:
        found = client.get(f"sites/{site}/twin/links")
    show(found, tables.links, as_json)


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
    # What a program reads holds nothing but its JSON.
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        if not (as_json and yes):
            tables.plan(plans.as_json(read))
        if not yes and not typer.confirm(f"Make {read.changes} changes at {read.site}?", err=as_json):
            raise typer.Exit(1)
    with connect(state) as client:
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
    with connect(state) as client:
        found = client.get("applications")
    show(found, tables.applications, as_json)


@twin.command("undo", epilog="Example: coordinator twin undo lighting-1a2b3c4d-1")
def undo(
    application: Annotated[str, typer.Argument(help="Its id, from `coordinator twin plans`.")],
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Stop an application and put back what it did so far."""
    with connect(state) as client:
        begun = client.delete(f"applications/{application}")
        ended = _follow(client, begun, quiet=as_json)
    if as_json:
        print(json.dumps(ended))


@recipes.command("list", epilog="Example: coordinator recipes list")
def recipes_list(state: State = None, as_json: AsJson = False) -> None:
    """Every recipe: ours, and your own in the state folder's `recipes`."""
    found = [_view(one) for one in _shelf(state).all()]
    show(found, tables.recipes, as_json)


@recipes.command("show", epilog="Example: coordinator recipes show lighting")
@asked_rightly("coordinator recipes list")
def recipesshow(
    name: Annotated[str, typer.Argument(help="Its name.")], state: State = None, as_json: AsJson = False
) -> None:
    """What a recipe does, and what can be set."""
    show(_view(_shelf(state).get(name)), tables.recipe, as_json)


@recipes.command(
    "run",
    epilog="Examples: coordinator recipes run topology-audit office; "
    "coordinator recipes run lighting office --plan lamps.json --picture lamps.html; "
    "coordinator recipes run relay-thinning --scenario hall.json.gz --set mean_loss=0.001",
)
@asked_rightly("coordinator recipes show NAME, and coordinator twin score for the sites")
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
    if site is not None:
        check_name(site, "site")
    check_name(name, "recipe")
    if scenario is not None:
        found = _run_here(state, name, scenario, given, seed)
    else:
        t = None if at is None else moment(at, time.time())
        with connect(state, LONG_S) as client, tables.waiting(f"{name} at {site}"):
            found = client.post(
                f"sites/{site}/recipes/{name}", given=given, seed=seed, t=t, picture=picture is not None
            )
    _keep(found, plan, picture)
    show(found, tables.ran, as_json)


def moment(text: str, now: float) -> float:
    """Unix time of `2026-03-01T12:30` (local time) or `6h` ago. Raises Misconfigured, also for the future."""
    units = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
    for unit in sorted(units, key=len, reverse=True):
        number = text.removesuffix(unit).strip()
        digits = number.replace(".", "", 1)
        # isdecimal alone takes other scripts' digits, isdigit even a raised 2.
        if text.endswith(unit) and digits.isascii() and digits.isdecimal():
            return max(0.0, now - float(number) * units[unit])
    try:
        found = max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError) as error:
        raise Misconfigured(
            f"{text[:40]!r} is no time", "write it like 2026-03-01T12:30, or 6h for 6 hours ago"
        ) from error
    if found > now + AHEAD_S:
        raise Misconfigured(f"{text[:40]} is still to come", "name a time that has been: --at 6h")
    return found


def _played(site: Scenario, first: int, count: int, seconds: float | None) -> dict[str, Any]:
    """A scenario played with `count` seeds from `first` on, each in a process of the engine's."""
    from coordinator.cli.asking import answers
    from coordinator.config import EngineSettings
    from coordinator.engine import open_engine
    from coordinator.twin.seeds import joined, played

    seeds = [(first + i) % (MOST_SEED + 1) for i in range(count)]
    with open_engine(EngineSettings()) as engine, tables.progress() as tell:
        at_once = engine.describe().workers
        plays = answers(seeds, lambda seed: engine.call(played, site, seed, seconds), at_once, tell)
    return joined(seeds, plays)


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


def connect(state: Path | None, timeout_s: float = 60.0) -> Client:
    """A client of the running coordinator; recipes take their time."""
    from coordinator.cli import commands

    return commands.connect(state, timeout_s)


def show(answer: Any, table: Any, as_json: bool) -> None:
    """For programs or for people."""
    if as_json:
        print(json.dumps(answer))
    else:
        table(answer)
