"""The page that `edge-agent status` draws, read as a person reads it."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

from edge_agent.status_page import picture

STATUS: dict[str, Any] = {
    "site": "hall",
    "gateway": "gw-1",
    "address": "0x0001",
    "mesh": "up",
    "role": "actor",
    "learned": True,
    "forecaster": "naive",
    "forecast_error": {"naive": 0.0123, "model": None},
    "actions_confirmed": 1,
    "actions_pending": ["delivery of 0x0009 expected to be 0.41, below need"],
    "actions_recent": [
        {
            "id": "gw-1-7-1",
            "began": 1_700_000_000.0,
            "state": "rolled-back",
            "cause": "relay 0x0003 dead, 2 nodes cut off",
            "steps": [
                {"address": 1, "relay": None, "default_ttl": 9},
                {"address": 5, "relay": 1, "default_ttl": None},
            ],
            "detail": "0 of 2 nodes answer",
            "seconds": 15.04,
        }
    ],
    "delivery_need": 0.9,
    "nodes": [
        {"address": "0x0002", "name": "door", "relay": True, "alive": True, "delivery": 0.98, "hops": 1,
         "home": "gw-1", "silent_s": 0.4},
        {"address": "0x0003", "name": "hall", "relay": True, "alive": False, "delivery": 0.0, "hops": None,
         "home": "gw-1", "silent_s": 200.0},
        {"address": "0x0004", "name": "desk", "relay": False, "alive": True, "delivery": 0.61, "hops": 3,
         "home": "", "silent_s": 20.0},
        {"address": "0x0005", "name": "roof", "relay": None, "alive": True, "delivery": 0.0, "hops": None,
         "home": "", "silent_s": 3.0},
    ],
    "reports_per_s": 1.25,
    "links": 12,
    "version": "0.1.0",
    "broker": "away",
    "peers": {"gw-2": True, "gw-3": False},
    "outbox": {"epoch": "0", "queued": 31, "acknowledged": 900, "dropped": 4},
    "host": {"cpu_percent": 12.3, "agent_rss_mib": 40.6},
}  # fmt: skip


def page(**changes: Any) -> str:
    console = Console(width=140, color_system=None)
    with console.capture() as capture:
        console.print(picture({**STATUS, **changes}))
    return capture.get()


def rows(text: str) -> list[str]:
    """The lines of the table of nodes."""
    return [line.rstrip() for line in text.splitlines() if re.match(r"0x[0-9a-f]{4} ", line)]


def test_the_head_says_who_it_is_and_how_it_stands() -> None:
    told = page()
    assert "gw-1 of site hall, node 0x0001, meshtwin 0.1.0" in told
    assert "up; 4 nodes, 1 of them dead; 12 links; 1.25 reports/s" in told
    assert "actor: acts for the whole site" in told
    assert "on: it knows the site" in told
    assert "naive; error of the naive forecast in the share of probes heard: 0.0123" in told
    assert "away; 31 messages wait, 900 were stored, 4 dropped for want of space" in told
    assert "gw-2 live, gw-3 gone" in told
    assert "CPU 12 %, 41 MiB" in told


def test_actions_are_told_with_their_changes_and_outcome() -> None:
    told = page()
    assert "under way: delivery of 0x0009 expected to be 0.41, below need" in told
    (line,) = [line for line in told.splitlines() if "rolled-back" in line]
    assert "relay 0x0003 dead, 2 nodes cut off" in line
    assert "0x0001 TTL 9, 0x0005 relay on" in line
    assert "0 of 2 nodes answer, 15.0 s" in line


def test_nodes_in_trouble_come_first() -> None:
    dead, degraded, cut_off, well = rows(page())
    assert re.fullmatch(r"0x0003 +hall +DEAD +on +- +- +gw-1 +3 min ago", dead)
    assert re.fullmatch(r"0x0004 +desk +alive +off +61 % +3 +- +20 s ago", degraded)
    assert re.fullmatch(r"0x0005 +roof +alive +\? +cut off +- +- +3 s ago", cut_off)
    assert re.fullmatch(r"0x0002 +door +alive +on +98 % +1 +gw-1 +0 s ago", well)


def test_an_agent_that_still_learns_calls_nobody_cut_off() -> None:
    told = page(learned=False, learning="14 s more without a new link")
    assert "not yet: learning the site, waiting for 14 s more without a new link" in told
    assert "cut off" not in "".join(rows(told))


def test_a_dry_run_is_said() -> None:
    assert "only proposes: policy.dry_run is set" in page(dry_run=True)


def test_a_quiet_agent_has_no_table_of_actions() -> None:
    told = page(actions_recent=[], actions_pending=[], nodes=[], peers={}, host={})
    assert "recent actions" not in told
    assert "1 confirmed since the start" in told
    assert "not measured yet" in told


def test_names_cannot_draw_on_the_page() -> None:
    node = {**STATUS["nodes"][0], "name": "[red]\x1b[2Jdoor"}
    told = page(nodes=[node])
    assert "[red]" in told
    assert "\x1b" not in told


def test_an_answer_of_another_version_is_drawn_as_far_as_it_goes() -> None:
    console = Console(width=140, color_system=None)
    with console.capture() as capture:
        console.print(picture({"gateway": "gw-9"}))
    assert "gw-9" in capture.get()


def test_each_model_is_told_with_its_errors_or_with_why_it_is_not_used() -> None:
    models = [
        {"name": "link-forecast", "version": 6, "state": "in-use", "error": 0.0212, "naive_error": 0.0341,
         "windows": 900},
        {"name": "link-forecast", "version": 7, "state": "refused", "reason": "altered: digest 12…",
         "retry_s": 3000.0},
    ]  # fmt: skip
    told = " ".join(page(models=models).split())
    rule = "unless it is worse than the naive forecast by more than chance"
    assert f"link-forecast 6: in use, {rule}; error 0.0212, naive 0.0341 over the same 900 windows" in told
    assert "link-forecast 7: refused; altered: digest 12…; tried again in 50 min" in told


def test_one_comparison_is_shown_over_the_same_windows() -> None:
    model = {"name": "link-forecast", "version": 1, "state": "trial", "error": 0.0412, "naive_error": 0.0395,
             "windows": 19}  # fmt: skip
    told = " ".join(page(models=[model], forecast_error={"naive": 0.049, "link-forecast": 0.041}).split())
    assert "error 0.0412, naive 0.0395 over the same 19 windows" in told
    assert "0.049" not in told


def test_a_model_on_its_way_is_told_with_what_holds_it_up() -> None:
    told = page(
        models=[{"name": "m", "version": 1, "state": "fetching", "reason": "no answer", "error": None}]
    )
    assert "m 1: being fetched; no answer" in told
