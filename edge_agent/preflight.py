"""What can be said of a configuration without running it: every file it names is read as the agent will.

For `edge-agent check-config` alone. The daemon meets the same errors where it uses the files, and does not
carry this in memory.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from common import tls
from common.errors import Misconfigured
from common.logs import get_logger
from common.mesh.cdb import SiteFile
from edge_agent.config import AgentConfig, check_files
from edge_agent.identity.pair import current
from edge_agent.nodes.store import read_site, site_store

# sockaddr_un has 108 bytes, the last of them zero: unix(7).
MAX_SOCKET_PATH: Final = 107


def examine(config: AgentConfig, now: float | None = None) -> list[str]:
    """Read what the configuration names, and return warnings. `now` is Unix time.

    Raises Misconfigured, naming the first thing that would keep the agent from its work.
    """
    warnings = check_files(config)
    site = _check_site_file(config)
    broker = config.broker
    tls.client_context(broker.ca, broker.certificate, broker.key)
    if (identity := current(config)).renewed:
        tls.client_context(identity.ca, identity.certificate, identity.key)
    warnings += [identity.lost] if identity.lost else []
    warnings += _check_certificate(config, time.time() if now is None else now)
    _check_state_dir(config)
    if site is not None and config.mesh.link == "stack":
        _check_own_node(config, site)
    return warnings


def _check_site_file(config: AgentConfig) -> SiteFile | None:
    site = read_site(site_store(config))
    if site is not None and config.mesh.link != "virtual":
        try:
            site.node(config.gateway.address)
        except Misconfigured as error:
            raise Misconfigured(
                f"gateway.address: {error.problem}", "correct gateway.address, or export the site file again"
            ) from error
    return site


def _check_own_node(config: AgentConfig, site: SiteFile) -> None:
    """Whether our own stack may send as this node: with the numbers that it saved, and no others' before."""
    from firmware_bridge.stack_link.state_folder import StateFolder

    gateway = config.gateway
    StateFolder(gateway.state_dir, site, gateway.address).check(get_logger(__name__))


def _check_certificate(config: AgentConfig, now: float) -> list[str]:
    """The broker goes by the certificate's name; under another one nothing would be let through."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    path, own = config.broker.certificate, config.gateway.id
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (ValueError, x509.InvalidVersion) as error:
        # Stricter than OpenSSL, which has just taken it.
        raise Misconfigured(
            f"{path} is no proper certificate: {error}", "enrol this gateway again"
        ) from error
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [own]:
        raise Misconfigured(
            f"broker.certificate: {path} is for {', '.join(names)[:80]!r}, and gateway.id is {own!r}",
            "name this gateway's own certificate and key, or correct gateway.id",
        )
    used = current(config)
    if not used.facts.not_before <= now <= used.facts.not_after:
        return [f"{used.certificate} is not valid at this time: check the clock, or enrol this gateway again"]
    return []


def _check_state_dir(config: AgentConfig) -> None:
    state = config.gateway.state_dir
    present = next((folder for folder in (state, *state.parents) if os.path.lexists(folder)), Path("/"))
    if not present.is_dir():
        raise Misconfigured(
            f"gateway.state_dir: {present} is a file", "name a folder, or one that can be made"
        )
    if not os.access(present, os.W_OK | os.X_OK):
        raise Misconfigured(
            f"gateway.state_dir: {present} cannot be written by this user"
            + (f", for {state}" if present != state else ""),
            "name a folder of yours, or run this as the account that the agent runs as",
        )
    if (length := len(os.fsencode(config.socket))) > MAX_SOCKET_PATH:
        raise Misconfigured(
            f"gateway.state_dir: the socket {config.socket} in it has {length} bytes, "
            f"and a socket's path at most {MAX_SOCKET_PATH}",
            f"shorten gateway.state_dir by {length - MAX_SOCKET_PATH} bytes",
        )
