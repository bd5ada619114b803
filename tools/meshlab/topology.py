"""Who hears whom, and how badly: directed links with a loss, as a file and as ready-made shapes.

Nodes are indices 0 to N-1; this module knows nothing of addresses or of time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.errors import Misconfigured, Rejected, RejectReason

MAX_NODES = 1000
Pair = tuple[int, int]


@dataclass(frozen=True)
class Topology:
    """`links` maps (from, to) to the chance, 0 to 1, that one datagram is lost. What is not listed hears
    nothing. Raises Rejected for a node count, an index or a loss that is out of range.
    """

    nodes: int
    links: Mapping[Pair, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"{self.nodes} nodes; 1 to {MAX_NODES} are possible")
        for (source, target), loss in self.links.items():
            self.check_link(source, target, loss)

    @classmethod
    def from_links(
        cls, nodes: int, pairs: Iterable[Pair], loss: float = 0.0, both_ways: bool = True
    ) -> Topology:
        """Links between `pairs`, in both directions unless told otherwise, all with the same loss."""
        links: dict[Pair, float] = {}
        for a, b in pairs:
            links[a, b] = loss
            if both_ways:
                links[b, a] = loss
        return cls(nodes, links)

    @classmethod
    def star(cls, nodes: int, loss: float = 0.0, centre: int = 0) -> Topology:
        """Every node hears the centre and is heard by it, and no other."""
        return cls.from_links(nodes, ((centre, other) for other in range(nodes) if other != centre), loss)

    @classmethod
    def full(cls, nodes: int, loss: float = 0.0) -> Topology:
        """Everybody hears everybody."""
        return cls.from_links(nodes, ((a, b) for a in range(nodes) for b in range(a)), loss)

    @classmethod
    def line(cls, nodes: int, loss: float = 0.0) -> Topology:
        """Node 0 hears 1, node 1 hears 0 and 2, and so on."""
        return cls.from_links(nodes, ((index, index + 1) for index in range(nodes - 1)), loss)

    @classmethod
    def grid(cls, width: int, height: int, loss: float = 0.0, diagonals: bool = True) -> Topology:
        """Rows of `width` nodes, numbered row by row; each hears its neighbours, the diagonal ones too."""
        steps = [(1, 0), (0, 1)] + ([(1, 1), (-1, 1)] if diagonals else [])
        pairs = (
            (y * width + x, (y + dy) * width + x + dx)
            for y in range(height)
            for x in range(width)
            for dx, dy in steps
            if 0 <= x + dx < width and y + dy < height
        )
        return cls.from_links(width * height, pairs, loss)

    @classmethod
    def from_json(cls, document: Any) -> Topology:
        """Check a decoded topology file. Raises Rejected, naming what is wrong."""
        if not isinstance(document, dict) or set(document) != {"nodes", "links"}:
            raise Rejected(
                RejectReason.MALFORMED, 'a topology is {"nodes": N, "links": [[from, to, loss], …]}'
            )
        nodes, rows = document["nodes"], document["links"]
        if not _is_index(nodes) or not isinstance(rows, list):
            raise Rejected(RejectReason.MALFORMED, '"nodes" is a whole number, "links" a list')
        links: dict[Pair, float] = {}
        for row in rows:
            pair, loss = _link(row)
            if pair in links:
                raise Rejected(RejectReason.INVALID, f"link {pair[0]} to {pair[1]} is listed twice")
            links[pair] = loss
        return cls(nodes, links)

    @classmethod
    def read(cls, path: Path) -> Topology:
        """Read a topology file. Raises Misconfigured (unreadable, not JSON) or Rejected (wrong content)."""
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise Misconfigured(f"topology file {path}: {error.strerror}", "name a readable file") from error
        except (ValueError, RecursionError) as error:
            raise Misconfigured(f"topology file {path} is not JSON: {error}", "mend the file") from error

    @classmethod
    def parse(cls, text: str, default_nodes: int) -> Topology:
        """A topology as given on a command line: a file, or a shape with its size and loss.

        `full`, `star` and `line` have `default_nodes` nodes or their own number: `line:5`, `line:5:0.1`;
        `grid:4x3:0.1` has its sides. Raises Misconfigured or Rejected.
        """
        shapes = {"full": cls.full, "star": cls.star, "line": cls.line}
        shape, _, rest = text.partition(":")
        size, _, loss = rest.partition(":")
        if shape not in shapes and shape != "grid":
            return cls.read(Path(text))
        try:
            if shape == "grid":
                width, height = (int(side) for side in size.split("x"))
                return cls.grid(width, height, float(loss or 0))
            return shapes[shape](int(size or default_nodes), float(loss or 0))
        except ValueError as error:
            raise Rejected(RejectReason.MALFORMED, f"topology {text!r}; like line:5:0.1, grid:4x3") from error

    def to_json(self) -> dict[str, Any]:
        """The form of a topology file."""
        return {"nodes": self.nodes, "links": [[a, b, loss] for (a, b), loss in sorted(self.links.items())]}

    def with_loss(self, source: int, target: int, loss: float, both_ways: bool = False) -> Topology:
        """The same with one link set, or both directions; a link that was missing is added."""
        changed = {(source, target): loss} | ({(target, source): loss} if both_ways else {})
        return replace(self, links={**self.links, **changed})

    def check_node(self, index: int) -> int:
        """Return a node's index. Raises Rejected(OUT_OF_RANGE)."""
        if not 0 <= index < self.nodes:
            raise Rejected(RejectReason.OUT_OF_RANGE, f"node {index}; there are 0 to {self.nodes - 1}")
        return index

    def check_link(self, source: int, target: int, loss: float) -> None:
        """Raise Rejected unless both nodes exist and differ, and `loss` is 0 to 1."""
        self.check_node(source)
        self.check_node(target)
        if source == target:
            raise Rejected(RejectReason.INVALID, f"a link of node {source} to itself")
        if not 0.0 <= loss <= 1.0:  # not-a-number fails this, too
            raise Rejected(
                RejectReason.OUT_OF_RANGE, f"loss {loss} on link {source} to {target}; 0 to 1 are possible"
            )


def _link(row: Any) -> tuple[Pair, float]:
    if not isinstance(row, list) or len(row) != 3:
        raise Rejected(RejectReason.MALFORMED, f"link {str(row)[:60]}; a link is [from, to, loss]")
    source, target, loss = row
    if not _is_index(source) or not _is_index(target):
        raise Rejected(RejectReason.MALFORMED, f"link {str(row)[:60]}; nodes are whole numbers")
    if isinstance(loss, bool) or not isinstance(loss, (int, float)):
        raise Rejected(RejectReason.MALFORMED, f"link {str(row)[:60]}; a loss is a number")
    # Clamped before conversion: a whole number can be too large for a float.
    return (source, target), float(min(max(loss, -1), 2)) if isinstance(loss, int) else loss


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
