"""The scenario file: a site in numbers, for the twin and for virtual sites. `.json` or `.json.gz`.

The list of keys is closed, and every error names the key and its limit. Nothing is simulated here.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from common.errors import Misconfigured
from common.mesh.addresses import GROUP_MIN, UNICAST_MAX, is_group
from common.mesh.configuration import Transmit

MAX_SCENARIO_BYTES: Final = 256 << 20
MAX_NODES: Final = 8_192
"""All of them as relays take a gigabyte to simulate, 5,000 a half: the powers of all pairs, several times."""
MAX_LINKS: Final = 2_000_000
MAX_FLOWS: Final = 100_000
MAX_FAILURES: Final = 100_000
MAX_DURATION_S: Final = 366 * 86_400.0

FLOW_CLASSES: Final = ("lighting", "sensing", "monitoring", "configuration", "other")
NO_SIGNAL_DB: Final = 300.0
"""Attenuations are at most this: nothing comes through."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def _steps_of_ten(value: int) -> int:
    if value % 10:
        raise ValueError("use a multiple of 10")
    return value


def _group(value: Any) -> Any:
    address = _number(value)
    if not isinstance(address, int) or not is_group(address):
        raise ValueError(f"use a group address, 0x{GROUP_MIN:04X} to 0xFFFF, such as 0xC000")
    return address


def _groups(value: Any) -> Any:
    """`0xC000` and `49152` are one group: said here, because a dictionary would keep the later silently."""
    if isinstance(value, dict):
        seen = Counter(found for address in value if (found := _number(address)) is not None)
        if twice := [address for address, times in seen.items() if times > 1]:
            raise ValueError(f"group 0x{min(twice):04X} is given twice")
    return value


def _number(value: Any) -> Any:
    try:
        return int(value, 0) if isinstance(value, str) else value
    except ValueError:
        return None


Address = Annotated[int, Field(ge=1, le=UNICAST_MAX)]
GroupAddress = Annotated[int, BeforeValidator(_group)]
Destination = Annotated[int, Field(ge=1, le=0xFFFF)]
Metres = Annotated[float, Field(ge=-1e6, le=1e6)]
Attenuation = Annotated[float, Field(ge=0, le=NO_SIGNAL_DB)]
Milliseconds = Annotated[int, Field(ge=10, le=320), AfterValidator(_steps_of_ten)]


class Node(_Part):
    """A node at `x`, `y` (metres)."""

    address: Address
    x: Metres = 0.0
    y: Metres = 0.0
    relay: bool = False
    tx_power_dbm: float = Field(default=0.0, ge=-40, le=20)


class Radio(_Part):
    """How signals fade with distance, where neither `attenuation_db` nor `links` says it."""

    path_loss_exponent: float = Field(default=3.5, ge=1, le=8)
    path_loss_1m_db: float = Field(default=40.0, ge=0, le=120)
    shadowing_db: float = Field(default=0.0, ge=0, le=20)
    shadowing_seed: int = Field(default=1, ge=0, le=2**63 - 1)
    noise_figure_db: float = Field(default=6.0, ge=0, le=40)


class TransmitTimes(_Part):
    """`count` transmissions (1 to 8), `interval_ms` apart (10 to 320 in steps of 10)."""

    count: int = Field(default=2, ge=1, le=8)
    interval_ms: Milliseconds = 20

    def transmit(self) -> Transmit:
        """The same as a node's state."""
        return Transmit(self.count, self.interval_ms)


class NetworkConfiguration(_Part):
    """What every node starts with. `relay_sets` are advertising sets for relayed messages."""

    ttl: int = Field(default=7, ge=2, le=127)
    network_transmit: TransmitTimes = TransmitTimes()
    relay_retransmit: TransmitTimes = TransmitTimes()
    relay_sets: int = Field(default=1, ge=1, le=8)
    scan_window_ms: float = Field(default=30.0, gt=0, le=10_240)
    scan_interval_ms: float = Field(default=30.0, gt=0, le=10_240)
    message_cache: int = Field(default=32, ge=1, le=65_536)

    @model_validator(mode="after")
    def _window_fits(self) -> NetworkConfiguration:
        if self.scan_window_ms > self.scan_interval_ms:
            raise ValueError("scan_window_ms is at most scan_interval_ms")
        return self


class Flow(_Part):
    """A message from `source` every `period_s` (jittered ± 5 %). `payload_bytes` is the access PDU."""

    source: Address
    destination: Destination
    period_s: float = Field(gt=0, le=86_400)
    offset_s: float | None = Field(default=None, ge=0, le=86_400)
    payload_bytes: int = Field(default=8, ge=1, le=380)
    acknowledged: bool = False
    response_bytes: int = Field(default=3, ge=1, le=380)
    response_delay_ms: float = Field(default=0.0, ge=0, le=60_000)
    flow_class: Literal["lighting", "sensing", "monitoring", "configuration", "other"] = Field(
        default="sensing", alias="class"
    )


Link = tuple[Address, Address, Attenuation]
Failure = tuple[Annotated[float, Field(ge=0, le=MAX_DURATION_S)], Address, Literal["down", "up"]]
Groups = Annotated[dict[GroupAddress, list[Address]], BeforeValidator(_groups)]


