"""The links' windows that gateways measured, from the repository.

Newest first and in pieces, until there are enough: a year of a large site does not fit in memory and would
teach no more than its last days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from common.logs import get_logger
from coordinator.repository.samples import Samples, Subject
from coordinator.repository.store import Repository
from coordinator.training.job import Observed
from coordinator.training.windows import Array, Floats, Windows, arrange

MOST: Final = 400_000
"""Windows read for all sites together, about; 70 MB of training rows."""

FIRST_S: Final = 3600.0
"""The first piece; each further one is twice as long."""

METRICS: Final = ("heard", "expected", "transmissions", "rssi_dbm")

log = get_logger(__name__)


def load(observed: Observed) -> dict[str, Windows]:
    """Windows by site; sites without any are left out. Raises Unavailable, Corrupt, Misconfigured."""
    if observed.repository is None:
        return {}
    sites: dict[str, list[Table]] = {}
    with Repository(observed.repository.get_secret_value()) as repository:
        for table in _newest(repository, observed):
            for site in set(table.sites):
                sites.setdefault(site, []).append(table.of(site))
    windows = {site: _windows(tables) for site, tables in sorted(sites.items())}
    log.info("observations-loaded", windows={site: len(found) for site, found in windows.items()})
    return {site: found for site, found in windows.items() if len(found)}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that gateways reported: by whom (an index of `sites`, the gateways' sites), on which link as that
    gateway saw it, when, and the metrics, [rows, METRICS], NaN where absent."""

    sites: tuple[str, ...]
    source: Array
    link: Array
    t: Floats
    metrics: Floats

    def of(self, site: str) -> Table:
        """The rows of one site."""
        chosen = np.isin(self.source, [at for at, name in enumerate(self.sites) if name == site])
        return Table(self.sites, self.source[chosen], self.link[chosen], self.t[chosen], self.metrics[chosen])


def _newest(repository: Repository, observed: Observed) -> list[Table]:
    """Pieces of the time asked for, from its end, until there are `MOST` windows."""
    tables: list[Table] = []
    sources: dict[tuple[str, str], int] = {}
    end, length, found = observed.t1, FIRST_S, 0
    while end > observed.t0 and found < MOST:
        begin = max(observed.t0, end - length)
        for site in observed.sites or (None,):
            samples = [repository.samples(Subject.LINK, name, begin, end, site) for name in METRICS]
            tables.append(_joined(samples, sources))
            found += len(tables[-1].t)
        end, length = begin, 2 * length
    return tables


def _joined(samples: list[Samples], sources: dict[tuple[str, str], int]) -> Table:
    """Samples of every metric as rows: those of one link, seen by one gateway, at one time belong together.

    `sources` numbers the gateways and grows.
    """
    link = np.concatenate([_links(each, sources) for each in samples])
    t = np.concatenate([each.keys["t"] for each in samples]).astype(np.float64)
    metric = np.repeat(np.arange(len(samples)), [len(each) for each in samples])
    order = np.lexsort((t, link))
    first = np.ones(len(order), bool)
    first[1:] = (np.diff(t[order]) != 0) | (np.diff(link[order]) != 0)
    metrics = np.full((int(first.sum()), len(samples)), np.nan)
    values = np.concatenate([each.value for each in samples])
    metrics[np.cumsum(first) - 1, metric[order]] = values[order]
    sites = tuple(site for site, _ in sources)
    return Table(sites, link[order][first] >> 32, link[order][first], t[order][first], metrics)


def _links(samples: Samples, sources: dict[tuple[str, str], int]) -> Array:
    """Gateway, transmitter and receiver of each sample in one number."""
    numbers = [sources.setdefault(pair, len(sources)) for pair in samples.sources]
    source = np.array(numbers or [0], np.int64)[samples.source]
    ends = samples.keys["transmitter"].astype(np.int64) << 16 | samples.keys["receiver"].astype(np.int64)
    links: Array = source << 32 | ends
    return links


def _windows(tables: list[Table]) -> Windows:
    heard, expected, transmissions, rssi = np.concatenate([table.metrics for table in tables]).T
    link, t = (np.concatenate([getattr(table, name) for table in tables]) for name in ("link", "t"))
    return arrange(link, t, heard, expected, transmissions, rssi)
