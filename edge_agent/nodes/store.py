"""Where an agent's site file is: the plain one that the configuration names, or the sealed one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from common.mesh.cdb import SiteFile
from common.mesh.cdb_document import SiteDocument
from edge_agent.config import AgentConfig
from edge_agent.nodes.vault import Vault


class SiteStore(Protocol):
    """A site file that is read and replaced as a whole."""

    @property
    def path(self) -> Path:
        """The file that changes whenever the site does."""

    def read(self) -> SiteDocument:
        """Raises Misconfigured."""

    def write(self, document: SiteDocument) -> None:
        """Replace it; a crash leaves the old or the new one. Raises Misconfigured."""


class PlainSite:
    """A site file in the clear, as a commissioning app wrote it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> SiteDocument:
        return SiteDocument.read(self.path)

    def write(self, document: SiteDocument) -> None:
        document.write(self.path)


class SealedSite:
    """A site file encrypted under the machine's key."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    @property
    def path(self) -> Path:
        return self._vault.path

    def read(self) -> SiteDocument:
        return SiteDocument.parse(self._vault.text(), str(self.path))

    def write(self, document: SiteDocument) -> None:
        self._vault.seal(document.text())


def site_store(config: AgentConfig) -> SiteStore | None:
    """The configured agent's; None for a virtual site that has none, and without a mesh."""
    if config.mesh.site_file is not None:
        return PlainSite(config.mesh.site_file)
    return None if config.mesh.link in ("virtual", "none") else SealedSite(Vault(config.gateway.state_dir))


def read_site(store: SiteStore | None) -> SiteFile | None:
    """What the site file says, where there is one. Raises Misconfigured."""
    return None if store is None else store.read().site
