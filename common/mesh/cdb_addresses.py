"""Which unicast addresses of a site file are free for a new node. Pure.

An address is taken by a node's elements, also of a node that is being expelled, and by an exclusion: the
address of a removed node, which others remember with its sequence numbers until two IV indexes later (Mesh
CDB Profile 1.0.1, networkExclusions; Mesh Protocol 1.1, 3.10.8).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from common.errors import Misconfigured
from common.mesh.addresses import UNICAST_MAX
from common.mesh.cdb import HexNumber, SiteFile
from common.record import Field, Record

FORGOTTEN_AFTER: Final = 2
"""IV indexes from the exclusion of an address to its return."""

EVERYWHERE: Final = range(1, UNICAST_MAX + 1)

Unicast = Annotated[HexNumber, Field(ge=1, le=UNICAST_MAX)]


class AddressRange(Record, extra="ignore"):
    """Addresses that a provisioner may give to nodes, both ends included."""

    low: Unicast = Field(alias="lowAddress")
    high: Unicast = Field(alias="highAddress")


class Provisioner(Record, extra="ignore"):
    """Somebody who adds nodes: a phone, or this gateway."""

    name: str = Field(default="", alias="provisionerName", max_length=256)
    uuid: str = Field(alias="UUID", max_length=36)
    unicast: tuple[AddressRange, ...] = Field(default=(), alias="allocatedUnicastRange")


class Exclusion(Record, extra="ignore"):
    """Addresses whose nodes were removed at an IV index."""

    iv_index: int = Field(alias="ivIndex", ge=0, le=0xFFFFFFFF)
    addresses: tuple[Unicast, ...] = ()


class Allocation(Record, extra="ignore"):
    """What a site file says of addresses."""

    provisioners: tuple[Provisioner, ...] = ()
    exclusions: tuple[Exclusion, ...] = Field(default=(), alias="networkExclusions")


def free_address(
    site: SiteFile, said: Allocation, elements: int, iv_index: int, provisioner: str = ""
) -> int:
    """The lowest address with room for `elements` elements.

    `provisioner` names one by name or UUID; without a name it is the file's first, and every address where it
    has none. Raises Misconfigured when there is no such provisioner, or no room.
    """
    taken = _taken(site, said, iv_index)
    for block in _ranges(said, provisioner):
        start = block.start
        for address in block:
            if address in taken:
                start = address + 1
            elif address - start + 1 >= elements:
                return start
    raise Misconfigured(
        f"no {elements} unicast addresses in a row are free for a new node",
        "widen the provisioner's address range in the commissioning app, and import its file again",
    )


def still_excluded(exclusion: Exclusion, iv_index: int) -> bool:
    """Whether the network may still remember the removed nodes."""
    return iv_index < exclusion.iv_index + FORGOTTEN_AFTER


def node_addresses(site: SiteFile, address: int) -> list[int]:
    """The addresses of all elements of a node. Raises Misconfigured."""
    node = site.node(address)
    return list(range(address, address + max(1, len(node.elements))))


def _taken(site: SiteFile, said: Allocation, iv_index: int) -> set[int]:
    taken = {a for e in said.exclusions if still_excluded(e, iv_index) for a in e.addresses}
    for node in site.nodes:
        taken.update(range(node.unicast_address, node.unicast_address + max(1, len(node.elements))))
    return taken


def _ranges(said: Allocation, wanted: str) -> Iterable[range]:
    if not said.provisioners and not wanted:
        return [EVERYWHERE]
    for provisioner in said.provisioners:
        if not wanted or wanted in (provisioner.name, provisioner.uuid):
            return [range(block.low, block.high + 1) for block in provisioner.unicast]
    known = ", ".join(p.name or p.uuid for p in said.provisioners) or "none"
    raise Misconfigured(f"the site file has no provisioner {wanted!r}", f"name one of: {known}")
