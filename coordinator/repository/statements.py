"""The statements that store a batch, built once: building them anew costs more than running them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, Table, case, func
from sqlalchemy.dialects import postgresql, sqlite

from coordinator.repository import schema


class Statements:
    """Idempotent inserts for SQLite or PostgreSQL.

    `message` is text for the driver, with the columns of `messages` in their order: what SQLAlchemy does
    for each row would cost a third of the whole insert. The others take rows as maps.
    """

    def __init__(self, engine: Engine) -> None:
        name = engine.dialect.name
        # Both dialects have ON CONFLICT, with one interface but no common type.
        insert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[name]
        dialect: Any = type(engine.dialect)
        style = "qmark" if name == "sqlite" else "format"
        message = insert(schema.messages).on_conflict_do_nothing()
        self.message = str(message.compile(dialect=dialect(paramstyle=style)))
        self.action = insert(schema.actions).on_conflict_do_nothing()
        self.configuration = insert(schema.configurations).on_conflict_do_nothing()
        self.span = _replacing(insert, schema.spans)
        self.stream = _replacing(insert, schema.streams)
        self.gateway = _gateway(insert)
        self.reject = _reject(insert)


def _replacing(insert: Any, table: Table) -> Any:
    """Insert, or overwrite the row with the same key."""
    statement = insert(table)
    values = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=values)


def _gateway(insert: Any) -> Any:
    """`last_seen` only grows; a row without a status leaves the known one and whether it is online."""
    table, statement = schema.gateways.c, insert(schema.gateways)
    new = statement.excluded
    values = {
        "site": new.site,
        "last_seen": case((new.last_seen > table.last_seen, new.last_seen), else_=table.last_seen),
        "online": case((new.status.is_(None), table.online), else_=new.online),
        "status": func.coalesce(new.status, table.status),
    }
    return statement.on_conflict_do_update(index_elements=[table.gateway], set_=values)


def _reject(insert: Any) -> Any:
    """Add to the count."""
    table, statement = schema.rejects.c, insert(schema.rejects)
    new = statement.excluded
    values = {"times": table.times + new.times, "last_seen": new.last_seen, "detail": new.detail}
    return statement.on_conflict_do_update(index_elements=[table.gateway, table.reason], set_=values)
