"""From what the repository and the registry know to what the API shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from common.messages import NodeRecord, Status
from coordinator.api import models
from coordinator.identity.fleet import Fleet
from coordinator.repository.gateways import GatewayRecord, StreamRecord
from coordinator.repository.history import Action, Snapshot
from coordinator.repository.latest import Latest
from coordinator.repository.samples import Samples, Subject

# A gateway that misses this many of its status periods is no longer live.
PERIODS: Final = 3


def gateways(records: Mapping[str, GatewayRecord], fleet: Fleet, now: float) -> list[models.Gateway]:
    """Every enrolled gateway, and whoever else wrote or was refused."""
    names = sorted({*records, *fleet.gateways}, key=lambda name: (_site(name, records, fleet), name))
    return [_gateway(name, records.get(name), fleet, now) for name in names]


def sites(shown: Sequence[models.Gateway], links: Mapping[str, int]) -> list[models.Site]:
    """A summary per site. Node counts are those of the live gateway that knows most."""
    grouped: dict[str, list[models.Gateway]] = {}
    for gateway in shown:
        if gateway.site:
            grouped.setdefault(gateway.site, []).append(gateway)
    return [_site_view(name, members, links.get(name, 0)) for name, members in sorted(grouped.items())]


def topology(
    site: str, snapshot: Snapshot | None, links: list[models.Link], homes: Mapping[int, str], now: float
) -> models.Topology:
    """Nodes with their configuration, and the links between them."""
    nodes = snapshot.nodes if snapshot else ()
    return models.Topology(
        site=site,
        t=now,
        configured_at=snapshot.t if snapshot else None,
        version=snapshot.version if snapshot else None,
        nodes=[_node(node, homes) for node in sorted(nodes, key=lambda n: n.address)],
        links=links,
    )


def links(found: Iterable[Latest], now: float) -> list[models.Link]:
    """Links by transmitter and receiver. A delivery ratio that cannot be one is left out."""
    return [
        models.Link(
            site=link.site,
            gateway=link.gateway,
            transmitter=link.key["transmitter"],
            receiver=link.key["receiver"],
            t=link.t,
            age_s=max(0.0, now - link.t),
            pdr=_share(link.values.get("pdr")),
            values={name: v for name, v in link.values.items() if name != "pdr" or _share(v) is not None},
        )
        for link in found
    ]


def homes(records: Iterable[GatewayRecord], site: str) -> dict[int, str]:
    """Which gateway is home to which node, as the acting gateway of the site last said."""
    statuses = [r.status for r in records if r.status and r.site == site and r.status.homes]
    told = max(statuses, key=lambda s: (s.acting, s.time), default=None)
    return {node: gateway for gateway, nodes in told.homes.items() for node in nodes} if told else {}


def action(found: Action) -> models.Action:
    steps = [models.ActionStep(t=s.t, state=s.state, detail=s.detail, seconds=s.seconds) for s in found.steps]
    return models.Action(
        id=found.id,
        site=found.site,
        gateway=found.gateway,
        kind=found.kind,
        state=found.state,
        cause=found.cause,
        expected=found.expected,
        priority=found.priority,
        changes=found.changes,
        steps=steps,
    )


def mesh_up(members: Iterable[models.Gateway]) -> bool | None:
    """Whether any live gateway of a site reaches its mesh; None while none is live. Machines that only run
    tasks have none to reach."""
    told = [gateway.mesh_up for gateway in members if gateway.live and gateway.tier == "gateway"]
    return any(told) if told else None


def samples(subject: Subject, metric: str, found: Samples) -> models.Samples:
    return models.Samples(
        subject=subject.value,
        metric=metric,
        keys={name: column.tolist() for name, column in found.keys.items()},
        value=found.value.tolist(),
        source=found.source.tolist(),
        sources=list(found.sources),
    )


def _share(value: float | None) -> float | None:
    return value if value is not None and 0.0 <= value <= 1.0 else None


def _site(name: str, records: Mapping[str, GatewayRecord], fleet: Fleet) -> str:
    known = fleet.gateways.get(name)
    return known.site if known else records[name].site


def _gateway(name: str, record: GatewayRecord | None, fleet: Fleet, now: float) -> models.Gateway:
    known = fleet.gateways.get(name)
    status = (record.status if record else None) or _SILENT
    seen = record.last_seen if record and record.last_seen else None
    live = seen is not None and status.online and now - seen <= PERIODS * status.period_s
    return models.Gateway(
        gateway=name,
        site=known.site if known else (record.site if record else ""),
        enrolled=known is not None and not known.revoked,
        revoked=known is not None and known.revoked,
        live=live,
        last_seen=seen,
        age_s=None if seen is None else max(0.0, now - seen),
        acting=live and status.acting,
        mesh_up=live and status.mesh_up,
        stream=_stream(record.streams, status.epoch) if record else None,
        rejects={r.reason: r.count for r in record.rejects} if record else {},
        **status.model_dump(include=_PLAIN),
    )


# Stands in for a gateway that never told its status.
_SILENT: Final = Status(site="none", gateway="none", time=0.0, online=False, forecaster="")
_PLAIN: Final = {
    "tier",
    "link",
    "address",
    "version",
    "queued",
    "dropped",
    "nodes_alive",
    "nodes_known",
    "cpu_percent",
    "memory_percent",
    "probe_period_s",
    "forecaster",
}


def _stream(streams: Sequence[StreamRecord], epoch: int) -> models.Stream | None:
    """The stream that the gateway says it writes, or else the one written last."""
    chosen = next((s for s in streams if s.epoch == epoch), streams[0] if streams else None)
    if chosen is None:
        return None
    return models.Stream(
        epoch=f"{chosen.epoch:016x}", sequence=chosen.sequence, holes=list(chosen.holes), lost=chosen.lost
    )


def _site_view(name: str, members: list[models.Gateway], links: int) -> models.Site:
    telling = [g for g in members if g.live] or members
    return models.Site(
        site=name,
        gateways=sum(g.enrolled for g in members),
        gateways_live=sum(g.live for g in members),
        mesh_up=mesh_up(members),
        acting=next((g.gateway for g in members if g.acting), None),
        nodes_known=max(g.nodes_known for g in telling),
        nodes_alive=max(g.nodes_alive for g in telling),
        links=links,
        last_seen=max((g.last_seen for g in members if g.last_seen is not None), default=None),
    )


def _node(node: NodeRecord, homes: Mapping[int, str]) -> models.Node:
    return models.Node(
        address=node.address,
        name=node.name,
        alive=node.alive,
        relay=node.relay,
        default_ttl=node.default_ttl,
        network_transmit=node.network_transmit,
        relay_retransmit=node.relay_retransmit,
        home=homes.get(node.address, node.home),
        hops=node.hops,
    )
