"""The commands of `edge-agent`.

`run` and `node` check their arguments and then *become* the daemon, so that what draws tables here takes no
memory there.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Annotated, NoReturn

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from common import __version__
from common.command_errors import EXIT_CODES
from common.errors import Misconfigured, TimedOut, Unavailable
from common.mesh.addresses import show
from edge_agent.client import ask
from edge_agent.config import AgentConfig, check_files, load_config
from edge_agent.nodes.cli import nodes
from edge_agent.status_page import picture
from edge_agent.tasks.cli import tasks

DEFAULT_CONFIG = Path("/etc/meshtwin/agent.toml")
WATCH_S = 2.0
AGENT_S = 5.0
"""What the agent itself may take for an answer, besides the mesh."""

CONFIGURE_S = 30.0
"""The agent repeats Config messages by itself for some seconds."""

app = typer.Typer(
    name="edge-agent",
    help="The meshtwin agent on a gateway: watches its mesh, acts by itself, reports to the coordinator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
)
app.add_typer(nodes)
app.add_typer(tasks)


class OnOff(StrEnum):
    """A state as people type it."""

    ON = "on"
    OFF = "off"


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
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Unicast address, such as 0x0105 or 261.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edge-agent {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What may stand before a command."""


@app.command(epilog="Example: edge-agent run --config /etc/meshtwin/agent.toml")
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the agent in the foreground until it is stopped."""
    check_files(load_config(config))
    _become("edge_agent", "--config", str(config))


@app.command("check-config", epilog="Example: edge-agent check-config -c agent.toml")
def check_config(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check a configuration and the files it names. Runs nothing."""
    from edge_agent.preflight import examine  # It takes a while to import, and nothing else needs it.

    loaded = load_config(config)
    warnings = examine(loaded)
    if as_json:
        print(json.dumps({"config": str(config), "warnings": warnings, **_essence(loaded)}))
        return
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    told = ", ".join(f"{key} {value}" for key, value in _essence(loaded).items())
    print(f"{config} is good: {told}")


