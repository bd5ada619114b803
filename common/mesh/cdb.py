"""The site file: Mesh Configuration Database JSON (Mesh CDB Profile 1.0.1), as commissioning apps write it.

Nothing else describes a site's keys, so keys are kept out of `repr` and logs. Fields that are not listed
here are ignored when reading.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any

from common.errors import Misconfigured
from common.mesh.addresses import UNICAST_MAX
from common.mesh.configuration import NodeConfiguration, Transmit
from common.record import BeforeValidator, Field, Record, ValidationError

MAX_SITE_FILE_BYTES = 16 << 20
_FIX = "export the network again as Mesh Configuration Database JSON"


class Secret:
    """Key bytes that show themselves only on request."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The key itself, 16 bytes."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(********)"


def _hex_number(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{1,8}", value):
        return int(value, 16)
    raise ValueError("a hexadecimal number such as 0105")


def _hex_key(value: Any) -> Any:
    # Checked by pattern, as `fromhex` skips white space and would return a shorter key.
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{32}", value):
        return Secret(bytes.fromhex(value))
    # The value is not repeated: it may be nearly a key.
    raise ValueError("a key is 32 hexadecimal digits")


HexNumber = Annotated[int, BeforeValidator(_hex_number)]
Key = Annotated[Secret, BeforeValidator(_hex_key)]


class _Part(Record, extra="ignore"):
    """A map of the file; what else it says is not needed here."""


class NetKey(_Part):
    """A subnet's key. `phase` is the key refresh phase, 0 to 2; while it is not 0, `key` is the new key."""

    index: int = Field(ge=0, le=4095)
    key: Key
    old_key: Key | None = Field(default=None, alias="oldKey")
    phase: int = Field(default=0, ge=0, le=2)
    name: str = ""


class AppKey(_Part):
    """An application key and the subnet it is bound to; `old_key` while that one's keys are refreshed."""

    index: int = Field(ge=0, le=4095)
    key: Key
    old_key: Key | None = Field(default=None, alias="oldKey")
    bound_net_key: int = Field(alias="boundNetKey", ge=0, le=4095)
    name: str = ""


class TransmitState(_Part):
    """Network transmit or relay retransmit: `count` transmissions, `interval` in milliseconds."""

    count: int = Field(ge=1, le=8)
    interval: int = Field(ge=10, le=320)


class Features(_Part):
    """Feature states: 0 off, 1 on, 2 not supported."""

    relay: int | None = Field(default=None, ge=0, le=2)
    proxy: int | None = Field(default=None, ge=0, le=2)
    friend: int | None = Field(default=None, ge=0, le=2)
    low_power: int | None = Field(default=None, ge=0, le=2, alias="lowPower")


class Model(_Part):
    """A model of an element; `model_id` has four hexadecimal digits, or eight for a vendor's."""

    model_id: str = Field(alias="modelId", pattern=r"^([0-9a-fA-F]{4}|[0-9a-fA-F]{8})$")


class Element(_Part):
    """One addressable part of a node."""

    index: int = Field(ge=0, le=255)
    models: tuple[Model, ...] = ()


class Node(_Part):
    """A provisioned node."""

    uuid: str = Field(alias="UUID", max_length=36)
    unicast_address: Annotated[HexNumber, Field(ge=1, le=UNICAST_MAX)] = Field(alias="unicastAddress")
    device_key: Key = Field(alias="deviceKey")
    name: str = Field(default="", max_length=64)
    features: Features = Features()
    elements: tuple[Element, ...] = ()
    default_ttl: int | None = Field(default=None, alias="defaultTTL", ge=0, le=127)
    network_transmit: TransmitState | None = Field(default=None, alias="networkTransmit")
    relay_retransmit: TransmitState | None = Field(default=None, alias="relayRetransmit")
    config_complete: bool = Field(default=True, alias="configComplete")
    excluded: bool = False

    def configuration(self) -> NodeConfiguration:
        """What the file says of this node's configuration; the node itself may know better."""
        return NodeConfiguration(
            address=self.unicast_address,
            relay=None if self.features.relay is None else self.features.relay == 1,
            relay_supported=self.features.relay != 2,
            default_ttl=None if self.default_ttl == 1 else self.default_ttl,
            network_transmit=_transmit(self.network_transmit),
            relay_retransmit=_transmit(self.relay_retransmit),
        )


class SiteFile(_Part):
    """A mesh network: its keys, nodes and name."""

    mesh_uuid: str = Field(alias="meshUUID", max_length=36)
    mesh_name: str = Field(default="", alias="meshName", max_length=256)
    net_keys: tuple[NetKey, ...] = Field(alias="netKeys", min_length=1)
    app_keys: tuple[AppKey, ...] = Field(default=(), alias="appKeys")
    nodes: tuple[Node, ...] = ()

    def live_nodes(self) -> tuple[Node, ...]:
        """The nodes that still belong to the network."""
        return tuple(node for node in self.nodes if not node.excluded)

    def node(self, address: int) -> Node:
        """The node with that unicast address. Raises Misconfigured."""
        for node in self.nodes:
            if node.unicast_address == address:
                return node
        raise Misconfigured(
            f"the site file has no node 0x{address:04x}", "export it again from the commissioning app"
        )


def read(path: Path) -> SiteFile:
    """Read and check a site file.

    Raises Misconfigured; no error repeats a key.
    """
    return parse(read_text(path), str(path))


def read_text(path: Path) -> str:
    """A site file's text. Raises Misconfigured."""
    try:
        if path.stat().st_size > MAX_SITE_FILE_BYTES:
            raise Misconfigured(
                f"{path} is larger than {MAX_SITE_FILE_BYTES >> 20} MiB", "name the right file"
            )
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"site file {path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8 text'}",
            "export it from the commissioning app, and make it readable for the agent alone (0600)",
        ) from error


def parse(text: str, name: str = "site file") -> SiteFile:
    """Like `read`, from the text itself."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Misconfigured(f"{name} is not JSON: {error}", _FIX) from None
    if not isinstance(document, dict):
        raise Misconfigured(f"{name} is not a JSON object", _FIX)
    return validated(document, name)


def validated(document: dict[str, Any], name: str) -> SiteFile:
    """Like `parse`, from the JSON object."""
    try:
        site = SiteFile.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Misconfigured(f"{name}: {key}: {first['msg']}", _FIX) from None
    _check_unique(site, name)
    return site


def permissions_warning(path: Path) -> str | None:
    """Say so when other users of the machine can read the keys."""
    if os.stat(path).st_mode & 0o077:
        return f"{path} holds keys and is readable by others: chmod 600 {path}"
    return None


def _check_unique(site: SiteFile, name: str) -> None:
    seen: set[int] = set()
    for node in site.live_nodes():
        for address in range(node.unicast_address, node.unicast_address + max(1, len(node.elements))):
            if address in seen or address > UNICAST_MAX:
                fault = "belongs to two nodes" if address in seen else "is no element's unicast address"
                raise Misconfigured(
                    f"{name}: address 0x{address:04x} {fault}", "remove the node in the app, and add it again"
                )
            seen.add(address)


def _transmit(state: TransmitState | None) -> Transmit | None:
    return None if state is None else Transmit(state.count, max(10, state.interval // 10 * 10))
