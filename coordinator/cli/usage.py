"""Ends a command that asks as wrong usage where its question was refused: exit code 2, and how to ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import Misconfigured, Rejected


@contextmanager
def asked_rightly(fix: str) -> Iterator[None]:
    """Put around a command as a decorator, or around a question. `fix` says where the right words are found.
    Raises Misconfigured for Rejected."""
    try:
        yield
    except Rejected as error:
        raise Misconfigured(error.detail, fix) from error
