"""A map of a site for people to look at: who relays, what a plan changes, which links are good. One HTML file
with drawings in it, and nothing to load from elsewhere.

Where positions are not known, nodes are placed by their hops from the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import cos, pi, sin
from typing import Final

from coordinator.recipes.ordering import distances
from coordinator.recipes.plan import Plan
from coordinator.twin.site_model import Position, SiteModel

SIZE: Final = 560
EDGE: Final = 36
SHOWN_PDR: Final = 0.3
MOST_LINKS: Final = 1500

COLOURS: Final = {
    "gateway": "#1f4e9c",
    "relay": "#2a8f57",
    "node": "#9aa3ad",
    "relay on": "#e08a00",
    "relay off": "#c23b3b",
    "critical": "#c23b3b",
    "cut off": "#7b1fa2",
    "weak": "#e08a00",
    "late": "#e08a00",
    "too few ways": "#7b1fa2",
    "best place": "#e08a00",
    "changed": "#e08a00",
}


def page(title: str, text: str, drawings: Mapping[str, str], table: str = "") -> str:
    """An HTML page with drawings side by side, by caption."""
    figures = "".join(
        f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, drawing in drawings.items()
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
        f"<p>{escape(text)}</p><div class=row>{figures}</div>{_legend()}{table}</html>\n"
    )


def of_plan(model: SiteModel, plan: Plan) -> str:
    """The site before and after a plan, and its steps."""
    relays = set(model.relays)
    marks: dict[int, str] = {}
    for step in plan.steps:
        for setting in step.changes:
            if setting.relay is None:
                marks.setdefault(setting.address, "changed")
            else:
                (relays.add if setting.relay else relays.discard)(setting.address)
                marks[setting.address] = "relay on" if setting.relay else "relay off"
    rows = "".join(
        f"<tr><td>{number}<td>{escape(step.title)}<td>{escape(', '.join(map(str, step.changes)))}"
        f"<td>{step.delivery:.1%}<td>{step.worst_delivery:.1%}"
        for number, step in enumerate(plan.steps, 1)
    )
    head = "<tr><th>step<th>what<th>changes<th>delivery<th>worst"
    drawings = {"before": drawing(model, {}), "after": drawing(model.with_relays(relays), marks)}
    return page(f"{plan.recipe}: {plan.site}", plan.reason, drawings, f"<table>{head}{rows}</table>")


def drawing(model: SiteModel, marks: Mapping[int, str]) -> str:
    """One map as SVG: nodes with their role or mark, and the better links."""
    places = _places(model)
    parts = [f'<svg viewBox="0 0 {SIZE} {SIZE}" width="{SIZE}" height="{SIZE}" role="img">']
    parts += _lines(model, places)
    for address in model.addresses:
        x, y = places[address]
        role = _role(model, address)
        colour, mark = COLOURS.get(marks.get(address, role), COLOURS["node"]), marks.get(address, "")
        radius = 8 if role == "gateway" else 6 if role == "relay" or mark else 4
        said = f"0x{address:04x} {role}{', ' if mark else ''}{mark}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"><title>{escape(said)}</title>'
            "</circle>"
        )
    return "".join([*parts, "</svg>"])


def _lines(model: SiteModel, places: Mapping[int, Position]) -> list[str]:
    """Links between carriers and everybody, the better way of both, the best first where there are many."""
    carrying = model.relays | set(model.gateways)
    best: dict[tuple[int, int], float] = {}
    for (a, b), belief in model.links.items():
        if belief.pdr >= SHOWN_PDR and (a in carrying or b in carrying):
            pair = (min(a, b), max(a, b))
            best[pair] = max(best.get(pair, 0.0), belief.pdr)
    shown = sorted(best.items(), key=lambda item: -item[1])[:MOST_LINKS]
    return [
        f'<line x1="{places[a][0]:.1f}" y1="{places[a][1]:.1f}" x2="{places[b][0]:.1f}" '
        f'y2="{places[b][1]:.1f}" stroke="#567" stroke-opacity="{0.08 + 0.3 * pdr * pdr:.2f}"/>'
        for (a, b), pdr in shown
        if a in places and b in places
    ]


def _role(model: SiteModel, address: int) -> str:
    return "gateway" if address in model.gateways else "relay" if address in model.relays else "node"


def _places(model: SiteModel) -> dict[int, Position]:
    """Every node within the frame."""
    known = {a: place for a, place in model.positions.items() if a in model.addresses}
    if len(known) < len(model.addresses) or len(set(known.values())) < 2:
        known = _rings(model)
    left, top = (min(place[i] for place in known.values()) for i in (0, 1))
    wide = max(max(place[i] for place in known.values()) - low for i, low in ((0, left), (1, top))) or 1.0
    scale = (SIZE - 2 * EDGE) / wide
    return {a: (EDGE + (x - left) * scale, EDGE + (y - top) * scale) for a, (x, y) in known.items()}


def _rings(model: SiteModel) -> dict[int, Position]:
    """Nodes on a ring for each number of hops."""
    hops = distances(model, model.relays)
    outermost = max(hops.values(), default=0) + 1
    rings: dict[int, list[int]] = {}
    for address in model.addresses:
        rings.setdefault(hops.get(address, outermost), []).append(address)
    found = {}
    for ring, members in rings.items():
        radius = 0.0 if ring == 0 and len(members) == 1 else ring + 0.3
        for number, address in enumerate(members):
            angle = 2.0 * pi * (number + 0.5 * (ring % 2)) / len(members)
            found[address] = (radius * cos(angle), radius * sin(angle))
    return found


def _legend() -> str:
    shown = ("gateway", "relay", "node", "relay on", "relay off", "cut off")
    dots = "".join(f'<span><i style="background:{COLOURS[name]}"></i>{name}</span>' for name in shown)
    return f"<p class=legend>{dots}</p>"


_STYLE: Final = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    ".row{display:flex;flex-wrap:wrap;gap:1.5em}figure{margin:0}figcaption{text-align:center}"
    "svg{border:1px solid #ddd;border-radius:6px;background:#fafbfc;max-width:100%;height:auto}"
    ".legend span{margin-right:1.2em}.legend i{display:inline-block;width:.8em;height:.8em;"
    "border-radius:50%;margin-right:.4em}table{border-collapse:collapse}"
    "td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}"
)
