"""`python -m tools.meshlab`: run a lab in the foreground, and reach a running one from another shell."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from common import logs
from common.errors import MeshtwinError
from tools.meshlab.client import LabClient
from tools.meshlab.lab import Lab
from tools.meshlab.meshsite import MeshSite
from tools.meshlab.sitefile import SitePlan
from tools.meshlab.topology import Topology

EXAMPLES = """
Examples:

  python -m tools.meshlab up --count 12 --topology grid:4x3:0.1

  python -m tools.meshlab up --topology grid:4x3:0.1 --gateways 2 --relay 5 --relay 6

  python -m tools.meshlab status

  python -m tools.meshlab kill 3

  python -m tools.meshlab loss 0 1 0.5 --both-ways

  python -m tools.meshlab topology site.json

  python -m tools.meshlab stats --json
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Real bluetooth-meshd nodes over a software air.",
    epilog=EXAMPLES,
)

Folder = Annotated[Path, typer.Option(help="Where the lab keeps its state.", envvar="MESHLAB_FOLDER")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Node = Annotated[int, typer.Argument(help="The node's index, from 0.", min=0)]
HERE = Path("build/meshlab")


@app.command(epilog="Example: python -m tools.meshlab up --count 12 --topology grid:4x3:0.1 --seed 7")
def up(
    count: Annotated[int, typer.Option(min=1, help="How many daemons.")] = 12,
    topology: Annotated[
        str, typer.Option(help="A file, or a shape: full, star, line:5:0.1, grid:4x3:0.1.")
    ] = "full",
    gateways: Annotated[
        int | None,
        typer.Option(min=1, help="Make a configured mesh; so many nodes, the first, are gateways."),
    ] = None,
    relay: Annotated[list[int] | None, typer.Option(help="A node that relays; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Of the losses.")] = 1,
    debug: Annotated[bool, typer.Option(help="Let the daemons log every packet.")] = False,
    folder: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Run a lab until Ctrl-C, or until `down` in another shell: bare daemons, or with --gateways a mesh.

    A mesh has its keys in FOLDER/site.json, and a gateway's link finds its node imported when it takes
    FOLDER/gateway-INDEX for its state folder.
    """
    logs.configure("warning")
    links = Topology.parse(topology, count)
    if gateways is None:
        _run(_up(Lab(folder, count, links, seed, debug=debug), as_json))
    else:
        plan = SitePlan(count, gateways, frozenset(relay or ()))
        _run(_up_as_mesh(MeshSite(folder, plan, links, seed, debug=debug), as_json))


@app.command(epilog="Example: python -m tools.meshlab down")
def down(folder: Folder = HERE) -> None:
    """End a running lab."""
    _run(_client(folder).down())


@app.command(epilog="Example: python -m tools.meshlab status --json")
def status(folder: Folder = HERE, as_json: Json = False) -> None:
    """Show the nodes of a running lab, and what they use."""
    _run(_status(_client(folder), as_json))


@app.command(epilog="Example: python -m tools.meshlab kill 3")
def kill(node: Node, folder: Folder = HERE) -> None:
    """End a node's daemon by SIGKILL."""
    _run(_client(folder).kill(node))


@app.command(epilog="Example: python -m tools.meshlab restart 3")
def restart(node: Node, folder: Folder = HERE) -> None:
    """Start a node's daemon again, whether it is up or down."""
    _run(_client(folder).restart(node))


@app.command(epilog="Example: python -m tools.meshlab pause 3")
def pause(node: Node, folder: Folder = HERE) -> None:
    """Stop a node's daemon by SIGSTOP."""
    _run(_client(folder).pause(node))


@app.command(epilog="Example: python -m tools.meshlab resume 3")
def resume(node: Node, folder: Folder = HERE) -> None:
    """Let a paused daemon run again."""
    _run(_client(folder).resume(node))


@app.command(epilog="Example: python -m tools.meshlab silence 3; … silence 3 --off")
def silence(
    node: Node, folder: Folder = HERE, off: Annotated[bool, typer.Option("--off", help="Undo.")] = False
) -> None:
    """Switch a node's radio off while its daemon runs on."""
    client = _client(folder)
    _run(client.unsilence(node) if off else client.silence(node))


@app.command(epilog="Example: python -m tools.meshlab loss 0 1 0.5 --both-ways")
def loss(
    source: Annotated[int, typer.Argument(metavar="FROM")],
    target: Annotated[int, typer.Argument(metavar="TO")],
    share: Annotated[float, typer.Argument(metavar="LOSS", help="0 to 1; 1 cuts the link.")],
    both_ways: Annotated[bool, typer.Option(help="The reverse link as well.")] = False,
    folder: Folder = HERE,
) -> None:
    """Set the loss of a link."""
    _run(_client(folder).set_loss(source, target, share, both_ways))


@app.command(epilog="Example: python -m tools.meshlab topology grid:4x3:0.1")
def topology(
    new: Annotated[str | None, typer.Argument(help="A file or a shape; nothing to show the links.")] = None,
    folder: Folder = HERE,
) -> None:
    """Replace all links, or print them in the form of a topology file."""
    _run(_topology(_client(folder), new))


@app.command(epilog="Example: python -m tools.meshlab stats --json")
def stats(folder: Folder = HERE, as_json: Json = False) -> None:
    """Show what the air counted, by node."""
    _run(_stats(_client(folder), as_json))


async def _up(lab: Lab, as_json: bool) -> None:
    _end_on_signal(lab)
    async with lab:
        _say_up(lab, as_json)
        await lab.run()


async def _up_as_mesh(site: MeshSite, as_json: bool) -> None:
    _end_on_signal(site.lab)
    async with site:
        _say_up(site.lab, as_json)
        await site.run()


def _end_on_signal(lab: Lab) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lab.end)


def _say_up(lab: Lab, as_json: bool) -> None:
    text = f"{lab.count} nodes up on {lab.bus_address}; Ctrl-C ends them"
    print(json.dumps(lab.state()) if as_json else text, flush=True)


async def _status(client: LabClient, as_json: bool) -> None:
    usage = await client.usage()
    rows = [
        asdict(node) | (asdict(used) if used else {})
        for node, used in zip(client.status(), usage.nodes, strict=True)
    ]
    if as_json:
        print(
            json.dumps({**client.state(), "nodes": rows, "air": asdict(usage.air), "bus": asdict(usage.bus)})
        )
    else:
        _table(rows, ["node", "state", "pid", "cpu_s", "rss_kib", "pss_kib"])


async def _stats(client: LabClient, as_json: bool) -> None:
    counted = await client.stats()
    if as_json:
        print(json.dumps(asdict(counted)))
        return
    rows = [{"node": index, **asdict(node)} for index, node in enumerate(counted.nodes)]
    _table(rows, ["node", "tx", "rx", "lost", "full", "gone", "types"])


async def _topology(client: LabClient, new: str | None) -> None:
    now = await client.topology()
    if new is None:
        print(json.dumps(now.to_json()))
    else:
        await client.set_topology(Topology.parse(new, now.nodes))


def _table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console().print(table)


def _client(folder: Path) -> LabClient:
    return LabClient.attach(folder)


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def main() -> None:
    """Run the command line. What went wrong on purpose is one line on standard error, and exit code 1."""
    try:
        app()
    except MeshtwinError as error:
        print(f"meshlab: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