class Scenario(_Part):
    """A site, its traffic and its failures. Times in seconds from the start."""

    nodes: list[Node] = Field(min_length=1, max_length=MAX_NODES)
    attenuation_db: list[list[Attenuation]] | None = Field(default=None, max_length=MAX_NODES)
    links: list[Link] | None = Field(default=None, max_length=MAX_LINKS)
    radio: Radio = Radio()
    configuration: NetworkConfiguration = NetworkConfiguration()
    flows: list[Flow] = Field(default=[], max_length=MAX_FLOWS)
    groups: Groups = Field(default={}, max_length=16_384)
    failures: list[Failure] = Field(default=[], max_length=MAX_FAILURES)
    duration_s: float = Field(default=60.0, gt=0, le=MAX_DURATION_S)
    seed: int = Field(default=1, ge=0, le=2**63 - 1)

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        addresses = {node.address for node in self.nodes}
        if len(addresses) != len(self.nodes):
            raise ValueError("nodes: two nodes have one address")
        if self.attenuation_db is not None and self.links is not None:
            raise ValueError("attenuation_db and links: give one of them")
        _check_matrix(self.attenuation_db, len(self.nodes))
        for key, named in _named_addresses(self).items():
            if unknown := named - addresses:
                raise ValueError(f"{key}: no node has address {min(unknown)}")
        for flow in self.flows:
            if not 1 <= flow.destination <= UNICAST_MAX and flow.destination not in self.groups:
                raise ValueError(f"flows: 0x{flow.destination:04X} is neither a node nor one of groups")
        return self


def read(path: Path) -> Scenario:
    """The scenario in a `.json` or `.json.gz` file. Raises Misconfigured."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            data = file.read(MAX_SCENARIO_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Misconfigured(
            f"scenario {path} cannot be read: {error}", "name a .json or .json.gz file"
        ) from error
    if len(data) > MAX_SCENARIO_BYTES:
        raise Misconfigured(
            f"scenario {path} is larger than {MAX_SCENARIO_BYTES >> 20} MiB", "use fewer links"
        )
    return parse(data, str(path))


def parse(data: bytes | str, name: str = "scenario") -> Scenario:
    """Like `read`, from the JSON itself. Raises Misconfigured."""
    try:
        json.loads(data, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{name} is not JSON of ours: {error}", "mend the place that is named") from error
    try:
        # Strict: "5" is no number, and "yes" no flag.
        found = Scenario.model_validate_json(data, strict=True)
        _check_twice(found)
        _check_ends(found)
        return found
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)[:5]
        problems = "; ".join(_describe(detail["loc"], detail["type"], detail["msg"]) for detail in details)
        raise Misconfigured(f"{name}: {problems}", f"edit {name}") from error
    except ValueError as error:
        raise Misconfigured(f"{name}: {error}", f"edit {name}") from error


def _describe(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        return f"unknown key {key!r}"
    message = message.removeprefix("Value error, ")
    return f"{key}: {message[:1].lower()}{message[1:]}" if key else message


def _check_matrix(matrix: list[list[float]] | None, size: int) -> None:
    if matrix is not None and {len(matrix), *map(len, matrix)} != {size}:
        raise ValueError(f"attenuation_db: {size} nodes need {size} rows of {size} values")


def _check_twice(scenario: Scenario) -> None:
    """What is said twice may contradict itself, and the later would count silently."""
    links: set[tuple[int, int]] = set()
    for one, other, _ in scenario.links or []:
        if (one, other) in links:
            raise ValueError(f"links: {one} to {other} is given twice")
        links.add((one, other))
    turns: set[tuple[float, int]] = set()
    for when, address, _ in scenario.failures:
        if (when, address) in turns:
            raise ValueError(f"failures: node {address} is given twice at {when:g} s")
        turns.add((when, address))
    for group, members in scenario.groups.items():
        if len(set(members)) != len(members):
            raise ValueError(f"groups: 0x{group:04X} has a node twice")


def _check_ends(scenario: Scenario) -> None:
    """What nobody means to write. Made by a program, of a site that lost nodes, it may be as it is."""
    for one, other, _ in scenario.links or []:
        if one == other:
            raise ValueError(f"links: {one} to itself")
    for number, flow in enumerate(scenario.flows):
        if flow.source == flow.destination:
            raise ValueError(f"flows: number {number} is from {flow.source} to itself")
    for group, members in scenario.groups.items():
        if not members:
            raise ValueError(f"groups: 0x{group:04X} has no nodes")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key that is in it twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {key[:40]!r} is given twice")
    return found


def _named_addresses(scenario: Scenario) -> dict[str, set[int]]:
    """The unicast addresses that each key refers to."""
    unicast = {flow.destination for flow in scenario.flows if flow.destination <= UNICAST_MAX}
    return {
        "links": {address for link in scenario.links or [] for address in link[:2]},
        "flows": {flow.source for flow in scenario.flows} | unicast,
        "groups": {address for members in scenario.groups.values() for address in members},
        "failures": {failure[1] for failure in scenario.failures},
    }
