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
            _stream(g["stream"]),
            str(g["queued"]),
            "\n".join(f"{reason} {n}" for reason, n in g["rejects"].items()) or "-",
        )
        for g in found
    )
    columns = ("gateway", "site", "state", "last seen", "stored", "outbox", "refused")
    _print(
        columns, rows, "No gateways yet. Enrol one: coordinator gateways enrol SITE GATEWAY", whole="refused"
    )


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
            _plain(", ".join(f"{k} {round(v, 3):g}" for k, v in _further(link))),
            _ago(link["t"]),
        )
        for link in ordered
    )
    _print(("from", "to", "PDR", "also", "measured"), rows, "No links measured in the last minutes.")


def changes(found: list[Answer], limit: int) -> None:
    """The newest actions without those that no gateway began to carry out."""
    begun = [a for a in found if any(step["state"] not in _PROPOSALS for step in a["steps"])]
    actions(begun[:limit], "No changes yet. With --all: what was only proposed.")


def actions(found: list[Answer], empty: str = "No actions yet.") -> None:
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
    _print(("began", "site", "gateway", "action", "state", "cause", "steps"), rows, empty)


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


def models(found: list[Answer], everything: bool = False) -> None:
    """Versions, newest first; of each what is released, would be, or is told of by gateways."""
    rows: list[tuple[str, ...]] = []
    for model in found:
        for bundle in model["bundles"]:
            if everything or bundle["released"] or bundle["default"] or any(_told(bundle)):
                rows += _bundle_rows(model, bundle)
    columns = (
        "model", "state", "bundle", "trained", "site", "evaluated / naive", "live / naive", "gateways",
    )  # fmt: skip
    _print(columns, rows, "No models yet. Train one: coordinator models train")


def model_moves(found: list[Answer]) -> None:
    """Who changes from what to what, a line for each site."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for move in found:
        key = (move["site"], move["before"] or "naive", move["after"] or "naive")
        grouped.setdefault(key, []).append(move["gateway"])
    rows = (
        (_plain(site), _plain(before), _plain(after), _plain(", ".join(names)))
        for (site, before, after), names in sorted(grouped.items())
    )
    _print(("site", "from", "to", "gateways"), rows, "No gateway changes its model.")


def model_changes(found: list[Answer]) -> None:
    rows = ((_clock(c["at"]), _plain(c["by"] or "?"), c["what"], _plain(c["detail"])) for c in found)
    _print(("time", "by", "what", "models"), rows, "Nothing was released yet.")


def _told(bundle: Answer) -> Iterable[Answer]:
    return (gateway for site in bundle["sites"] for gateway in site["gateways"])


def _bundle_rows(model: Answer, bundle: Answer) -> list[tuple[str, ...]]:
    """All sites together, synthetic links where those prove too little, then each site."""
    state = model["state"] if bundle["released"] or model["state"] != "released" else "-"
    head = (
        f"{_plain(model['name'])} {model['version']}",
        f"[green]{state}[/]" if state == "released" else state,
        f"{bundle['precision']}, {bundle['size'] / 1000:.1f} kB",
        _ago(model["created"]),
    )
    lines = []
    if overall := bundle["overall"]:
        lines.append(("all sites", _errors(overall), "-", "-"))
    if overall is None or not overall["enough"]:
        lines.append(("(synthetic)", _errors(bundle["synthetic"]), "-", "-"))
    for site in bundle["sites"]:
        evaluated = _errors(site["observed"] or site["held_out"])
        lines.append((_plain(site["site"]), evaluated, _errors(site["live"]), _runners(site)))
    blank = ("",) * len(head)
    return [(*(blank if number else head), *line) for number, line in enumerate(lines)]


def _errors(found: Answer | None) -> str:
    """Both errors, and over how many windows; red where the model's is the larger one, if that counts."""
    if found is None:
        return "-"
    few = "" if found["enough"] else ", few"
    text = f"{found['error']:.4f} / {found['naive_error']:.4f} ({found['windows']}{few})"
    return f"[red]{text}[/]" if found["enough"] and found["error"] > found["naive_error"] else text


def _runners(site: Answer) -> str:
    """How many gateways are in which state, and why some refused."""
    states = ", ".join(f"{count} {_plain(state)}" for state, count in sorted(site["states"].items()))
    lines = [f"{states or 'none yet'} of {site['wanted']}" if site["wanted"] else states or "-"]
    for gateway in site["gateways"]:
        if gateway["reason"]:
            name, reason = _plain(gateway["gateway"]), _plain(gateway["reason"])
            lines.append(f"[red]{name} {_plain(gateway['state'])}: {reason}[/]")
    return "\n".join(lines)


def _print(
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


def _plain(text: str) -> str:
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
