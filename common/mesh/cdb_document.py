"""A site file that is changed: everything it says is kept, in its order, understood here or not.

What `cdb` reads of it is checked after every change; what a commissioning app alone understands goes through
untouched. A document is never changed in place: a change makes a new one. Keys stay out of `repr`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isinf
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from common.errors import Misconfigured
from common.files import write_file
from common.mesh import cdb
from common.mesh.addresses import check_unicast, show
from common.mesh.cdb import SiteFile
from common.mesh.cdb_addresses import Allocation, free_address, node_addresses, still_excluded
from common.record import ValidationError

_FIX: Final = "export the network again as Mesh Configuration Database JSON"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewNode:
    """A node that has just been provisioned. `elements` counts them; what they hold comes with the node's
    composition. `secure` says that it was authenticated out of band."""

    uuid: bytes
    address: int
    device_key: bytes = field(repr=False)
    elements: int
    key_index: int
    secure: bool
    name: str = ""


class SiteDocument:
    """A whole site file. `site` is what this project understands of it."""

    def __init__(self, document: Json, name: str = "site file", indent: str | None = None) -> None:
        """Raises Misconfigured for what is no site file; no error repeats a key."""
        self._document = document
        self._name = name
        self._indent = indent
        self.site: SiteFile = cdb.validated(document, name)
        self.allocation = _allocation(document, name)

    def __repr__(self) -> str:
        return f"SiteDocument({self.site.mesh_name!r}, {len(self.site.nodes)} nodes)"

    @classmethod
    def parse(cls, text: str, name: str = "site file") -> SiteDocument:
        """From JSON. Refuses what could not be written back as it was: a key twice in one object, and
        numbers without end. Raises Misconfigured."""
        try:
            document = json.loads(
                text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
            )
        except (ValueError, RecursionError) as error:
            raise Misconfigured(f"{name} is not JSON: {error}", _FIX) from None
        if not isinstance(document, dict):
            raise Misconfigured(f"{name} is not a JSON object", _FIX)
        found = re.match(r"\s*\{\r?\n([ \t]{1,8})\"", text)
        return cls(document, name, found[1] if found else None)

    @classmethod
    def read(cls, path: Path) -> SiteDocument:
        """From a file. Raises Misconfigured."""
        return cls.parse(cdb.read_text(path), str(path))

    def text(self) -> str:
        """The file's JSON, laid out as it was."""
        text = json.dumps(self._document, ensure_ascii=False, indent=self._indent)
        try:
            text.encode()
        except UnicodeEncodeError:
            # Half a surrogate pair: JSON can escape it, UTF-8 has no bytes for it.
            text = json.dumps(self._document, indent=self._indent)
        return text + "\n" if self._indent else text

    def write(self, path: Path) -> None:
        """Replace a file, whole or not at all, readable by its owner only. Raises Misconfigured."""
        write_file(path, self.text())

    def free_address(self, elements: int, iv_index: int, provisioner: str = "") -> int:
        """See `cdb_addresses.free_address`."""
        return free_address(self.site, self.allocation, elements, iv_index, provisioner)

    def with_node(self, node: NewNode, wall: float) -> SiteDocument:
        """The same with one more node, not configured yet. Raises Misconfigured when its address is taken."""
        check_unicast(node.address)
        document = {**self._document, "nodes": [*self._document.get("nodes", ()), _entry(node)]}
        if not node.secure:
            document["netKeys"] = [_insecure(key, node.key_index) for key in self._document["netKeys"]]
        return self._changed(document, wall)

    def with_node_fields(self, address: int, fields: Mapping[str, Any], wall: float) -> SiteDocument:
        """The same with some fields of a node replaced, by their names in the file."""
        return self._with_entry(address, lambda entry: {**entry, **fields}, wall)

    def without_newcomer(self, address: int, wall: float) -> SiteDocument:
        """The same without a node that never was one, so that nobody remembers its address."""
        nodes = [entry for entry in self._document["nodes"] if int(entry["unicastAddress"], 16) != address]
        return self._changed({**self._document, "nodes": nodes}, wall)

    def without_node(self, address: int, iv_index: int, wall: float) -> SiteDocument:
        """The same without a node that left. Its addresses are excluded from now, at `iv_index`, until the
        network has forgotten them. Raises Misconfigured for an address that no node has."""
        gone = [f"{a:04X}" for a in node_addresses(self.site, address)]
        kept = [
            entry
            for entry, said in zip(
                self._document.get("networkExclusions", ()), self.allocation.exclusions, strict=True
            )
            if still_excluded(said, iv_index)
        ]
        exclusions = _joined(kept, iv_index, gone)
        remaining = self.without_newcomer(address, wall)
        return self._changed({**remaining._document, "networkExclusions": exclusions}, wall)

    def with_node_excluded(self, address: int, wall: float) -> SiteDocument:
        """The same with a node marked as to be shut out: it did not answer, and still has the keys. It is
        gone for good only after a key refresh. Its addresses stay taken."""
        return self._with_entry(address, lambda entry: {**entry, "excluded": True}, wall)

    def _with_entry(self, address: int, change: Callable[[Json], Json], wall: float) -> SiteDocument:
        self.site.node(address)
        nodes = [
            change(entry) if int(entry["unicastAddress"], 16) == address and not _excluded(entry) else entry
            for entry in self._document["nodes"]
        ]
        return self._changed({**self._document, "nodes": nodes}, wall)

    def _changed(self, document: Json, wall: float) -> SiteDocument:
        return SiteDocument({**document, "timestamp": timestamp(wall)}, self._name, self._indent)


def timestamp(wall: float) -> str:
    """Unix time as the file has it."""
    return datetime.fromtimestamp(int(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _allocation(document: Json, name: str) -> Allocation:
    try:
        return Allocation.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise Misconfigured(f"{name}: {key}: {first['msg']}", _FIX) from None


def _entry(node: NewNode) -> Json:
    """A node's part of the file (Mesh CDB Profile 1.0.1, node), with what is required there."""
    return {
        "UUID": str(UUID(bytes=node.uuid)).upper(),
        "name": node.name or f"node {show(node.address)}",
        "deviceKey": node.device_key.hex().upper(),
        "unicastAddress": f"{node.address:04X}",
        "security": "secure" if node.secure else "insecure",
        "configComplete": False,
        "excluded": False,
        "elements": [{"index": i, "location": "0000", "models": []} for i in range(node.elements)],
        "netKeys": [{"index": node.key_index, "updated": False}],
        "appKeys": [],
    }


def _insecure(key: Json, index: int) -> Json:
    """A network key that a node got without authentication is not a secure one any more."""
    given = key.get("index") == index and "minSecurity" in key
    return {**key, "minSecurity": "insecure"} if given else key


def _excluded(entry: Json) -> bool:
    return entry.get("excluded") is True


def _joined(exclusions: list[Json], iv_index: int, gone: list[str]) -> list[Json]:
    """The exclusions with some more addresses, beside those of the same IV index."""
    for place, entry in enumerate(exclusions):
        if entry["ivIndex"] == iv_index:
            more = {**entry, "addresses": [*entry.get("addresses", ()), *gone]}
            return [*exclusions[:place], more, *exclusions[place + 1 :]]
    return [*exclusions, {"ivIndex": iv_index, "addresses": gone}]


def _object(pairs: list[tuple[str, Any]]) -> Json:
    made = dict(pairs)
    if len(made) != len(pairs):
        # Which of two keys counts is read differently by every program. The name is short, but may be a key.
        raise ValueError("an object has one of its keys twice")
    return made


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _number(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError("a number is beyond all bounds")
    return value
