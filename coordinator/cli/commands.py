"""The commands. Those about the fleet's present ask the running coordinator; `init`, `broker`, `enrol`,
`revoke` and `version` work without one.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.command_errors import EXIT_CODES
from coordinator.cli.export import export
from coordinator.cli.fleet import engine, fleet
from coordinator.cli.handing_down import hand_down
from coordinator.cli.models import models
from coordinator.cli.sweep import sweep
from coordinator.cli.tasks import tasks
from coordinator.cli.twin import recipes, twin
from coordinator.cli.whatif import whatif
from coordinator.config import StatePaths, default_state, load_config

if TYPE_CHECKING:
    from coordinator.client import Client

app = typer.Typer(
    name="coordinator",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Central part of meshtwin: keeps what gateways report, and shows it.",
    epilog="First steps: coordinator init; coordinator broker run (a second terminal); coordinator serve (a "
    f"third); coordinator gateways enrol SITE GATEWAY. {EXIT_CODES}",
)
broker = typer.Typer(no_args_is_help=True, help="The MQTT broker that gateways connect to.")
gateways = typer.Typer(invoke_without_command=True, help="Gateways: how they are, who may connect.")
app.add_typer(broker, name="broker")
app.add_typer(gateways, name="gateways")
app.add_typer(models, name="models")
twin.command(epilog="Examples: coordinator twin fleet; coordinator twin fleet --sort delivery -n 10")(fleet)
twin.command(
    epilog="Examples: coordinator twin sweep office --ttl 3-8 --transmit 1-3; "
    "coordinator twin sweep --scenario hall.json.gz --retransmit 1-4 --load 1,4 --times"
)(sweep)
app.add_typer(twin, name="twin")
app.add_typer(recipes, name="recipes")
app.add_typer(tasks, name="tasks")
app.command(epilog="Example: coordinator engine --json")(engine)
app.command(
    epilog="Examples: coordinator whatif office --fail 0x0105; "
    "coordinator whatif office --relay-off 0x0103,0x0104 --times"
)(whatif)
app.command(
    epilog="Examples: coordinator export links.parquet --site office --last 7d; "
    "coordinator export - --subject host --from 2026-03-01 --until 2026-03-02"
)(export)

State = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="State folder; default $MESHTWIN_STATE or the user's."),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of a table.")]
_MOST = 10_000
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=_MOST, help="At most this many.")]


def _version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What may stand before a command."""


@app.command(epilog="Example: coordinator init --host 0.0.0.0 --name-of-broker mesh.example.org")
def init(
    state: State = None,
    name: Annotated[str | None, typer.Option(help="What this coordinator is called.")] = None,
    host: Annotated[str | None, typer.Option(help="Address the broker listens on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the broker.")] = None,
    names: Annotated[
        list[str] | None, typer.Option("--name-of-broker", help="Name gateways dial it by; repeatable.")
    ] = None,
    gateways_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of HTTPS for gateways: models and renewals; 0: none."),
    ] = None,
    rebuild_fleet: Annotated[
        bool, typer.Option("--rebuild-fleet", help="Make a lost or damaged registry (fleet.json) again.")
    ] = False,
) -> None:
    """Make the authority, certificates, broker configuration and access list. Safe to repeat."""
    from coordinator.installation import InitOptions, initialise

    options = InitOptions(name=name, host=host, port=port, names=tuple(names) if names else None,
                          gateways_port=gateways_port)  # fmt: skip
    done = initialise(_own_folder(state), options, rebuild=rebuild_fleet)
    for note in done.notes:
        typer.echo(note, err=True)
    print(done)


@broker.command("run", epilog="Example: coordinator broker run --state /srv/meshtwin")
def broker_run(state: State = None) -> None:
    """Become the broker (mosquitto) of a state folder. It outlives the coordinator."""
    from coordinator.broker.run import run_broker as become_broker

    become_broker(_own_folder(state))


@app.command(epilog="Example: coordinator serve --state /srv/meshtwin")
def serve(state: State = None) -> None:
    """Run the coordinator until SIGTERM or Ctrl-C. The broker runs apart."""
    from coordinator.app import serve as serve_until_stopped

    serve_until_stopped(_own_folder(state))


@app.command("install-service", epilog="Example: coordinator install-service --dry-run")
def install_service(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Undo it. State and accounts stay.")] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Install into the image below DIR instead of this machine.")
    ] = Path("/"),
    python: Annotated[
        str, typer.Option(metavar="PATH", help="The interpreter that services start; by default this one.")
    ] = sys.executable,
) -> None:
    """Install broker and coordinator as systemd services, each with an account of its own. Needs root; safe
    to repeat."""
    from coordinator.service.install import NEXT, installation
    from coordinator.service.warming import warmed

    made = installation(root, python)
    for refusal in made.refusals() if dry_run else ():
        print(f"warning: this would be refused: {refusal}", file=sys.stderr)
    for line in made.preview() if dry_run else made.uninstall() if uninstall else made.install():
        print(line)
    if not dry_run and not uninstall:
        for line in warmed(root, python):
            print(line, flush=True)
        print(NEXT)


@app.command()
def version() -> None:
    """Print the version."""
    from coordinator.version import meshtwin_version

    print(f"coordinator {meshtwin_version()}")


