"""What the API answers. Times are Unix seconds; addresses are numbers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Health(BaseModel):
    version: str
    name: str
    pid: int
    uptime_s: float
    broker_connected: bool
    queued: int
    dropped: int
    stored: int
    duplicates: int
    refused: int
    batches: int
    store_failures: int
    gateway_connections: int
    """Open on the HTTPS port, those in their handshake included."""
    gateway_connections_refused: int
    """Since the start: too many in all, or from one address."""


class Stream(BaseModel):
    """`epoch` in hexadecimal, since JSON readers lose digits of 64-bit numbers."""

    epoch: str
    sequence: int
    holes: list[tuple[int, int]]
    lost: int


class Gateway(BaseModel):
    """`live`: said so itself within three of its status periods. `queued` is the depth of its outbox."""

    gateway: str
    site: str
    enrolled: bool
    revoked: bool
    live: bool
    last_seen: float | None
    age_s: float | None
    acting: bool
    mesh_up: bool
    tier: str
    link: str
    address: int | None
    version: str
    queued: int
    dropped: int
    nodes_alive: int
    nodes_known: int
    cpu_percent: float | None
    memory_percent: float | None
    probe_period_s: float | None
    forecaster: str
    stream: Stream | None
    rejects: dict[str, int]


class Site(BaseModel):
    """`mesh_up`: whether a live gateway reaches the mesh; None while none is live."""

    site: str
    gateways: int
    gateways_live: int
    mesh_up: bool | None
    acting: str | None
    nodes_known: int
    nodes_alive: int
    links: int
    last_seen: float | None


class Node(BaseModel):
    address: int
    name: str
    alive: bool | None
    relay: bool | None
    default_ttl: int | None
    network_transmit: list[int] | None
    relay_retransmit: list[int] | None
    home: str
    hops: int | None


class Link(BaseModel):
    """A directed link with its newest values; `pdr` is the chance that one transmission is received."""

    site: str
    gateway: str
    transmitter: int
    receiver: int
    t: float
    age_s: float
    pdr: float | None
    values: dict[str, float]


class Topology(BaseModel):
    """`configured_at` is when the snapshot behind the nodes was taken; None where none was ever sent."""

    site: str
    t: float
    configured_at: float | None
    version: int | None
    nodes: list[Node]
    links: list[Link]


class ActionStep(BaseModel):
    t: float
    state: str
    detail: str
    seconds: float | None


class Action(BaseModel):
    id: str
    site: str
    gateway: str
    kind: str
    state: str
    cause: str
    expected: str
    priority: int
    changes: list[dict[str, int | None]]
    steps: list[ActionStep]


class Event(BaseModel):
    site: str
    gateway: str
    t: float
    name: str
    fields: dict[str, Any]


class Samples(BaseModel):
    """Columns of equal length in order of time; `source` indexes `sources` (site, gateway)."""

    subject: str
    metric: str
    keys: dict[str, list[float] | list[int]]
    value: list[float]
    source: list[int]
    sources: list[tuple[str, str]]


class Problem(BaseModel):
    """`error` is the class of the error tree, `detail` says what to do about it."""

    error: str
    detail: str
