"""An agent's status as people read it: who it is and how it stands, what it did, and its nodes, those in
trouble first. For the command line only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.mesh.addresses import show
from common.models.words import BY_MORE_THAN_CHANCE, UNLESS_WORSE

Answer = Mapping[str, Any]

GOOD, BAD, DOUBTFUL = "green", "bold red", "yellow"
SILENT_S = 15.0
"""Silence worth a look: nodes are heard every few seconds."""

_ROLES = {
    "actor": "actor: acts for the whole site",
    "proposer": "proposer: another gateway acts, this one only proposes",
    "alone": "alone: knows of no acting peer, acts on its home nodes only",
}
_STATE_STYLES = {"confirmed": GOOD, "failed": BAD, "rolled-back": BAD, "abandoned": BAD}
_MODEL_STATES = {
    "fetching": ("being fetched", DOUBTFUL),
    "refused": ("refused", BAD),
    "trial": (f"on trial, then used {UNLESS_WORSE}", ""),
    "in-use": (f"in use, {UNLESS_WORSE}", GOOD),
    "worse-than-naive": (f"not used: {BY_MORE_THAN_CHANCE}", DOUBTFUL),
}
_HOST = (
    ("cpu_percent", "CPU {:.0f} %"),
    ("memory_percent", "memory {:.0f} %"),
    ("disk_percent", "disk {:.0f} %"),
    ("temperature_c", "{:.0f} °C"),
    ("power_w", "about {:.1f} W"),
    ("uplink_rtt_ms", "uplink {:.1f} ms"),
    ("agent_cpu_percent", "the agent {:.1f} % of a core"),
    ("agent_rss_mib", "{:.0f} MiB"),
)


def picture(status: Answer) -> RenderableType:
    """The whole page."""
    parts: list[RenderableType] = [_facts(status)]
    if status.get("actions_recent"):
        parts += ["", _actions(status["actions_recent"])]
    if status.get("nodes"):
        # Before the site is known, low figures say nothing: nobody is in trouble yet.
        need = float(status.get("delivery_need", 0.0)) if status.get("learned") else 0.0
        parts += ["", _nodes(status["nodes"], need)]
    return Group(*parts)


def _facts(status: Answer) -> Table:
    facts = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _fact_rows(status):
        facts.add_row(name, text)
    return facts


def _fact_rows(status: Answer) -> Iterable[tuple[str, Text]]:
    head = (
        f"{status.get('gateway', '?')} of site {status.get('site', '?')}, node {status.get('address', '?')}"
    )
    yield "gateway", _text(f"{head}, meshtwin {status.get('version', '?')}")
    mesh = str(status.get("mesh", "?"))
    yield "mesh", _text(_mesh(status, mesh), GOOD if mesh == "up" else BAD)
    role = str(status.get("role", "?"))
    yield "role", _text(_ROLES.get(role, role))
    yield "decisions", _decisions(status)
    yield "actions", _text(_pending(status))
    yield "forecast", _text(_forecast(status))
    for model in status.get("models") or []:
        yield "model", _model(model)
    broker = str(status.get("broker", "?"))
    yield "broker", _text(_broker(status, broker), "" if broker == "connected" else DOUBTFUL)
    if trouble := (status.get("outbox") or {}).get("trouble"):
        yield "disk", _text(f"refuses to be written: {trouble}", BAD)
    if certificate := status.get("certificate"):
        yield "certificate", _certificate(certificate)
    if tasks := status.get("tasks"):
        yield "tasks", _text(_tasks(tasks))
    yield "peers", _peers(status.get("peers") or {})
    yield "host", _text(_host(status.get("host") or {}))


def _mesh(status: Answer, mesh: str) -> str:
    nodes = status.get("nodes") or []
    dead = sum(not node.get("alive", True) for node in nodes)
    told = f"{len(nodes)} nodes" + (f", {dead} of them dead" if dead else "")
    return f"{mesh}; {told}; {status.get('links', 0)} links; {status.get('reports_per_s', 0):g} reports/s"


def _decisions(status: Answer) -> Text:
    if status.get("learned"):
        dry = "it knows the site, and only proposes: policy.dry_run is set"
        return _text(dry, DOUBTFUL) if status.get("dry_run") else _text("on: it knows the site")
    waits = str(status.get("learning") or "")
    return _text("not yet: learning the site" + (f", waiting for {waits}" if waits else ""), DOUBTFUL)


def _pending(status: Answer) -> str:
    pending = status.get("actions_pending") or []
    under_way = f"; under way: {'; '.join(map(str, pending))}" if pending else ""
    return f"{status.get('actions_confirmed', 0)} confirmed since the start{under_way}"


def _forecast(status: Answer) -> str:
    """Which one is used. Its error only where no model's line compares the two: over other windows it is
    another figure."""
    used = str(status.get("forecaster", "?"))
    if any(model.get("naive_error") is not None for model in status.get("models") or []):
        return used
    error = (status.get("forecast_error") or {}).get("naive")
    told = "not scored yet" if error is None else f"{error:.4f}"
    return f"{used}; error of the naive forecast in the share of probes heard: {told}"


def _model(model: Answer) -> Text:
    state, reason = str(model.get("state", "?")), str(model.get("reason") or "")
    told, style = _MODEL_STATES.get(state, (state, ""))
    scores = ""
    if model.get("error") is not None and model.get("naive_error") is not None:
        errors = f"error {model['error']:.4f}, naive {model['naive_error']:.4f}"
        scores = f"; {errors} over the same {model.get('windows', 0)} windows"
    head = f"{model.get('name', '?')} {model.get('version', '?')}: {told}"
    again = "" if model.get("retry_s") is None else f"; tried again in {_span(float(model['retry_s']))}"
    return _text(head + (f"; {reason}" if reason else "") + scores + again, style)


def _broker(status: Answer, broker: str) -> str:
    outbox = status.get("outbox") or {}
    dropped = outbox.get("dropped", 0)
    waiting = f"{outbox.get('queued', 0)} messages wait, {outbox.get('acknowledged', 0)} were stored"
    return f"{broker}; {waiting}" + (f", {dropped} dropped for want of space" if dropped else "")


def _certificate(certificate: Answer) -> Text:
    state, problem = certificate.get("state"), str(certificate.get("problem") or "")
    end = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(certificate.get("not_after", 0.0))))
    told = f"{'ended' if state == 'expired' else 'good until'} {end}"
    told += ", renewed" if certificate.get("renewed") else ""
    style = BAD if state == "expired" else DOUBTFUL if problem or state in ("expiring", "early") else ""
    return _text(told + (f"; {problem}" if problem else ""), style)


def _tasks(tasks: Answer) -> str:
    jobs = f"{tasks.get('live_jobs', 0)} jobs under way, {tasks.get('jobs_done', 0)} done"
    failed = tasks.get("jobs_failed", 0)
    slots = f"{tasks.get('busy', 0)} of {tasks.get('slots', 0)} slots busy"
    return f"{jobs}" + (f", {failed} failed" if failed else "") + f"; {slots}"


def _peers(peers: Mapping[str, bool]) -> Text:
    if not peers:
        return _text("none")
    told = (
        _text(f"{name} {'live' if live else 'gone'}", "" if live else BAD) for name, live in peers.items()
    )
    return Text(", ").join(told)


def _host(host: Mapping[str, float]) -> str:
    return ", ".join(form.format(host[key]) for key, form in _HOST if key in host) or "not measured yet"


def _actions(actions: Iterable[Answer]) -> Table:
    table = _table("recent actions", "began", "state", "cause", "change", "outcome")
    for action in actions:
        state = str(action.get("state", "?"))
        took = action.get("seconds")
        outcome = [str(action.get("detail") or "")] + ([] if took is None else [f"{took:.1f} s"])
        table.add_row(
            time.strftime("%H:%M:%S", time.localtime(float(action.get("began", 0.0)))),
            _text(state, _STATE_STYLES.get(state, "")),
            _text(str(action.get("cause", ""))),
            _text(", ".join(map(_change, action.get("steps") or []))),
            _text(", ".join(filter(None, outcome))),
        )
    return table


def _change(step: Answer) -> str:
    relay, ttl = step.get("relay"), step.get("default_ttl")
    changes = [] if relay is None else [f"relay {'on' if relay else 'off'}"]
    changes += [] if ttl is None else [f"TTL {ttl}"]
    return f"{show(int(step.get('address', 0)))} {' and '.join(changes)}"


def _nodes(nodes: Iterable[Answer], need: float) -> Table:
    table = _table("nodes", "node", "name", "state", "relay", "delivery", "hops", "home", "heard")
    for node in sorted(nodes, key=lambda node: _trouble(node, need)):
        alive, delivery = bool(node.get("alive", True)), float(node.get("delivery", 0.0))
        silent = float(node.get("silent_s", 0.0))
        table.add_row(
            _text(str(node.get("address", "?"))),
            _text(str(node.get("name") or "-")),
            _text("alive") if alive else _text("DEAD", BAD),
            {True: "on", False: "off"}.get(node.get("relay"), "?"),  # type: ignore[arg-type]
            _delivery(delivery, need) if alive else "-",
            "-" if node.get("hops") is None else str(node["hops"]),
            _text(str(node.get("home") or "-")),
            _text(f"{_span(silent)} ago", DOUBTFUL if alive and silent > SILENT_S else ""),
        )
    return table


def _trouble(node: Answer, need: float) -> tuple[bool, bool, str]:
    """The dead first, then those below need, then the others, each in the order of addresses."""
    return bool(node.get("alive", True)), float(node.get("delivery", 0.0)) >= need, str(node.get("address"))


def _delivery(delivery: float, need: float) -> Text:
    if delivery <= 0.0:
        return _text("cut off", BAD) if need else _text("?")
    return _text(f"{100 * delivery:.0f} %", "" if delivery >= need else DOUBTFUL)


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=None)
    table.header_style, table.pad_edge = "dim", False
    return table


def _text(text: str, style: str = "") -> Text:
    """Text as it is: a name may hold what rich takes for markup, or a terminal's control sequences."""
    return Text("".join(c if c.isprintable() else "�" for c in text), style=style)