@gateways.callback(epilog="Example: coordinator gateways --json | jq '.[] | select(.live | not) | .gateway'")
def gateways_default(context: typer.Context, state: State = None, as_json: AsJson = False) -> None:
    """Gateways: how they are, who may connect. Without a subcommand, list them."""
    hand_down(context, state=state, as_json=as_json)
    if context.invoked_subcommand is None:
        gateways_list(state, as_json)


@gateways.command("list")
def gateways_list(state: State = None, as_json: AsJson = False) -> None:
    """Every gateway: live or not, how far its stream is stored, what was refused."""
    from coordinator.cli import tables

    _show(_ask(state, "gateways"), tables.gateways, as_json)


@gateways.command("enrol", epilog="Example: coordinator gateways enrol office gw-1 --address 0x0001")
def gateways_enrol(
    site: Annotated[str, typer.Argument(help="The site it belongs to.")],
    gateway: Annotated[str, typer.Argument(help="Its id, unique over the fleet.")],
    state: State = None,
    csr: Annotated[
        Path | None, typer.Option(help="PEM signing request made on the gateway; its key then stays there.")
    ] = None,
    again: Annotated[bool, typer.Option(help="Another certificate for a gateway that had one.")] = False,
    address: Annotated[str | None, typer.Option(help="Its unicast address in the mesh.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give a gateway a certificate and its rights at the broker."""
    from coordinator.enrolment import enrol

    request = None if csr is None else _read(csr)
    number = None if address is None else _address(address)
    done = enrol(_own_folder(state), site, gateway, request, again=again, address=number)
    print(json.dumps({"gateway": done.gateway, "site": done.site, "folder": str(done.folder),
                      "serial": done.serial, "not_after": done.not_after, "reloaded": done.reloaded})
          if as_json else done)  # fmt: skip


@gateways.command("revoke", epilog="Example: coordinator gateways revoke gw-1")
def gateways_revoke(
    gateway: Annotated[str, typer.Argument(help="Its id.")], state: State = None, as_json: AsJson = False
) -> None:
    """Take a gateway's certificates and rights away."""
    from coordinator.enrolment import revoke

    done = revoke(_own_folder(state), gateway)
    print(json.dumps({"gateway": done.gateway, "site": done.site, "certificates": done.certificates,
                      "reloaded": done.reloaded}) if as_json else done)  # fmt: skip


@app.command()
def sites(state: State = None, as_json: AsJson = False) -> None:
    """The sites, with their gateways and nodes."""
    from coordinator.cli import tables

    _show(_ask(state, "sites"), tables.sites, as_json)


@app.command(epilog="Example: coordinator topology office")
def topology(site: str, state: State = None, as_json: AsJson = False) -> None:
    """A site's nodes with their configuration, and who hears whom."""
    from coordinator.cli import tables

    _show(_ask(state, f"sites/{site}/topology"), tables.topology, as_json)


@app.command(epilog="Example: coordinator links office --json")
def links(site: str, state: State = None, as_json: AsJson = False) -> None:
    """A site's links with their delivery ratio, weakest first.

    The delivery ratio (PDR) is the chance that one transmission is received.
    """
    from coordinator.cli import tables

    _show(_ask(state, f"sites/{site}/links"), tables.links, as_json)


@app.command(epilog="Example: coordinator actions office -n 5")
def actions(
    site: Annotated[str | None, typer.Argument(help="Only this site.")] = None,
    state: State = None,
    limit: Limit = 20,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Also what was only proposed, such as by a gateway that does not act."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What gateways did to heal their mesh, newest first. JSON holds proposals as well."""
    from coordinator.cli import tables

    if everything or as_json:
        _show(_ask(state, "actions", site=site, limit=limit), tables.actions, as_json)
    else:
        # Any number of proposals may lie between two changes.
        tables.changes(_ask(state, "actions", site=site, limit=_MOST), limit)


@app.command(epilog="Example: coordinator events office --since 3600")
def events(
    site: Annotated[str | None, typer.Argument(help="Only this site.")] = None,
    state: State = None,
    since: Annotated[float, typer.Option(help="Look back this many seconds.")] = 86_400.0,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """What happened on gateways, newest first."""
    from coordinator.cli import tables

    found = _ask(state, "events", site=site, since=max(0.0, time.time() - since), limit=limit)
    _show(found, tables.events, as_json)


def _folder(state: Path | None) -> Path:
    return state if state is not None else default_state()


def _own_folder(state: Path | None) -> Path:
    """For what changes the folder: root does it as the account that the folder belongs to."""
    from common.owner import become_owner

    # Once: the default is another one for another account.
    folder = _folder(state)
    become_owner(folder)
    return folder


def connect(state: Path | None, timeout_s: float = 30.0) -> Client:
    """A client of the coordinator whose state folder it is."""
    from coordinator.client import Client

    folder = _folder(state)
    config = load_config(folder)
    return Client(StatePaths(folder.absolute()).root / config.api.socket, timeout_s)


def _ask(state: Path | None, path: str, **question: str | int | float | None) -> Any:
    with connect(state) as client:
        return client.get(path, **question)


def _show(answer: Any, table: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))
    else:
        table(answer)


def _read(path: Path) -> bytes:
    from common.errors import Misconfigured

    try:
        return path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}", "name a PEM file") from error


def _address(text: str) -> int:
    from common.errors import Misconfigured
    from common.mesh.addresses import is_unicast

    try:
        number = int(text, 0)
    except ValueError:
        number = 0
    if not is_unicast(number):
        raise Misconfigured(f"{text!r} is no unicast address", "write it like 0x0001, up to 0x7fff")
    return number
