"""The measured chain of ten nodes as a scenario: attenuations from its file, configuration as it is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from common.errors import Misconfigured
from common.scenario import Scenario
from coordinator.training.traces import VARIABLE, data_folder

ASKER: Final = 10
NODES: Final = 10
THREE_TIMES: Final = {"count": 3, "interval_ms": 20}
UNHEARD_DB: Final = 150.0


def data(name: str) -> Path:
    """A folder of the data that figures are measured on. Raises Misconfigured if MESHTWIN_DATA names none."""
    folder = data_folder(os.environ)
    if folder is None or not (folder / name).is_dir():
        raise Misconfigured(f"there is no folder {name} of data", f"set {VARIABLE}, or name the input files")
    return folder / name


def chain_files() -> tuple[Path, Path]:
    """Attenuations and round trips. Raises Misconfigured without data."""
    folder = data("mesh")
    return folder / "chain10_attenuation.coeff", folder / "chain10_round_trip_ms.csv"


def chain_scenario(attenuation: Path) -> Scenario:
    """Every node a relay; node 10 asks each other one. Lines of the file: `0 1: 79.03 # remark`."""
    return Scenario.model_validate(
        {
            "nodes": [{"address": address, "relay": True} for address in range(1, NODES + 1)],
            "links": _links(attenuation),
            "configuration": {
                "ttl": 9,
                "network_transmit": THREE_TIMES,
                "relay_retransmit": THREE_TIMES,
                "relay_sets": 2,
                "message_cache": 32,
            },
            "flows": [_question(address) for address in range(1, NODES + 1) if address != ASKER],
        }
    )


def _links(attenuation: Path) -> list[tuple[int, int, float]]:
    links = []
    try:
        for line in attenuation.read_text().splitlines():
            pair, decibels = line.split("#")[0].split(":")
            transmitter, receiver = (int(number) + 1 for number in pair.split())
            if float(decibels) < UNHEARD_DB:
                links.append((transmitter, receiver, float(decibels)))
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"{attenuation} is no list of attenuations: {error}", "see data/README"
        ) from error
    return links


def _question(address: int) -> dict[str, Any]:
    """Health Attention Get and Status, 1.2 s apart."""
    return {
        "source": ASKER,
        "destination": address,
        "period_s": 1.2,
        "payload_bytes": 2,
        "acknowledged": True,
        "response_bytes": 3,
    }
