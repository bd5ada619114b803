"""What was edited in a site file: nodes that came, went or got another name, and keys that changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.mesh.addresses import show
from common.mesh.cdb import AppKey, NetKey, Node, SiteFile


@dataclass(frozen=True, slots=True)
class SiteChanges:
    """Addresses of nodes, in order; `rekeyed` have another device key. `keys` names the changed keys of the
    network, and the own node where its identity changed: what only a restart can take over."""

    added: tuple[int, ...] = ()
    removed: tuple[int, ...] = ()
    renamed: tuple[int, ...] = ()
    rekeyed: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.added, self.removed, self.renamed, self.rekeyed, self.keys))

    def told(self) -> dict[str, str]:
        """The fields of an event; no key is shown."""
        lists = {
            "added": self.added,
            "removed": self.removed,
            "renamed": self.renamed,
            "rekeyed": self.rekeyed,
        }
        told = {name: _list(map(show, nodes)) for name, nodes in lists.items() if nodes}
        return told | ({"restart_for": _list(self.keys)} if self.keys else {})


def changes(old: SiteFile, new: SiteFile, own: int) -> SiteChanges:
    """From `old` to `new`, as the gateway with the address `own` sees it."""
    before, after = _nodes(old), _nodes(new)
    both = sorted(before.keys() & after.keys())
    keys = _changed("network key", _keys(old.net_keys), _keys(new.net_keys))
    keys += _changed("application key", _keys(old.app_keys), _keys(new.app_keys))
    if (mine := after.get(own)) is None or (own in before and _identity(before[own]) != _identity(mine)):
        keys += ("the gateway's own node",) if own in before else ()
    return SiteChanges(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys() - {own})),
        renamed=tuple(a for a in both if before[a].name != after[a].name),
        rekeyed=tuple(a for a in both if a != own and _identity(before[a]) != _identity(after[a])),
        keys=keys,
    )


def _nodes(site: SiteFile) -> dict[int, Node]:
    return {node.unicast_address: node for node in site.live_nodes()}


def _identity(node: Node) -> tuple[str, bytes]:
    return node.uuid.replace("-", "").lower(), node.device_key.reveal()


def _keys(keys: Iterable[NetKey | AppKey]) -> dict[int, bytes]:
    return {key.index: key.key.reveal() for key in keys}


def _changed(what: str, old: dict[int, bytes], new: dict[int, bytes]) -> tuple[str, ...]:
    indices = sorted(index for index in old.keys() | new.keys() if old.get(index) != new.get(index))
    return tuple(f"{what} {index}" for index in indices)


def _list(names: Iterable[str], most: int = 16) -> str:
    """At most `most` names, and how many more there are: an event's field is short."""
    named = list(names)
    more = f" and {len(named) - most} more" if len(named) > most else ""
    return ",".join(named[:most]) + more