@app.command(
    epilog="Examples: edge-agent status; edge-agent status --watch; edge-agent status --json | jq .role"
)
def status(
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every two seconds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a running agent knows and does."""
    path = _socket(config, socket)
    if not watch:
        answer = ask(path, "status")
        if as_json:
            print(json.dumps(answer))
        else:
            Console().print(picture(answer))
        return
    try:
        _watch(path, as_json)
    except KeyboardInterrupt:
        # Ctrl-C is how a watch is ended.
        pass


@app.command(
    epilog="Examples: edge-agent ping 0x0105; edge-agent ping 0x0105 --count 20 --json | jq .answered"
)
def ping(
    node: NodeArgument,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="Questions to ask.")] = 3,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.05, max=10.0, help="How long to wait for each answer.")
    ] = 1.0,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask a node over the mesh, and time its answers. Exit code 1 when none came."""
    path = _socket(config, socket)
    times: list[float | None] = []
    for number in range(1, count + 1):
        times.append(_round_trip(path, node, timeout))
        if not as_json:
            took = times[-1]
            print(
                f"{number}: " + (f"no answer in {timeout:g} s" if took is None else f"{1000 * took:.0f} ms")
            )
    answered = [t for t in times if t is not None]
    if as_json:
        told = {"node": node, "asked": count, "answered": len(answered), "round_trips_s": times}
        print(json.dumps(told))
    else:
        print(f"{node}: {_answered(answered, count)}")
    if not answered:
        raise typer.Exit(1)


@app.command(epilog="Examples: edge-agent relay 0x0105 on; edge-agent relay 0x0105 off --json")
def relay(
    node: NodeArgument,
    state: Annotated[OnOff, typer.Argument(metavar="on|off", help="What the node's relay feature shall be.")],
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch a node's relay feature by hand. Should service suffer, the agent may switch relays on again."""
    answer = ask(_socket(config, socket), "relay", CONFIGURE_S, node=node, relay=state is OnOff.ON)
    print(json.dumps(answer) if as_json else f"{answer['node']}: relay {'on' if answer['relay'] else 'off'}")


@app.command(
    "install-service",
    epilog="Examples: edge-agent install-service --dry-run; edge-agent install-service --uninstall",
)
def install_service(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
    uninstall: Annotated[bool, typer.Option("--uninstall", help="Undo it. State and accounts stay.")] = False,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Install into the image below DIR instead of this machine.")
    ] = Path("/"),
    python: Annotated[
        str, typer.Option(metavar="PATH", help="The interpreter to start; by default this one.")
    ] = sys.executable,
) -> None:
    """Install the agent as a systemd service, with an account of its own. Needs root; safe to repeat."""
    from edge_agent.service.install import NEXT, installation

    made = installation(root, python)
    for refusal in made.refusals() if dry_run else ():
        print(f"warning: this would be refused: {refusal}", file=sys.stderr)
    for line in made.preview() if dry_run else made.uninstall() if uninstall else made.install():
        print(line)
    if not dry_run and not uninstall:
        print(NEXT)


@app.command(epilog="Example: edge-agent version --json")
def version(as_json: JsonOption = False) -> None:
    """Show the versions of meshtwin and Python."""
    versions = {"meshtwin": __version__, "python": platform.python_version()}
    print(json.dumps(versions) if as_json else " ".join(f"{k} {v}" for k, v in versions.items()))


@app.command(
    epilog="Example: edge-agent node --site-file site.json --state-dir /var/lib/meshtwin/node 0x0105"
)
def node(
    nodes: Annotated[list[str], typer.Argument(metavar="NODE[=PID]…", help="Unicast addresses.")],
    site_file: Annotated[Path, typer.Option(metavar="FILE", help="Mesh Configuration Database JSON.")],
    state_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the daemons' tokens are kept.")],
    bus_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="D-Bus address; the system bus by default.")
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
) -> None:
    """Be mesh nodes over bluetooth-meshd. They monitor their links and serve a light switch."""
    if not os.access(site_file, os.R_OK):
        raise Misconfigured(f"site file {site_file} cannot be read", "export it from the commissioning app")
    bus = ["--bus-address", bus_address] if bus_address else []
    files = ["--site-file", str(site_file), "--state-dir", str(state_dir)]
    _become("firmware_bridge.node_app", *files, *bus, "--log-level", log_level, *nodes)


def _become(module: str, *arguments: str) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def _essence(config: AgentConfig) -> dict[str, str]:
    return {
        "site": config.gateway.site,
        "gateway": config.gateway.id,
        "address": show(config.gateway.address),
        "mesh": config.mesh.link,
        "broker": f"{config.broker.host}:{config.broker.port}",
        "state": str(config.gateway.state_dir),
    }


def _socket(config: Path, socket: Path | None) -> Path:
    return socket or load_config(config).socket


def _watch(path: Path, as_json: bool) -> None:
    if as_json:
        while True:
            print(json.dumps(ask(path, "status")), flush=True)
            time.sleep(WATCH_S)
    with Live(_page(path), console=Console(), auto_refresh=False, screen=True) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(_page(path), refresh=True)


def _page(path: Path) -> RenderableType:
    """The status now; an agent that is being restarted is waited for."""
    try:
        return picture(ask(path, "status"))
    except (Unavailable, TimedOut) as error:
        return Text(f"{str(error).splitlines()[0]}; trying again")


def _round_trip(path: Path, node: str, timeout: float) -> float | None:
    """Seconds, or None when the node did not answer."""
    try:
        answer = ask(path, "ping", timeout + AGENT_S, node=node, timeout_s=timeout)
    except TimedOut as error:
        if isinstance(error.__cause__, TimeoutError):
            raise  # It is the agent itself that does not answer.
        return None
    return float(answer["round_trip_s"])


def _answered(times: list[float], asked: int) -> str:
    if not times:
        return f"none of {asked} answered"
    least, middle, most = (1000 * t for t in (min(times), median(times), max(times)))
    return f"{len(times)} of {asked} answered; least {least:.0f}, median {middle:.0f}, most {most:.0f} ms"
