"""Good inputs that the fuzzers begin with: the specification's sample data, and one message of every kind."""

from __future__ import annotations

import json
from typing import Any, Final

from firmware_bridge.access import catalogue
from firmware_bridge.access.opcodes import opcode_bytes
from tests.provisioning import sample_data as provisioning
from tests.stack import sample_data as stack

NET_KEY: Final = bytes.fromhex(stack.NET_KEY)
APP_KEY: Final = bytes.fromhex(stack.APP_KEY)
DEVICE_KEY: Final = bytes.fromhex(stack.DEVICE_KEY)


def _sized(*parts: bytes) -> bytes:
    """Parts as `Choices.sized` reads them, each behind a byte of other use."""
    return b"".join(bytes((1, len(part))) + part for part in parts)


NETWORK: Final = tuple(
    bytes.fromhex(data)
    for data in (
        *(pdu for sample in stack.MESSAGES for pdu in sample.network),
        *(sample.proxy_pdu[2:] for sample in stack.CONFIGURATIONS),
    )
)
LOWER: Final = tuple(bytes.fromhex(pdu) for sample in stack.MESSAGES for pdu in sample.lower)
CONTROL: Final = tuple(bytes.fromhex(sample.lower[0]) for sample in stack.MESSAGES if sample.control) + (
    bytes.fromhex("0a070003"),
    bytes.fromhex("0512010001"),
)
UPPER: Final = tuple(
    bytes((sample.section == 24,))
    + sample.sequence.to_bytes(3, "big")
    + sample.source.to_bytes(2, "big")
    + sample.destination.to_bytes(2, "big")
    + sample.iv_index.to_bytes(4, "big")
    + bytes.fromhex("".join(pdu[8 if len(sample.lower) > 1 else 2 :] for pdu in sample.lower))
    for sample in stack.MESSAGES
    if sample.access is not None
)
PROXY_PDUS: Final = (
    _sized(*map(bytes.fromhex, stack.PROXY_PIECES)),
    _sized(*(bytes.fromhex(sample.proxy_pdu) for sample in stack.CONFIGURATIONS)),
)
PROXY_CONFIGURATION: Final = tuple(
    map(bytes.fromhex, (*(s.transport for s in stack.CONFIGURATIONS), "01c0010002", "020003", "03000002"))
)
BEACON: Final = tuple(bytes.fromhex(sample.beacon) for sample in stack.BEACONS)
SERVICE_DATA: Final = (
    *map(bytes.fromhex, stack.SERVICE_DATA.values()),
    # 8.4.1, 8.4.2 and 8.5.1.
    bytes.fromhex("0070cf7c9732a345b691494810d2e9cbf4a040"),
    bytes.fromhex("0070cf7c9732a345b691494810d2e9cbf44020d36b25b8"),
    bytes.fromhex("70cf7c9732a345b691494810d2e9cbf42040"),
)
ACCESS: Final = (
    *(bytes.fromhex(sample.access) for sample in stack.MESSAGES if sample.access is not None),
    *(
        opcode_bytes(opcode) + bytes(size)
        for opcode in catalogue.MESSAGES
        for size in (0, 1, 2, 3, 4, 6, 8, 20)
    ),
)
COMPOSITION: Final = tuple(
    map(
        bytes.fromhex,
        (
            # 8.10.1 and 8.10.2.
            "000c001a0001000800030000010501000000800100001003103f002a00",
            "0102010005000000010201000501170101",
            "020101000000000000",
        ),
    )
)
PROPERTIES: Final = tuple(
    number.to_bytes(2, "little") + bytes(size) for number in range(1, 0x80) for size in (1, 2, 3, 4)
)
_PB_ADV: Final = (
    provisioning.LINK_OPEN,
    provisioning.LINK_ACK,
    provisioning.INVITE,
    provisioning.TRANSACTION_ACK,
    *provisioning.PUBLIC_KEY_SEGMENTS,
    provisioning.LINK_CLOSE,
)
PROVISIONING: Final = (
    *_PB_ADV,
    *(data[5:] for data in _PB_ADV),
    *map(bytes.fromhex, provisioning.FRAME_CHECKS),
    bytes.fromhex(stack.PUBLIC_KEY_PDU),
)
PROVISIONING_LINK: Final = (
    b"\x00" + _sized(*(data[4:] for data in _PB_ADV)),
    b"\x01" + _sized(*(data[4:] for data in _PB_ADV)),
)
_SITE: Final[dict[str, Any]] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "meshUUID": "5f1c",
    "meshName": "Hall",
    "netKeys": [{"index": 0, "key": stack.NET_KEY, "phase": 0, "minSecurity": "secure"}],
    "appKeys": [{"index": 1, "key": stack.APP_KEY, "boundNetKey": 0}],
    "provisioners": [
        {
            "provisionerName": "phone",
            "UUID": "b",
            "allocatedUnicastRange": [{"lowAddress": "0001", "highAddress": "0FFF"}],
            "allocatedGroupRange": [],
            "allocatedSceneRange": [],
        }
    ],
    "networkExclusions": [{"ivIndex": 0, "addresses": ["0200"]}],
    "groups": [{"name": "all", "address": "C000", "parentAddress": "0000"}],
    "nodes": [
        {
            "UUID": "a",
            "unicastAddress": "0105",
            "deviceKey": stack.DEVICE_KEY,
            "features": {"relay": 1, "friend": 2},
            "defaultTTL": 7,
            "relayRetransmit": {"count": 2, "interval": 25},
            "elements": [{"index": 0, "location": "0000", "models": [{"modelId": "1000"}]}],
        }
    ],
}
SITE_FILE: Final = (json.dumps(_SITE).encode(),)
ODD_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    0,
    255,
    1 << 70,
    1e300,
    "",
    "0000",
    "7FFF",
    "FFFF",
    "0105",
    "x",
    stack.NET_KEY,
    stack.NET_KEY[:31],
    "\u0000",
    "1" * 5000,
    [],
    [None],
    [[]],
    {},
    {"index": 0},
    {"lowAddress": "0001", "highAddress": "7FFF"},
)
"""What a site file's writer did not mean, in any place."""


def _sealed(flags: int, source: int, transport: bytes) -> bytes:
    """One step of the node target: a PDU under the network's key."""
    return bytes((1, 4, flags, source, len(transport))) + transport


NODE: Final = (
    # Two segments of one message, a heartbeat, an acknowledgement, and a message of ours.
    _sealed(0x51, 0x10, bytes.fromhex("80000401") + bytes(12))
    + _sealed(0x51, 0x10, bytes.fromhex("80000421") + bytes(8)),
    _sealed(0x55, 0x10, bytes.fromhex("0a070003")),
    bytes((1, 2, 40)) + bytes(40) + _sealed(0x55, 0x10, bytes.fromhex("000000000000ff")),
    bytes.fromhex("0101000000060100") + bytes.fromhex("0101000000060000"),
    *(bytes((1, 3, len(beacon))) + beacon for beacon in BEACON),
    *(bytes((1, 0, len(pdu))) + pdu for pdu in NETWORK[:4]),
)
