"""The tables, and the number that says which shape they have.

Epochs are unsigned 64-bit on the wire and signed in a database: `signed` and `unsigned` convert.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

SCHEMA: Final = 1

metadata: Final = MetaData()

version = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

# The durable streams, one row a message. `body` is as it came: for measurements, typed columns.
messages = Table(
    "messages",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("site", String(64), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("t0", Double, nullable=False),
    Column("t1", Double, nullable=False),
    Column("received", Double, nullable=False),
    Column("body", LargeBinary, nullable=False),
    # t0 rides along, so that a row outside the wanted range is passed over without being read.
    Index("messages_by_time", "site", "kind", "t1", "t0"),
)

# The longest time that one message of a site and kind spans: it bounds how far beyond a wanted range the
# index has to be read.
spans = Table(
    "spans",
    metadata,
    Column("site", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("seconds", Double, nullable=False),
)

# One row per step in the life of an action. `at` is the gateway's clock.
actions = Table(
    "actions",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("site", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Column("id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("cause", String(256), nullable=False),
    Column("expected", String(256), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("steps", Text, nullable=False),
    Column("detail", String(512), nullable=False),
    Column("seconds", Double),
    Index("actions_by_time", "site", "at"),
    Index("actions_by_id", "id"),
)

# One row per snapshot that a gateway sent of its site's configuration.
configurations = Table(
    "configurations",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("site", String(64), nullable=False),
    Column("at", Double, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("nodes", Text, nullable=False),
    Index("configurations_by_time", "site", "at"),
)

# How far each stream is stored: everything up to `contiguous`, and the ranges in `ahead` (JSON).
streams = Table(
    "streams",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("contiguous", BigInteger, nullable=False),
    Column("ahead", Text, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("stored_at", Double, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("site", String(64), nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("online", Boolean, nullable=False),
    Column("status", LargeBinary),
)

# Why and how often a gateway's messages were refused.
rejects = Table(
    "rejects",
    metadata,
    Column("gateway", String(64), primary_key=True),
    Column("reason", String(32), primary_key=True),
    Column("times", BigInteger, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("detail", String(256), nullable=False),
)

_SIGN: Final = 1 << 63
_RANGE: Final = 1 << 64


def signed(epoch: int) -> int:
    """An unsigned 64-bit epoch as databases hold it."""
    return epoch - _RANGE if epoch >= _SIGN else epoch


def unsigned(epoch: int) -> int:
    """The inverse of `signed`."""
    return epoch + _RANGE if epoch < 0 else epoch
