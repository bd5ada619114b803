"""`edge-agent nodes …`: the operator's commands about nodes. The daemon never imports this."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from common.errors import Misconfigured
from common.files import write_file
from common.mesh.addresses import show
from common.mesh.cdb import permissions_warning
from common.mesh.cdb_document import SiteDocument
from common.owner import become_owner
from edge_agent.client import ask, error_of
from edge_agent.config import AgentConfig, read_config
from edge_agent.nodes import request
from edge_agent.nodes.following import AGENT_S, followed
from edge_agent.nodes.replacing import losses
from edge_agent.nodes.request import Addition
from edge_agent.nodes.store import SealedSite, SiteStore, site_store
from edge_agent.nodes.vault import Vault

REMOVE_S: Final = 30.0
_MAX_STATIC_TEXT: Final = 200

nodes = typer.Typer(
    name="nodes",
    help="The site's nodes: find devices, add and remove nodes, and keep the site file with their keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="MESHTWIN_AGENT_CONFIG", metavar="FILE", help="The agent's TOML file."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
_DEFAULT: Final = Path("/etc/meshtwin/agent.toml")


@nodes.command(epilog="Examples: edge-agent nodes scan; edge-agent nodes scan --seconds 20 --json")
def scan(
    seconds: Annotated[float, typer.Option(min=1, max=60, help="How long to listen.")] = 5.0,
    config: ConfigOption = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Listen for devices that wait to be provisioned."""
    socket = read_config(config).socket
    if not as_json:
        print(f"listening for {seconds:g} s …", file=sys.stderr)
    devices = ask(socket, "nodes-scan", seconds + AGENT_S, seconds=seconds)["devices"]
    if as_json:
        print(json.dumps(devices))
        return
    table = Table("UUID", "signal", "authentication value", "over")
    for device in devices:
        signal = "" if device["rssi_dbm"] is None else f"{device['rssi_dbm']} dBm"
        table.add_row(device["uuid"], signal, ", ".join(device["oob"]), ", ".join(device["bearers"]))
    Console().print(table if devices else "no device waits to be provisioned here")


@nodes.command(
    epilog="Examples: edge-agent nodes add 70cf7c97-32a3-45b6-9149-4810d2e9cbf4 --name 'Hall 3'; edge-agent "
    "nodes add 70cf7c9732a345b691494810d2e9cbf4 --static-oob label.txt --relay --json"
)
def add(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="The device, as `scan` shows it.")],
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    auth: Annotated[
        str | None, typer.Option(metavar="none|static|output|input", help="Insist on this authentication.")
    ] = None,
    static_oob: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The device's static value in hexadecimal digits; - for input."),
    ] = None,
    provisioner: Annotated[str, typer.Option(help="Whose address range of the site file to use.")] = "",
    relay: Annotated[bool, typer.Option("--relay", help="Switch its relay feature on.")] = False,
    config: ConfigOption = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a device a node of the site.

    It is provisioned, given the application key, and set up.
    The strongest authentication that the device has is used; you are asked for what it shows. Secrets are
    never taken from the command line, where others could read them.
    """
    asked: dict[str, Any] = {"uuid": uuid, "name": name, "provisioner": provisioner, "relay": relay}
    asked |= {} if auth is None else {"method": auth}
    asked |= {} if static_oob is None else {"static": _static(static_oob)}
    Addition.of(asked)
    socket = read_config(config).socket
    job = ask(socket, "nodes-add", AGENT_S, **asked)["job"]
    last = followed(socket, job, as_json)
    if as_json:
        print(json.dumps(last))
    elif last["step"] == "done":
        print(f"{last['node']}: added")
    if last["step"] != "done":
        raise error_of(last)


@nodes.command(
    epilog="Examples: edge-agent nodes remove 0x0105; edge-agent nodes remove --forget 0x0105 --yes --json"
)
def remove(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Unicast address, such as 0x0105 or 261.")],
    forget: Annotated[
        bool, typer.Option("--forget", help="Strike it out of the site file even if it does not answer.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Make a node forget the network.

    It has to be added again to come back.
    """
    request.address(node)
    if not yes and not typer.confirm(f"Expel {node} from its network?"):
        raise typer.Exit(1)
    told = ask(read_config(config).socket, "nodes-remove", REMOVE_S, node=node, forget=forget)
    if as_json:
        print(json.dumps(told))
        return
    print(f"{told['node']}: {_left(told)}")
    if told["advice"]:
        print(f"warning: {told['advice']}", file=sys.stderr)


