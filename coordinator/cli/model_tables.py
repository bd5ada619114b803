"""Models as tables for people, from eighty columns on: a heading for each bundle, a line for each site."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from common.models.words import UNLESS_WORSE
from coordinator.cli.tables import Answer, ago, clock, plain, show

_COLUMNS: Final = (("site", 11), ("evaluated/naive", 23), ("live/naive", 23), ("gateways", 16))
"""With the least width of each, so that the bundles' tables stand below each other."""

_STATES: Final = {"in-use": "in use", "trial": "on trial", "worse-than-naive": "worse"}
_LOST: Final = (
    "unknown: models.json was lost or damaged, and made again from the bundles. What was released and how it "
    "was evaluated is forgotten; gateways keep what they run. To settle it: coordinator models evaluate "
    "VERSION, then coordinator models release VERSION; or coordinator models rollback, for none."
)


def models(found: list[Answer], everything: bool = False) -> None:
    """Versions, newest first; of each what is released, would be, or was told of by gateways."""
    console = Console()
    shown = [
        (model, bundle)
        for model in found
        for bundle in model["bundles"]
        if everything or bundle["released"] or bundle["default"] or any(_told(bundle))
    ]
    for model, bundle in shown:
        _bundle(console, model, bundle)
    if not found:
        console.print("No models yet. Train one: coordinator models train")
        return
    console.print(
        Text(
            "Errors in the share of probes heard (windows compared); few: not enough to tell. "
            f"Gateways use a model {UNLESS_WORSE}.",
            style="dim",
        )
    )
    if any(model["state"] == "unknown" for model in found):
        console.print(Text(_LOST, style="yellow"))


def model_moves(found: list[Answer]) -> None:
    """Who changes from what to what, a line for each site."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for move in found:
        key = (move["site"], move["before"] or "naive", move["after"] or "naive")
        grouped.setdefault(key, []).append(move["gateway"])
    rows = (
        (plain(site), plain(before), plain(after), plain(", ".join(names)))
        for (site, before, after), names in sorted(grouped.items())
    )
    show(("site", "from", "to", "gateways"), rows, "No gateway changes its model.")


def model_changes(found: list[Answer]) -> None:
    rows = ((clock(c["at"]), plain(c["by"] or "?"), c["what"], plain(c["detail"])) for c in found)
    show(("time", "by", "what", "models"), rows, "Nothing was released yet.")


def learnt(rows: Answer) -> str:
    """Like "0 rows of sites, 90000 of synthetic links": what a model learnt from."""
    counts = {
        kind: sum(count for name, count in rows.items() if name.partition(":")[0] == kind)
        for kind in ("site", "trace", "synthetic")
    }
    traces = f"{counts['trace']} of traces, " if counts["trace"] else ""
    return f"{counts['site']} rows of sites, {traces}{counts['synthetic']} of synthetic links"


def _bundle(console: Console, model: Answer, bundle: Answer) -> None:
    state = model["state"] if bundle["released"] or model["state"] != "released" else "not released"
    console.print(
        Text.assemble(
            (f"{_visible(model['name'])} {model['version']}", "bold"),
            "  ",
            (state, {"released": "green", "unknown": "yellow"}.get(state, "")),
            f"  {bundle['precision']}, {bundle['size'] / 1000:.1f} kB, trained {ago(model['created'])}",
        )
    )
    if model["rows"]:
        _note(console, f"learnt from {learnt(model['rows'])}")
    if rows := list(_rows(bundle)):
        console.print(Padding(_table(rows), (0, 0, 0, 2)))
    for text in _troubles(bundle):
        _note(console, text, "red")
    console.print()


def _table(rows: Iterable[tuple[str | Text, ...]]) -> Table:
    """Words stay whole: only what gateways are doing may take several lines."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1), collapse_padding=True)
    for name, width in _COLUMNS:
        table.add_column(name, min_width=width, no_wrap=name != "gateways")
    for row in rows:
        table.add_row(*row)
    return table


def _rows(bundle: Answer) -> Iterator[tuple[str | Text, ...]]:
    """All sites together, synthetic links where those prove too little, then each site."""
    overall = bundle["overall"]
    if overall is not None:
        yield "all sites", _errors(overall), "", ""
    if bundle["synthetic"] is not None and (overall is None or not overall["enough"]):
        yield "(synthetic)", _errors(bundle["synthetic"]), "", ""
    for site in bundle["sites"]:
        evaluated = _errors(site["observed"] or site["held_out"])
        yield Text(_visible(site["site"])), evaluated, _errors(site["live"]), _runners(site)


def _errors(found: Answer | None) -> Text:
    """Both errors, and over how many windows; red where the model's is the larger one, if that counts."""
    if found is None:
        return Text("-")
    few = "" if found["enough"] else " few"
    text = f"{found['error']:.4f}/{found['naive_error']:.4f} ({found['windows']}{few})"
    return Text(text, style="red" if found["enough"] and found["error"] > found["naive_error"] else "")


def _runners(site: Answer) -> str:
    """How many gateways are in which state."""
    states = ", ".join(
        f"{count} {_STATES.get(state, plain(state))}" for state, count in sorted(site["states"].items())
    )
    return f"{states or 'none yet'} of {site['wanted']}" if site["wanted"] else states or "-"


def _troubles(bundle: Answer) -> Iterator[str]:
    """What gateways say against a bundle, and the gravest that they ever said."""
    for site in bundle["sites"]:
        now = set()
        for gateway in site["gateways"]:
            if gateway["reason"] or gateway["state"] == "worse-than-naive":
                now.add((gateway["gateway"], gateway["state"]))
                yield f"{gateway['gateway']} of {site['site']} {_says(gateway)}{_again(gateway['again_at'])}"
        verdict = site["verdict"]
        if verdict is not None and (verdict["gateway"], verdict["state"]) not in now:
            yield f"{verdict['gateway']} of {site['site']} {_says(verdict)}, {ago(verdict['at'])}"


def _says(said: Answer) -> str:
    reason = f": {said['reason']}" if said["reason"] else ""
    if said["state"] == "refused":
        return f"refused it{reason}"
    if said["state"] != "worse-than-naive":
        return f"is {_STATES.get(said['state'], said['state'])}{reason}"
    errors = ""
    if said["error"] is not None and said["naive_error"] is not None:
        errors = f" (error {said['error']:.4f}, naive {said['naive_error']:.4f}, {said['windows']} windows)"
    return f"found it worse than the naive forecast by more than chance{errors}{reason}"


def _again(at: float | None) -> str:
    if at is None:
        return ""
    minutes = max(0.0, at - time.time()) / 60
    soon = "within a minute" if minutes < 1 else f"in {minutes:.0f} min"
    return f"; it tries again {soon}, or at the next release"


def _told(bundle: Answer) -> Iterable[Any]:
    return (said for site in bundle["sites"] for said in (*site["gateways"], site["verdict"]) if said)


def _note(console: Console, text: str, style: str = "") -> None:
    console.print(Padding(Text(_visible(text), style=style), (0, 0, 0, 2)))


def _visible(text: str) -> str:
    """Text of a gateway without the terminal's control sequences."""
    return "".join(c if c.isprintable() else "�" for c in text)
