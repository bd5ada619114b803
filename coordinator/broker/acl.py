"""The broker's access list: what each certificate's name may read and write. Everything else is denied.

Made from the registry of gateways, one block each, because mosquitto's pattern rules know the user's name
but not its site. Says nothing about who may connect: that is for certificates and the revocation list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from common import topics
from common.topics import BETWEEN_PEERS, DOWNWARD, Channel
from coordinator.identity.own import COORDINATOR

_ANY = "+"


def access_list(gateways: Mapping[str, str]) -> str:
    """The text of the ACL file for `gateways`, a map of gateway to site."""
    blocks = [_block(COORDINATOR, _coordinator_rules())]
    blocks += [_block(gateway, _gateway_rules(site, gateway)) for gateway, site in sorted(gateways.items())]
    return "\n".join(blocks)


def _block(user: str, rules: Iterator[str]) -> str:
    return "\n".join((f"user {user}", *(f"topic {rule}" for rule in rules), ""))


def _coordinator_rules() -> Iterator[str]:
    yield f"read {topics.ROOT}/{_ANY}/{_ANY}/{Channel.UP.value}/{_ANY}"
    yield f"read {topics.of(_ANY, _ANY, Channel.STATUS)}"
    for channel in sorted(DOWNWARD):
        yield f"write {topics.of(_ANY, _ANY, channel)}"
    # Among peers it is the gateway `cloud` of every site, and hears nothing that is not for that one.
    yield f"write {topics.of(_ANY, topics.CLOUD, Channel.STATUS)}"
    for channel in sorted(BETWEEN_PEERS):
        yield f"read {topics.to_peer(_ANY, topics.CLOUD, channel, _ANY)}"
        yield f"write {topics.to_peer(_ANY, _ANY, channel, topics.CLOUD)}"


def _gateway_rules(site: str, gateway: str) -> Iterator[str]:
    yield f"write {topics.up(site, gateway)}"
    yield f"write {topics.of(site, gateway, Channel.STATUS)}"
    for channel in sorted(DOWNWARD):
        yield f"read {topics.of(site, gateway, channel)}"
    yield f"read {topics.of(site, _ANY, Channel.STATUS)}"
    for channel in sorted(BETWEEN_PEERS):
        yield f"read {topics.to_peer(site, gateway, channel, _ANY)}"
        yield f"write {topics.to_peer(site, _ANY, channel, gateway)}"
