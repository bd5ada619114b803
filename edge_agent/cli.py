"""The command line `edge-agent`, for people and scripts. The daemon itself never imports this.

`run` and `node` check their arguments and then *become* the daemon, so that what draws tables here takes no
memory there.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from common.errors import MeshtwinError, Misconfigured
from common.mesh.addresses import show
from edge_agent.client import ask
from edge_agent.config import AgentConfig, check_files, load_config

DEFAULT_CONFIG = Path("/etc/meshtwin/agent.toml")
WATCH_S = 2.0

app = typer.Typer(
    name="edge-agent",
    help="The meshtwin agent on a gateway: watches its mesh, acts by itself, reports to the coordinator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="MESHTWIN_AGENT_CONFIG", metavar="FILE", help="The agent's TOML file."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON for programs.")]


def main() -> None:
    """Entry point. Exit codes: 2 for what the operator has to change, 1 for anything else that failed."""
    try:
        app()
    except MeshtwinError as error:
        print(f"edge-agent: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, Misconfigured) else 1)


@app.command()
def run(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the agent in the foreground until it is stopped.

    Example: edge-agent run --config /etc/meshtwin/agent.toml
    """
    check_files(load_config(config))
    _become("edge_agent", "--config", str(config))


@app.command("check-config")
def check_config(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Check the configuration file and the files it names, without running anything.

    Example: edge-agent check-config -c agent.toml
    """
    loaded = load_config(config)
    warnings = check_files(loaded)
    if as_json:
        print(json.dumps({"config": str(config), "warnings": warnings, **_essence(loaded)}))
        return
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    told = ", ".join(f"{key} {value}" for key, value in _essence(loaded).items())
    print(f"{config} is good: {told}")


@app.command()
def status(
    config: ConfigOption = DEFAULT_CONFIG,
    socket: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The agent's socket, instead of a configuration.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again every two seconds.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a running agent knows and does.

    Examples: edge-agent status · edge-agent status --watch · edge-agent status --json | jq .role
    """
    path = socket or load_config(config).socket
    if not watch:
        _show(ask(path, "status"), as_json)
        return
    try:
        _watch(path, as_json)
    except KeyboardInterrupt:
        # The way to end it.
        pass


@app.command()
def version(as_json: JsonOption = False) -> None:
    """Show the versions of meshtwin and Python."""
    versions = {"meshtwin": installed_version("meshtwin"), "python": platform.python_version()}
    print(json.dumps(versions) if as_json else " ".join(f"{k} {v}" for k, v in versions.items()))


@app.command()
def node(
    nodes: Annotated[list[str], typer.Argument(metavar="NODE[=PID]…", help="Unicast addresses.")],
    site_file: Annotated[Path, typer.Option(metavar="FILE", help="Mesh Configuration Database JSON.")],
    state_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where the daemons' tokens are kept.")],
    bus_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="D-Bus address; the system bus by default.")
    ] = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = "info",
) -> None:
    """Be mesh nodes: the node side of link monitoring and a light switch, over bluetooth-meshd.

    Example: edge-agent node --site-file site.json --state-dir /var/lib/meshtwin/node 0x0105
    """
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
    }


def _watch(path: Path, as_json: bool) -> None:
    if as_json:
        while True:
            _show(ask(path, "status"), as_json=True)
            sys.stdout.flush()
            time.sleep(WATCH_S)
    with Live(_picture(ask(path, "status")), console=Console(), auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_S)
            live.update(_picture(ask(path, "status")), refresh=True)


def _show(answer: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))
    else:
        Console().print(_picture(answer))


def _picture(answer: Any) -> RenderableType:
    """Single values as a list, lists of objects as tables, in the order the agent gives them."""
    if not isinstance(answer, dict):
        return str(answer)
    facts = Table(show_header=False, box=None, pad_edge=False)
    tables: list[RenderableType] = []
    for key, value in answer.items():
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            tables.append(_table(key, value))
        else:
            facts.add_row(key.replace("_", " "), _cell(value))
    return Group(facts, *tables)


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title.replace("_", " "), title_justify="left")
    columns = list(rows[0])
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    return table


def _cell(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case dict():
            return ", ".join(f"{key} {_cell(inner)}" for key, inner in value.items())
        case list():
            return ", ".join(_cell(inner) for inner in value)
    return str(value)
