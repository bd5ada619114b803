"""A repository with links as gateways report them."""

from __future__ import annotations

from array import array
from math import nan
from pathlib import Path

import numpy as np
from pydantic import SecretStr

from common.codec import Table
from common.messages import Kind, encode_measurement
from coordinator.repository.batch import Batch, Incoming
from coordinator.repository.store import Repository
from coordinator.training.job import Observed
from coordinator.training.windows import Windows

START = 1_700_000_000.0


def url(folder: Path) -> SecretStr:
    return SecretStr(f"sqlite:///{folder}/repository.db")


def observed(folder: Path, hours: float = 24.0, sites: tuple[str, ...] | None = None) -> Observed:
    return Observed(url(folder), START, START + hours * 3600.0, sites)


def store(
    folder: Path, windows: Windows, site: str = "office", gateway: str = "gw-1", step_s: float = 10.0
) -> None:
    """Write `windows`, whose times are in steps, one message for each step."""
    step = np.round(windows.t).astype(int)
    messages = [
        message(sequence, table(windows, np.flatnonzero(step == at), step_s), site, gateway)
        for sequence, at in enumerate(np.unique(step).tolist(), 1)
    ]
    with Repository(url(folder).get_secret_value()) as repository:
        repository.store(Batch(START, messages))


def message(sequence: int, rows: Table, site: str, gateway: str) -> Incoming:
    body = encode_measurement(Kind.LINKS, rows)
    return Incoming(gateway, 7, sequence, site, Kind.LINKS.value, min(rows["t"]), max(rows["t"]), body)


def table(windows: Windows, at: np.ndarray[tuple[int], np.dtype[np.int64]], step_s: float) -> Table:
    rssi = windows.rssi_dbm[at]
    return {
        "t": array("d", START + step_s * (windows.t[at] + 1.0)),
        "transmitter": array("H", (windows.link[at] + 2).tolist()),
        "receiver": array("H", [1] * len(at)),
        "heard": array("H", windows.heard[at].astype(int).tolist()),
        "expected": array("H", windows.expected[at].astype(int).tolist()),
        "transmissions": array("B", windows.transmissions[at].astype(int).tolist()),
        "rssi_dbm": array("f", np.where(np.isnan(rssi), nan, rssi).tolist()),
    }