@nodes.command("list", epilog="Examples: edge-agent nodes list; edge-agent nodes list --json | jq '.[].node'")
def list_nodes(config: ConfigOption = _DEFAULT, as_json: JsonOption = False) -> None:
    """Show the nodes of the site file. Works without a running agent."""
    rows: list[dict[str, Any]] = [
        {
            "node": show(node.unicast_address),
            "name": node.name,
            "uuid": node.uuid,
            "elements": max(1, len(node.elements)),
            "excluded": node.excluded,
        }
        for node in sorted(_store(config).read().site.nodes, key=lambda node: node.unicast_address)
    ]
    if as_json:
        print(json.dumps(rows))
        return
    table = Table("node", "name", "UUID", "elements", "")
    for row in rows:
        struck = "struck out" if row["excluded"] else ""
        table.add_row(row["node"], row["name"], row["uuid"], str(row["elements"]), struck)
    Console().print(table)


@nodes.command(
    "import",
    epilog="Examples: edge-agent nodes import site.json; edge-agent nodes import --replace --yes site.json",
)
def import_site(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Mesh Configuration Database JSON.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a site that is there.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigOption = _DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Take over a commissioning app's site file.

    It is kept encrypted, and a running agent notices. Before a site is replaced, you are told what would be
    lost; the former one is kept, encrypted, until the next time.
    """
    loaded = read_config(config)
    _refuse_plain(loaded)
    document = SiteDocument.read(file)
    document.site.node(loaded.gateway.address)
    warning = permissions_warning(file)
    # Root reads the file, and the agent's account keeps it: it could not read what root has sealed.
    become_owner(loaded.gateway.state_dir)
    vault = Vault(loaded.gateway.state_dir)
    if vault.path.exists() and not replace:
        raise Misconfigured(f"{vault.path} is there already", "edge-agent nodes import --replace FILE")
    former = _keep_former(vault, document, yes)
    SealedSite(vault).write(document)
    told = {"site": document.site.mesh_name, "nodes": len(document.site.live_nodes()), "at": str(vault.path)}
    told |= {} if former is None else {"former": str(former)}
    print(json.dumps(told) if as_json else f"imported {told['nodes']} nodes of {told['site']!r}")
    if former is not None:
        print(f"the former site is in {former}, encrypted: mv {former} {vault.path}", file=sys.stderr)
    if warning is not None:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{file} still holds the keys: delete it, or keep it where only you can read it", file=sys.stderr)


@nodes.command(epilog="Example: edge-agent nodes export site.json")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace a file that is there.")] = False,
    config: ConfigOption = _DEFAULT,
) -> None:
    """Write the site file in the clear.

    For a commissioning app, with all that the app put into it.
    """
    text = _store(config).read().text()
    if file.exists() and not replace:
        raise Misconfigured(f"{file} is there already", "name another file, or say --replace")
    write_file(file, text)
    print(f"wrote {file}")
    print(f"warning: {file} holds all keys of the network in the clear", file=sys.stderr)


def _left(told: dict[str, Any]) -> str:
    if not told["reset"]:
        return "struck out, but it did not answer"
    return "removed" if told["last_word"] else "removed; it fell silent without confirming"


def _keep_former(vault: Vault, new: SiteDocument, yes: bool) -> Path | None:
    """Show what a new site would lose of the one that is there, ask, and keep that one.

    Its backup; None where there is nothing to lose.
    """
    if not vault.path.exists():
        return None
    try:
        former = SealedSite(vault).read()
        # A site imported twice must not push the one before it out of its place.
        if former.text() == new.text():
            return None
        lost = losses(former.site, new.site)
    except Misconfigured as error:
        lost = [f"whatever is in it: {error.problem}"]
    for line in lost:
        print(f"would be lost: {line}", file=sys.stderr)
    if lost and not yes and not typer.confirm(f"Replace {vault.path}?", err=True):
        raise typer.Exit(1)
    return vault.keep_former()


def _store(config: Path) -> SiteStore:
    store = site_store(read_config(config))
    if store is None:
        raise Misconfigured("this site is simulated and has no site file", "see mesh.link")
    return store


def _refuse_plain(config: AgentConfig) -> None:
    if config.mesh.site_file is not None:
        raise Misconfigured(
            f"the configuration names {config.mesh.site_file}, which the agent would use instead",
            "take mesh.site_file out of it first",
        )


def _static(file: Path) -> str:
    """A static value's digits, which are no error's business. Raises Misconfigured."""
    if str(file) == "-":
        return sys.stdin.read(_MAX_STATIC_TEXT).strip()
    try:
        with file.open(encoding="ascii") as opened:
            return opened.read(_MAX_STATIC_TEXT).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} cannot be read as hexadecimal digits", "check the file") from error
