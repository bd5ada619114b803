"""Answers of the API as tables for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Answer = Mapping[str, Any]
_MARKS = {True: "[green]on[/]", False: "off", None: "?"}


def sites(found: list[Answer]) -> None:
    rows = (
        (
            s["site"],
            f"{s['gateways_live']}/{s['gateways']}",
            s["acting"] or "-",
            f"{s['nodes_alive']}/{s['nodes_known']}",
            str(s["links"]),
            _ago(s["last_seen"]),
        )
        for s in found
    )
    _print(("site", "gateways live", "acting", "nodes alive", "links", "last seen"), rows, "No sites yet.")


def gateways(found: list[Answer]) -> None:
    rows = (
        (
            g["gateway"] or "(unknown)",
            g["site"] or "-",
            _standing(g),
            _ago(g["last_seen"]),
            "yes" if g["acting"] else "",
            _stream(g["stream"]),
            str(g["queued"]),
            ", ".join(f"{reason} {n}" for reason, n in g["rejects"].items()) or "-",
        )
        for g in found
    )
    columns = ("gateway", "site", "state", "last seen", "acting", "stored", "outbox", "refused")
    _print(columns, rows, "No gateways yet. Enrol one: coordinator gateways enrol SITE GATEWAY")


def topology(found: Answer) -> None:
    nodes = (
        (
            _address(n["address"]),
            _plain(n["name"]),
            {True: "[green]alive[/]", False: "[red]dead[/]", None: "?"}[n["alive"]],
            _MARKS[n["relay"]],
            "?" if n["default_ttl"] is None else str(n["default_ttl"]),
            _transmit(n["network_transmit"]),
            _transmit(n["relay_retransmit"]),
            _plain(n["home"] or "-"),
            "?" if n["hops"] is None else str(n["hops"]),
        )
        for n in found["nodes"]
    )
    columns = ("node", "name", "state", "relay", "TTL", "transmit", "retransmit", "home", "hops")
    _print(columns, nodes, f"Site {found['site']} has told no configuration yet.")
    links(found["links"])


def links(found: list[Answer]) -> None:
    ordered = sorted(found, key=lambda link: (link["pdr"] is None, link["pdr"]))
    rows = (
        (
            _address(link["transmitter"]),
            _address(link["receiver"]),
            "?" if link["pdr"] is None else f"{100 * link['pdr']:.1f} %",
            _plain(
                ", ".join(
                    f"{k} {v:g}" for k, v in sorted(link["values"].items()) if k != "pdr" and v is not None
                )
            ),
            _ago(link["t"]),
        )
        for link in ordered
    )
    _print(("from", "to", "PDR", "also", "measured"), rows, "No links measured in the last minutes.")


def actions(found: list[Answer]) -> None:
    rows = (
        (
            _clock(a["steps"][0]["t"]),
            a["site"],
            a["gateway"],
            _plain(a["kind"]),
            f"[bold]{a['state']}[/]",
            _plain(a["cause"]),
            _story(a["steps"]),
        )
        for a in found
    )
    _print(("began", "site", "gateway", "action", "state", "cause", "steps"), rows, "No actions yet.")


def events(found: list[Answer]) -> None:
    rows = (
        (
            _clock(e["t"]),
            e["site"],
            e["gateway"],
            _plain(e["name"]),
            _plain(" ".join(f"{key}={value}" for key, value in e["fields"].items())),
        )
        for e in found
    )
    _print(("time", "site", "gateway", "event", "fields"), rows, "No events in this time.")


def _print(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], empty: str) -> None:
    console = Console()
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table if table.row_count else escape(empty))


def _plain(text: str) -> str:
    """Text of a gateway as it is: neither our markup nor the terminal's control sequences."""
    return escape("".join(c if c.isprintable() else "�" for c in text))


def _standing(gateway: Answer) -> str:
    if gateway["revoked"]:
        return "[red]revoked[/]"
    if not gateway["enrolled"]:
        return "not enrolled"
    return "[green]live[/]" if gateway["live"] else "[red]offline[/]"


def _stream(stream: Answer | None) -> str:
    if stream is None:
        return "-"
    missing = sum(last - first + 1 for first, last in stream["holes"])
    notes = [f"{missing} missing"] * bool(missing) + [f"{stream['lost']} lost"] * bool(stream["lost"])
    return f"{stream['sequence']}" + (f" ({', '.join(notes)})" if notes else "")


def _story(steps: list[Answer]) -> str:
    began = steps[0]["t"]
    return " → ".join(f"{s['state']} +{s['t'] - began:.1f} s" for s in steps)


def _transmit(value: list[int] | None) -> str:
    return "?" if value is None else f"{value[0]} x {value[1]} ms"


def _address(value: int) -> str:
    return f"0x{value:04x}"


def _clock(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t))


def _ago(t: float | None) -> str:
    if t is None:
        return "never"
    seconds = max(0.0, time.time() - t)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
