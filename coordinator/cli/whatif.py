"""`coordinator whatif`: what a change would do to every flow of a site."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

import typer

from common.errors import Rejected, RejectReason
from common.topics import check_name
from coordinator.cli import twin_tables as tables
from coordinator.cli.twin import LONG_S, AsJson, At, Seed, State, connect, moment, show
from coordinator.cli.usage import asked_rightly


@asked_rightly("coordinator whatif --help, and coordinator topology SITE for its nodes")
def whatif(
    site: Annotated[str, typer.Argument(help="The site to ask about.")],
    state: State = None,
    fail: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="This node dies; repeatable.")
    ] = None,
    relay_on: Annotated[list[str] | None, typer.Option(metavar="NODE", help="It relays; repeatable.")] = None,
    relay_off: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="It relays no more; repeatable.")
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE:NEIGHBOUR=PDR,…", help="A node is added that hears these so well; repeatable."
        ),
    ] = None,
    ttl: Annotated[int | None, typer.Option(min=2, max=127, help="TTL of all nodes.")] = None,
    transmit: Annotated[
        str | None, typer.Option(metavar="COUNTxMS", help="Network transmit, such as 3x20.")
    ] = None,
    retransmit: Annotated[
        str | None, typer.Option(metavar="COUNTxMS", help="Relay retransmit, such as 2x20.")
    ] = None,
    load: Annotated[float, typer.Option(min=0.001, max=1000.0, help="Everything is sent so often.")] = 1.0,
    times: Annotated[bool, typer.Option(help="Latencies, too: takes longer.")] = False,
    seed: Seed = 1,
    at: At = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Show every flow, not just the {tables.SHOWN} that change most.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a change would do to every flow, by the cheapest model that can tell. Changes nothing."""
    check_name(site, "site")
    said = {
        "failed": _nodes(fail),
        "relays_on": _nodes(relay_on),
        "relays_off": _nodes(relay_off),
        "added": [_added(text) for text in add or []],
        "ttl": ttl,
        "network_transmit": _timing(transmit),
        "relay_retransmit": _timing(retransmit),
        "load": load,
        "times": times,
        "seed": seed,
        "t": None if at is None else moment(at, time.time()),
    }
    with connect(state, LONG_S) as client, tables.waiting(f"what if, at {site}"):
        found = client.post(f"sites/{site}/whatif", **said)
    show(found, partial(tables.effects, everything=everything), as_json)


def _nodes(texts: list[str] | None) -> list[int]:
    from common.mesh.addresses import check_unicast, parse

    return [check_unicast(parse(word.strip())) for text in texts or [] for word in text.split(",")]


def _added(text: str) -> dict[str, Any]:
    """`0x0200:0x0105=0.9,0x0106=0.7`"""
    node, _, rest = text.partition(":")
    try:
        pairs = [part.split("=") for part in rest.split(",") if part]
        pdr = {_nodes([address])[0]: _share(share) for address, share in pairs}
        return {"address": _nodes([node])[0], "pdr": pdr}
    except ValueError as error:
        raise Rejected(
            RejectReason.MALFORMED, f"--add {text[:60]!r}: write it like 0x0200:0x0105=0.9,0x0106=0.7"
        ) from error


def _share(text: str) -> float:
    share = float(text)
    if not 0.0 <= share <= 1.0:
        raise Rejected(RejectReason.OUT_OF_RANGE, f"--add: PDR {text[:20]!r}; 0 to 1 is possible")
    return share


def _timing(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    count, _, interval = text.partition("x")
    if not (text.isascii() and count.isdigit() and interval.isdigit()):
        raise Rejected(RejectReason.MALFORMED, f"{text[:20]!r}: write it like 3x20, transmissions and ms")
    return int(count), int(interval)
