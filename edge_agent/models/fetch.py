"""The errand that brings a bundle from the coordinator: a hanging server costs no more than this process.

Loads no runtime; whether the bundle is any good is `edge_agent.models.trial`'s to find out.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from common import tls
from common.errors import Rejected, Unavailable
from common.messages import ModelReference, validate
from common.models.container import check_content
from edge_agent import errand
from edge_agent.models.download import download
from edge_agent.models.request import FETCH_PATIENCE_S, FetchRequest, Source
from edge_agent.models.store import read_bundle


def fetch(document: dict[str, Any]) -> dict[str, Any]:
    """Fill the part up and check its content; what has come stays for the next attempt.

    Raises as `download`, `check_content` and `read_bundle` do, and Misconfigured for a wrong identity.
    """
    request = validate(FetchRequest, document)
    part = Path(request.part)
    resumed = _download(request.source, request.reference, part)
    try:
        check_content(read_bundle(part), request.reference)
    except Rejected as error:
        part.unlink(missing_ok=True)
        if resumed:
            # The part that was there before may be what is wrong.
            raise Unavailable(f"{error}; begun anew") from error
        raise
    return {"resumed": resumed}


def _download(source: Source, reference: ModelReference, part: Path) -> bool:
    context = tls.client_context(Path(source.ca), Path(source.certificate), Path(source.key))
    try:
        return download(source.host, source.port, context, reference, part)
    except Rejected:
        part.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    # It ends also when the agent that would have ended it is gone.
    signal.alarm(int(2 * FETCH_PATIENCE_S))
    sys.exit(errand.serve(fetch))
