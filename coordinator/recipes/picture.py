"""A map of a site for people to look at: who relays, what a plan changes, which links are good. One HTML file
with drawings in it, and nothing to load from elsewhere.

Where positions are not known, nodes are placed by their hops from the gateway. Nodes are named by their
addresses: all of a small site, of a large one its gateways, its relays and what is marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import cos, pi, sin
from typing import Final

from common.mesh.addresses import show
from coordinator.recipes.labels import HEIGHT, NAMED_ALL, WIDTH, Label, labels
from coordinator.recipes.ordering import distances
from coordinator.recipes.plan import Plan
from coordinator.twin.site_model import Position, SiteModel

SIZES: Final = (560, 800, 1200)
"""Widths of a map: the first of them where every address that is wanted finds room."""

EDGE: Final = 50
FOOT: Final = 18
"""For a line of text below the map."""

FLATTEST: Final = 0.4
"""Of its width a map is at least so high, though the site be a corridor: addresses take room."""

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
    """One map as SVG: nodes with their role or mark, their addresses, and the better links."""
    radii = {address: _radius(_role(model, address), address in marks) for address in model.addresses}
    wanted = _named(model, marks)
    for wide in SIZES:
        places, high = _places(model, wide)
        named = labels(places, radii, wanted, (wide, high))
        if len(named) == len(wanted):
            break
    parts = [
        f'<svg viewBox="0 0 {wide} {high + FOOT:.0f}" width="{wide}" height="{high + FOOT:.0f}" role="img">'
    ]
    parts += _lines(model, places)
    parts += _leaders(named, places)
    for address in model.addresses:
        x, y = places[address]
        role, mark = _role(model, address), marks.get(address, "")
        colour = COLOURS.get(mark or role, COLOURS["node"])
        said = f"{show(address)} {role}{', ' if mark else ''}{mark}"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radii[address]}" fill="{colour}">'
            f"<title>{escape(said)}</title></circle>"
        )
    parts += _texts(named)
    parts += _foot(len(model.addresses), len(wanted), len(wanted) - len(named), high)
    return "".join([*parts, "</svg>"])


def _radius(role: str, marked: bool) -> int:
    return 8 if role == "gateway" else 6 if role == "relay" or marked else 4


def _named(model: SiteModel, marks: Mapping[int, str]) -> list[int]:
    """Who is to be named, the most important first: what is marked, gateways, relays, the others."""
    order = {
        address: i for i, address in enumerate([*marks, *model.gateways, *sorted(model.relays)][::-1], 1)
    }
    there = sorted(model.addresses, key=lambda address: (-order.get(address, 0), address))
    return [address for address in there if address in order or len(there) <= NAMED_ALL]


def _leaders(named: list[Label], places: Mapping[int, Position]) -> list[str]:
    return [
        f'<line x1="{places[one.address][0]:.1f}" y1="{places[one.address][1]:.1f}" x2="{one.lead[0]:.1f}" '
        f'y2="{one.lead[1]:.1f}" stroke="#222" stroke-width="0.7"/>'
        for one in named
        if one.lead is not None
    ]


def _texts(named: list[Label]) -> list[str]:
    """Addresses, as wide as was reckoned with whatever the font, on an edge that keeps links off them."""
    texts = [
        f'<text x="{one.x - WIDTH / 2.0:.1f}" y="{one.y + 0.36 * HEIGHT:.1f}" textLength="{WIDTH:.0f}" '
        f'lengthAdjust="spacingAndGlyphs">{one.text}</text>'
        for one in named
    ]
    return [f"<g {_WRITING}>", *texts, "</g>"]


def _foot(nodes: int, wanted: int, without_room: int, high: float) -> list[str]:
    """What is not to be read in the map."""
    said = [f"{nodes - wanted} nodes that neither relay nor change are not named"] if wanted < nodes else []
    if without_room:
        said.append(f"{without_room} address{'' if without_room == 1 else 'es'} found no room")
    if not said:
        return []
    text = f"{', '.join(said)}: point at a node for its address."
    y = high + FOOT - 6
    return [f'<text x="8" y="{y:.0f}" font-family="{_FONT}" font-size="11" fill="#567">{text}</text>']


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


def _places(model: SiteModel, size: int) -> tuple[dict[int, Position], float]:
    """Every node within a frame as wide as `size`, and the frame's height."""
    if not model.addresses:
        return {}, FLATTEST * size
    known = {a: place for a, place in model.positions.items() if a in model.addresses}
    if len(known) < len(model.addresses) or len(set(known.values())) < 2:
        known = _rings(model)
    (left, right), (top, bottom) = ((min(axis), max(axis)) for axis in zip(*known.values(), strict=True))
    scale = (size - 2 * EDGE) / (max(right - left, bottom - top) or 1.0)
    high = max(FLATTEST * size, (bottom - top) * scale + 2 * EDGE)
    # In the middle, whichever way the site is long.
    across, down = (size - (right - left) * scale) / 2.0, (high - (bottom - top) * scale) / 2.0
    return {a: (across + (x - left) * scale, down + (y - top) * scale) for a, (x, y) in known.items()}, high


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


_FONT: Final = "system-ui,sans-serif"
_WRITING: Final = (
    f'font-family="{_FONT}" font-size="10.5" fill="#222" stroke="#fafbfc" stroke-width="2.5" '
    'stroke-linejoin="round" paint-order="stroke" pointer-events="none"'
)
_STYLE: Final = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}"
    ".row{display:flex;flex-wrap:wrap;gap:1.5em}figure{margin:0}figcaption{text-align:center}"
    "svg{border:1px solid #ddd;border-radius:6px;background:#fafbfc;max-width:100%;height:auto}"
    ".legend span{margin-right:1.2em}.legend i{display:inline-block;width:.8em;height:.8em;"
    "border-radius:50%;margin-right:.4em}table{border-collapse:collapse}"
    "td,th{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}"
)
