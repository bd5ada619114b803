"""What the agent asks of the processes that fetch and try bundles. No secrets: they read the gateway's key
from its file."""

from __future__ import annotations

from typing import Final

from common.messages import Message, ModelReference

FETCH_PATIENCE_S: Final = 120.0
TRIAL_PATIENCE_S: Final = 60.0
"""What an errand may take as a whole. Each ends by itself after twice that: its agent may be gone."""


class Source(Message):
    """Where the coordinator serves models, and who asks: PEM files, as `common.tls.client_context` wants."""

    host: str
    port: int
    ca: str
    certificate: str
    key: str


class FetchRequest(Message):
    """Fill the file `part` with a bundle."""

    reference: ModelReference
    part: str
    source: Source


class TrialRequest(Message):
    """Try the bundle in the file `path`."""

    reference: ModelReference
    path: str
