"""Actions, configurations and events as they happened, so that any past state can be told again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, Row, Select, func, select

from common.commands import CommandResult
from common.errors import Corrupt, Rejected
from common.messages import Event, Kind, NodeRecord, decode
from coordinator.repository import schema
from coordinator.repository.database import translated


@dataclass(frozen=True, slots=True)
class Step:
    """One state an action took, at `t` of its gateway's clock (Unix seconds)."""

    t: float
    state: str
    detail: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Action:
    """An action with everything that happened to it, oldest step first."""

    id: str
    site: str
    gateway: str
    kind: str
    cause: str
    expected: str
    priority: int
    changes: list[dict[str, int | None]]
    steps: tuple[Step, ...]

    @property
    def state(self) -> str:
        """The latest state."""
        return self.steps[-1].state


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A site's configuration as `gateway` knew it at `t`."""

    site: str
    gateway: str
    t: float
    version: int
    nodes: tuple[NodeRecord, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Told:
    """How a command ended, as `gateway` told it; `received` is the coordinator's time."""

    site: str
    gateway: str
    received: float
    result: CommandResult


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a gateway."""

    site: str
    gateway: str
    t: float
    name: str
    fields: dict[str, Any]


def actions(engine: Engine, site: str | None, t0: float, t1: float, limit: int) -> list[Action]:
    """The `limit` newest actions with a step in t0 <= t < t1, newest first, each with its steps before t1."""
    table = schema.actions.c
    newest = func.max(table.at)
    ids = select(table.id).where(table.at >= t0, table.at < t1).group_by(table.id)
    if site is not None:
        ids = ids.where(table.site == site)
    chosen = ids.order_by(newest.desc()).limit(limit).subquery()
    statement = (
        select(schema.actions)
        .where(table.id.in_(select(chosen.c.id)), table.at < t1)
        .order_by(table.at, table.sequence)
    )
    with translated(engine), engine.connect() as connection:
        rows = connection.execute(statement).all()
    grouped: dict[str, list[Row[Any]]] = {}
    for row in rows:
        grouped.setdefault(row.id, []).append(row)
    return sorted((_action(r) for r in grouped.values()), key=lambda a: a.steps[-1].t, reverse=True)


def configuration_as_of(engine: Engine, site: str, t: float, gateway: str | None) -> Snapshot | None:
    """The latest snapshot of a site at or before `t`; None before the first."""
    table = schema.configurations.c
    statement = select(schema.configurations).where(table.site == site, table.at <= t)
    if gateway is not None:
        statement = statement.where(table.gateway == gateway)
    newest = statement.order_by(table.at.desc(), table.version.desc(), table.sequence.desc()).limit(1)
    with translated(engine), engine.connect() as connection:
        row = connection.execute(newest).one_or_none()
    if row is None:
        return None
    nodes = tuple(NodeRecord.model_validate(node) for node in json.loads(row.nodes))
    return Snapshot(row.site, row.gateway, row.at, row.version, nodes)


def events(engine: Engine, site: str | None, t0: float, t1: float, limit: int) -> list[Happening]:
    """The `limit` newest events with t0 <= t < t1, newest first."""
    table = schema.messages.c
    statement = select(table.site, table.gateway, table.t0, table.body).where(
        table.kind == Kind.EVENT.value, table.t1 >= t0, table.t1 < t1
    )
    if site is not None:
        statement = statement.where(table.site == site)
    with translated(engine), engine.connect() as connection:
        rows = connection.execute(_newest(statement).limit(limit)).all()
    return [_happening(row) for row in rows]


def results(engine: Engine, site: str, received: float) -> list[Told]:
    """The results of commands that a site's gateways told and that came in since `received` (Unix time of
    the coordinator), oldest first: gateways' clocks do not matter."""
    table = schema.messages.c
    statement = (
        select(table.site, table.gateway, table.received, table.body)
        .where(table.site == site, table.kind == Kind.RESULT.value, table.received >= received)
        .order_by(table.received, table.gateway, table.sequence)
    )
    with translated(engine), engine.connect() as connection:
        rows = connection.execute(statement).all()
    found = []
    for row in rows:
        try:
            found.append(Told(row.site, row.gateway, row.received, decode(CommandResult, row.body)))
        except Rejected as error:
            raise Corrupt(f"a stored result of {row.gateway} is unreadable: {error}") from error
    return found


def _newest(statement: Select[Any]) -> Select[Any]:
    table = schema.messages.c
    return statement.order_by(table.t1.desc(), table.received.desc(), table.sequence.desc())


def _action(rows: Sequence[Row[Any]]) -> Action:
    last = rows[-1]
    # Only the first steps of an action carry what it changes; a later one may leave it out.
    changes = next((row.steps for row in reversed(rows) if row.steps != "[]"), "[]")
    return Action(
        id=last.id,
        site=last.site,
        gateway=last.gateway,
        kind=last.kind,
        cause=last.cause,
        expected=last.expected,
        priority=last.priority,
        changes=json.loads(changes),
        steps=tuple(Step(row.at, row.state, row.detail, row.seconds) for row in rows),
    )


def _happening(row: Row[Any]) -> Happening:
    try:
        event = decode(Event, row.body)
    except Rejected as error:
        raise Corrupt(f"a stored event of {row.gateway} is unreadable: {error}") from error
    return Happening(row.site, row.gateway, row.t0, event.name, event.fields)
