"""Every parser of what comes from outside over the mesh, as functions of bytes that raise when it is broken.

A target may meet the errors of `common.errors` that its parser names, and no other exception. Where a parser
has an inverse, what is parsed must survive being built and parsed again. `seeds` gives good inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any, Final, NamedTuple

from common.errors import Misconfigured, Rejected, Unavailable
from common.mesh import cdb
from common.mesh.cdb_document import SiteDocument
from firmware_bridge.access import catalogue, composition, device_properties
from firmware_bridge.access import message as access_message
from firmware_bridge.access.message import Opaque
from firmware_bridge.provisioning import beacon as unprovisioned
from firmware_bridge.provisioning import generic, pb_adv, pdus
from firmware_bridge.provisioning.pb_adv import AdvLink
from firmware_bridge.stack import beacons, control, lower, network, proxy, upper
from firmware_bridge.stack.beacons import NetworkBeacon
from firmware_bridge.stack.keys import ApplicationKey, DeviceKey, NetworkKey
from firmware_bridge.stack.lower import Control
from firmware_bridge.stack.network import NetworkPdu
from firmware_bridge.stack.node import StackNode
from firmware_bridge.stack.proxy import Joiner
from firmware_bridge.stack.service_data import recognise
from tools.fuzzing import kept, seeds
from tools.fuzzing.attacks import HONEST, VICTIM, member
from tools.fuzzing.choices import Choices

MOST_HELD: Final = 64
_KEY: Final = NetworkKey(seeds.NET_KEY)
_APPLICATION: Final = ApplicationKey(seeds.APP_KEY)
_DEVICE: Final = DeviceKey(seeds.DEVICE_KEY)
_UUID: Final = bytes.fromhex("70cf7c9732a345b691494810d2e9cbf4")


class Target(NamedTuple):
    """`run` takes any bytes; `begin_with` are good ones; longer than `most` adds nothing."""

    run: Callable[[bytes], None]
    begin_with: tuple[bytes, ...]
    most: int = 64


def network_pdu(data: bytes) -> None:
    """Network PDUs and proxy configuration as they come, under any IV index (3.4.4)."""
    for iv_index in (0, 0x12345677, 0x12345678):
        for proxied in (False, True):
            try:
                index = network.receive_iv_index(data, iv_index)
                network.open_sealed(data, _KEY.credentials, index, proxy=proxied)
            except Rejected:
                continue


def lower_pdu(data: bytes) -> None:
    """Lower transport PDUs, control and access (3.5.2)."""
    for is_control in (False, True):
        try:
            parsed = lower.parse(data, is_control)
        except Rejected:
            continue
        _same(lower.parse(lower.build(parsed), is_control), parsed)


def control_message(data: bytes) -> None:
    """Upper transport control messages (3.6.5)."""
    if not data:
        return
    pdu = Control(data[0] & 0x7F, data[1:])
    try:
        parsed = control.parse(pdu)
    except Rejected:
        return
    if parsed is not None:
        _same(control.build(parsed), pdu)


def upper_pdu(data: bytes) -> None:
    """Upper transport access PDUs under both kinds of key, with both MICs (3.6.2)."""
    choices = Choices(data)
    long_mic = bool(choices.number(1) & 1)
    place = (choices.number(3), choices.number(2), choices.number(2), choices.number(4))
    body = choices.rest()
    for key in (_APPLICATION, _DEVICE):
        upper.decrypt(body, key, *place, long_mic=long_mic)
        try:
            sealed = upper.encrypt(body, key, *place, long_mic=long_mic)
        except Rejected:
            continue
        _same(upper.decrypt(sealed, key, *place, long_mic=long_mic), body)


def proxy_pdus(data: bytes) -> None:
    """Proxy PDUs in pieces, with time passing (6.3)."""
    choices, joiner, now = Choices(data), Joiner(), 0.0
    while choices:
        now += choices.number(1) / 8
        try:
            whole = joiner.take(choices.sized(), now)
        except Rejected:
            continue
        if whole is not None:
            _hold(len(whole[1]) <= proxy.MAX_PDU_BYTES, "a proxy PDU of any length")
        joiner.overdue(now)


def proxy_configuration(data: bytes) -> None:
    """Proxy configuration messages (6.6)."""
    try:
        parsed = proxy.parse_configuration(data)
    except Rejected:
        return
    _same(proxy.build_configuration(parsed), data)


def network_beacon(data: bytes) -> None:
    """Secure network and private beacons (3.10)."""
    try:
        said = beacons.parse(data, _KEY)
    except Rejected:
        return
    if said is not None and data[0] == beacons.SECURE_NETWORK:
        _same(beacons.parse(beacons.build_secure(said, _KEY), _KEY), said)


def service_data(data: bytes) -> None:
    """What proxies and devices advertise (7.2.2, 7.1.2.2.1)."""
    recognise(data, _KEY, (0x0001, 0x1201))
    unprovisioned.parse_service_data(data)
    with suppress(Rejected):
        unprovisioned.parse(data)


def access(data: bytes) -> None:
    """Access messages of every opcode (4.3, and the models)."""
    try:
        parsed = catalogue.parse(data)
    except Rejected:
        return
    if not isinstance(parsed, Opaque):
        _same(catalogue.parse(access_message.build(parsed)), parsed)


def composition_page(data: bytes) -> None:
    """Pages of composition data (4.2.2)."""
    if not data:
        return
    try:
        page = composition.parse_page(data[0], data[1:])
    except Rejected:
        return
    if page is not None:
        _same(composition.parse_page(data[0], page.to_wire()), page)


def property_values(data: bytes) -> None:
    """Values of device properties, as sensors report them."""
    try:
        device_properties.readings(int.from_bytes(data[:2], "little"), data[2:])
    except Rejected:
        return


def provisioning_pdu(data: bytes) -> None:
    """Provisioning PDUs (5.4.1)."""
    try:
        parsed = pdus.parse(data)
    except Rejected:
        return
    _same(pdus.parse(pdus.build(parsed)), parsed)


def generic_provisioning(data: bytes) -> None:
    """The PB-ADV PDUs that carry provisioning PDUs (5.3)."""
    pb_adv.wanted(data, _UUID)
    try:
        parsed = generic.parse(data)
    except Rejected:
        return
    _same(generic.parse(generic.build(parsed)), parsed)


def provisioning_link(data: bytes) -> None:
    """A PB-ADV link of either end, with time passing (5.3)."""
    choices = Choices(data)
    ours = bool(choices.number(1) & 1)
    link, now = AdvLink(7, _UUID, provisioner=ours, spread=lambda low, high: low), 0.0
    if ours:
        link.open(now)
    while choices:
        now += choices.number(1) / 16
        link.receive(b"\x00\x00\x00\x07" + choices.sized(), now)
        link.poll(now)
        _hold(len(link.outgoing()) <= MOST_HELD, "PDUs without end")
        link.next_time()


def site_file(data: bytes) -> None:
    """The site file (Mesh Configuration Database), read to be used and read to be written again."""
    _read_site(data.decode("utf-8", "replace"))


def edited_site_file(data: bytes) -> None:
    """A good site file with values in it replaced, removed or doubled: what raw bytes seldom reach."""
    choices, document = Choices(data), json.loads(seeds.SITE_FILE[0])
    while choices and document:
        _edit(choices, document)
    _read_site(json.dumps(document))


def _read_site(text: str) -> None:
    try:
        cdb.parse(text)
        document = SiteDocument.parse(text)
        _same(SiteDocument.parse(document.text()).text(), document.text())
        document.free_address(1, 0)
        for found in document.site.nodes:
            document.without_node(found.unicast_address, 0, 0.0).text()
    except Misconfigured as error:
        _hold(seeds.NET_KEY.hex() not in str(error), "a key in an error")


def _edit(choices: Choices, document: dict[str, Any]) -> None:
    """Walk to some value in a document, and put something else there."""
    where: Any = document
    while True:
        keys = list(where) if isinstance(where, dict) else list(range(len(where)))
        if not keys:
            return
        key = keys[choices.number(1) % len(keys)]
        if not isinstance(where[key], dict | list) or choices.number(1) % 4 == 0:
            break
        where = where[key]
    how = choices.number(1) % (len(seeds.ODD_VALUES) + 2)
    if how == 0:
        del where[key]
    elif how == 1 and isinstance(where, list) and len(where) < MOST_HELD:
        where.append(deepcopy(where[key]))
    else:
        where[key] = deepcopy(seeds.ODD_VALUES[how - 2])


def node(data: bytes) -> None:
    """A whole node among members who send anything under its keys, with time passing."""
    choices, victim, now = Choices(data), member(VICTIM), 0.0
    sequences = {VICTIM: 0, HONEST: 0}
    while choices:
        now += choices.number(1) / 8
        _step(choices, victim, sequences, now)
        victim.poll(now)
        _hold(len(victim.outgoing()) <= 4 * MOST_HELD, "PDUs without end")
        _hold(len(victim.reassembler) <= MOST_HELD, "messages without end")
        victim.next_time()
    victim.outcomes()


def _step(choices: Choices, victim: StackNode, sequences: dict[int, int], now: float) -> None:
    match choices.number(1) % 6:
        case 0:
            victim.receive(choices.sized(), now)
        case 1:
            said = NetworkBeacon(choices.number(4), bool(choices.number(1) & 1), bool(choices.number(1) & 1))
            victim.beacon(beacons.build_secure(said, victim.keyring.transmit_key(0)), now * 86_400)
        case 2:
            _send(victim, choices.sized() or b"\x01", now)
        case 3:
            victim.beacon(choices.sized(), now)
        case _:
            _sealed_step(choices, victim, sequences, now)


def _send(victim: StackNode, payload: bytes, now: float) -> None:
    with suppress(Unavailable):
        victim.send(HONEST, payload, now, application=0, long_mic=bool(payload[0] & 1))


def _sealed_step(choices: Choices, victim: StackNode, sequences: dict[int, int], now: float) -> None:
    """A PDU with any transport PDU in it, from any source, mostly with the next number."""
    flags, source = choices.number(1), choices.number(1)
    sequence = (sequences.get(source, 0) + 1) if flags & 1 else choices.number(3)
    sequences[source] = sequence
    destination = choices.number(2) if flags & 2 else VICTIM
    longest = network.MAX_CONTROL_TRANSPORT if flags & 4 else network.MAX_ACCESS_TRANSPORT
    transport = choices.sized()[:longest]
    pdu = NetworkPdu(bool(flags & 4), flags >> 4, sequence, source, destination, transport)
    try:
        data = network.seal(pdu, victim.keyring.transmit_key(0).credentials, victim.iv.transmit)
    except Rejected:
        return
    victim.receive(data, now)


def _same(again: object, first: object) -> None:
    _hold(again == first, f"{first!r} came back as {again!r}")


def _hold(held: bool, otherwise: str) -> None:
    if not held:
        raise AssertionError(otherwise)


TARGETS: Final[dict[str, Target]] = {
    "network": Target(network_pdu, seeds.NETWORK),
    "lower": Target(lower_pdu, seeds.LOWER),
    "control": Target(control_message, seeds.CONTROL),
    "upper": Target(upper_pdu, seeds.UPPER, 400),
    "proxy-pdus": Target(proxy_pdus, seeds.PROXY_PDUS, 2048),
    "proxy-configuration": Target(proxy_configuration, seeds.PROXY_CONFIGURATION),
    "beacon": Target(network_beacon, seeds.BEACON),
    "service-data": Target(service_data, seeds.SERVICE_DATA),
    "access": Target(access, seeds.ACCESS, 384),
    "composition": Target(composition_page, seeds.COMPOSITION, 384),
    "properties": Target(property_values, seeds.PROPERTIES),
    "provisioning": Target(provisioning_pdu, seeds.PROVISIONING, 80),
    "generic-provisioning": Target(generic_provisioning, seeds.PROVISIONING, 80),
    "provisioning-link": Target(provisioning_link, seeds.PROVISIONING_LINK, 1024),
    "site-file": Target(site_file, seeds.SITE_FILE, 8192),
    "edited-site-file": Target(edited_site_file, (b"\x05\x01\x00\x01\x04\x06", bytes(24)), 96),
    "node": Target(node, seeds.NODE, 2048),
    "node-state": Target(kept.node_state, (kept.state_seed(),), 512),
    "sealed-site": Target(kept.sealed_site, (kept.SITE_SEED, b""), 96),
}
