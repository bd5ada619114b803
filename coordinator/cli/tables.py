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
# What an action passes through before, or instead of, a change to a node.
_PROPOSALS = frozenset({"proposed", "superseded"})
_FOR_PROGRAMS = frozenset({"pdr", "pdr_upper", "forecast"})


def sites(found: list[Answer]) -> None:
    rows = (
        (
            s["site"],
            f"{s['gateways_live']}/{s['gateways']}" + " [red]mesh down[/]" * (s["mesh_up"] is False),
            s["acting"] or "-",
            f"{s['nodes_alive']}/{s['nodes_known']}",
            str(s["links"]),
            ago(s["last_seen"]),
        )
        for s in found
    )
    show(("site", "gateways live", "acting", "nodes alive", "links", "last seen"), rows, "No sites yet.")


def gateways(found: list[Answer]) -> None:
    rows = (
        (
            g["gateway"] or "(unknown)",
            g["site"] or "-",
            _standing(g),
            ago(g["last_seen"]),
            _stream(g["stream"]),
            str(g["queued"]),
            "\n".join(f"{reason} {n}" for reason, n in g["rejects"].items()) or "-",
        )
        for g in found
    )
    columns = ("gateway", "site", "state", "last seen", "stored", "outbox", "refused")
    show(
        columns, rows, "No gateways yet. Enrol one: coordinator gateways enrol SITE GATEWAY", whole="refused"
    )


def topology(found: Answer) -> None:
    nodes = (
        (
            _address(n["address"]),
            plain(n["name"]),
            {True: "[green]alive[/]", False: "[red]dead[/]", None: "?"}[n["alive"]],
            _MARKS[n["relay"]],
            "?" if n["default_ttl"] is None else str(n["default_ttl"]),
            _transmit(n["network_transmit"]),
            _transmit(n["relay_retransmit"]),
            plain(n["home"] or "-"),
            "?" if n["hops"] is None else str(n["hops"]),
        )
        for n in found["nodes"]
    )
    columns = ("node", "name", "state", "relay", "TTL", "transmit", "retransmit", "home", "hops")
    show(columns, nodes, f"Site {found['site']} has told no configuration yet.")
    links(found["links"])


def links(found: list[Answer]) -> None:
    ordered = sorted(found, key=lambda link: (link["pdr"] is None, link["pdr"]))
    rows = (
        (
            _address(link["transmitter"]),
            _address(link["receiver"]),
            "?" if link["pdr"] is None else f"{100 * link['pdr']:.1f} %",
            plain(", ".join(f"{k} {round(v, 3):g}" for k, v in _further(link))),
            ago(link["t"]),
        )
        for link in ordered
    )
    show(("from", "to", "PDR", "also", "measured"), rows, "No links measured in the last minutes.")


def changes(found: list[Answer], limit: int) -> None:
    """The newest actions without those that no gateway began to carry out."""
    begun = [a for a in found if any(step["state"] not in _PROPOSALS for step in a["steps"])]
    actions(begun[:limit], "No changes yet. With --all: what was only proposed.")


def actions(found: list[Answer], empty: str = "No actions yet.") -> None:
    rows = (
        (
            clock(a["steps"][0]["t"]),
            a["site"],
            a["gateway"],
            plain(a["kind"]),
            f"[bold]{a['state']}[/]",
            plain(a["cause"]),
            _story(a["steps"]),
        )
        for a in found
    )
    show(("began", "site", "gateway", "action", "state", "cause", "steps"), rows, empty)


def events(found: list[Answer]) -> None:
    rows = (
        (
            clock(e["t"]),
            e["site"],
            e["gateway"],
            plain(e["name"]),
            plain(" ".join(f"{key}={value}" for key, value in e["fields"].items())),
        )
        for e in found
    )
    show(("time", "site", "gateway", "event", "fields"), rows, "No events in this time.")


def show(
    columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], empty: str, whole: str | None = None
) -> None:
    """A table as wide as the terminal at most. Where that is narrow, the column `whole` keeps its lines."""
    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        longest_word = max(map(len, name.split()))
        table.add_column(name, no_wrap=name == whole, overflow="fold", min_width=longest_word)
    for row in rows:
        table.add_row(*row)
    console.print(table if table.row_count else escape(empty))


def _further(link: Answer) -> list[tuple[str, float]]:
    """What else was measured; bounds and forecasts are for programs."""
    values = link["values"].items()
    return sorted((name, v) for name, v in values if name not in _FOR_PROGRAMS and v is not None)


def plain(text: str) -> str:
    """Text of a gateway as it is: neither our markup nor the terminal's control sequences."""
    return escape("".join(c if c.isprintable() else "�" for c in text))


def _standing(gateway: Answer) -> str:
    if gateway["revoked"]:
        return "[red]revoked[/]"
    if not gateway["enrolled"]:
        return "not enrolled"
    if not gateway["live"]:
        return "[red]offline[/]"
    return "[green]live, acting[/]" if gateway["acting"] else "[green]live[/]"


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


def clock(t: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t))


def ago(t: float | None) -> str:
    if t is None:
        return "never"
    seconds = max(0.0, time.time() - t)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
