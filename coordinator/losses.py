"""Telling at the start what seems to be lost, where nothing else would: an empty repository beside gateways
that are enrolled, and gateways in the repository beside an empty registry. A new installation says nothing.
"""

from __future__ import annotations

from sqlalchemy import make_url

from common.logs import get_logger
from coordinator.identity.fleet import Fleet
from coordinator.repository.store import Repository

log = get_logger(__name__)


def tell_losses(url: str, repository: Repository, fleet: Fleet, ran_before: bool) -> None:
    """Log `repository-empty` or `fleet-empty`, each with what to do. `ran_before`: a coordinator of this
    folder has served already, so that gateways may have been heard. Raises Unavailable or Corrupt."""
    wrote = sorted(name for name, record in repository.gateways().items() if record.streams)
    if fleet.gateways and not wrote and ran_before:
        log.warning(
            "repository-empty",
            url=make_url(url).render_as_string(hide_password=True),
            enrolled=len(fleet.gateways),
            fix="if gateways have reported before, stop the coordinator and restore a copy; what was "
            "acknowledged is not sent again",
        )
    if wrote and not fleet.gateways:
        log.warning(
            "fleet-empty",
            stored=len(wrote),
            gateways=",".join(wrote[:5]),
            fix="if this is their coordinator, restore fleet.json and pki, or enrol them anew",
        )
