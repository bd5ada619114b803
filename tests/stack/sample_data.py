"""Sample data of the Mesh Protocol 1.1 specification, section 8: keys (8.2) and messages (8.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

NET_KEY: Final = "7dd7364cd842ad18c17c2b820c84c3d6"
APP_KEY: Final = "63964771734fbd76e3b40519d1d94a48"
DEVICE_KEY: Final = "9d6dd0e96eb25dc19a40ed9914f8f03f"
"""Of node 0x1201."""

FRIENDSHIP: Final = (0x1201, 0x2345, 0x0000, 0x072F)
"""LPN address, Friend address, LPN counter, Friend counter (8.2.3)."""


class Sample(NamedTuple):
    """Message 8.3.x: network PDUs, the lower transport PDUs in them, and the access payload, if any."""

    section: int
    iv_index: int
    control: bool
    ttl: int
    sequence: int
    source: int
    destination: int
    friendship: bool
    network: tuple[str, ...]
    lower: tuple[str, ...]
    access: str | None = None


MESSAGES: Final = (
    Sample(
        1,
        0x12345678,
        True,
        0,
        1,
        0x1201,
        0xFFFD,
        False,
        ("68eca487516765b5e5bfdacbaf6cb7fb6bff871f035444ce83a670df",),
        ("034b50057e400000010000",),
    ),
    Sample(
        2,
        0x12345678,
        True,
        0,
        84000,
        0x2345,
        0x1201,
        False,
        ("68d4c826296d7979d7dbc0c9b4d43eebec129d20a620d01e",),
        ("04320308ba072f",),
    ),
    Sample(
        3,
        0x12345678,
        True,
        0,
        2832434,
        0x2FE3,
        0x1201,
        False,
        ("68da062bc96df253273086b8c5ee00bdd9cfcc62a2ddf572",),
        ("04fa0205a6000a",),
    ),
    Sample(
        4,
        0x12345678,
        True,
        0,
        2,
        0x1201,
        0x2345,
        True,
        ("5e84eba092380fb0e5d0ad970d579a4e88051c",),
        ("0100",),
    ),
    Sample(
        5,
        0x12345678,
        True,
        0,
        84020,
        0x2345,
        0x1201,
        True,
        ("5eafd6f53c43db5c39da1792b1fee9ec74b786c56d3a9dee",),
        ("02001234567800",),
    ),
    Sample(
        6,
        0x12345678,
        False,
        4,
        3221931,
        0x0003,
        0x1201,
        False,
        (
            "68cab5c5348a230afba8c63d4e686364979deaf4fd40961145939cda0e",
            "681615b5dd4a846cae0c032bf0746f44f1b8cc8ce5edc57e55beed49c0",
        ),
        (
            "8026ac01ee9dddfd2169326d23f3afdf",
            "8026ac21cfdc18c52fdef772e0e17308",
        ),
        "0056341263964771734fbd76e3b40519d1d94a48",
    ),
    Sample(
        7,
        0x12345678,
        True,
        11,
        84021,
        0x2345,
        0x0003,
        False,
        ("68e476b5579c980d0d730f94d7f3509df987bb417eb7c05f",),
        ("00a6ac00000002",),
    ),
    Sample(
        8,
        0x12345678,
        False,
        4,
        3221933,
        0x0003,
        0x1201,
        False,
        ("684daa6267c2cf0e2f91add6f06e66006844cec97f973105ae2534f958",),
        ("8026ac01ee9dddfd2169326d23f3afdf",),
    ),
    Sample(
        10,
        0x12345678,
        True,
        0,
        3,
        0x1201,
        0x2345,
        True,
        ("5e7b786568759f7777ed355afaf66d899c1e3d",),
        ("0101",),
    ),
    Sample(
        12,
        0x12345678,
        True,
        0,
        4,
        0x1201,
        0x2345,
        True,
        ("5e8a18fc6e4d05ae21466087599c2426ce9a35",),
        ("0101",),
    ),
    Sample(
        14,
        0x12345678,
        True,
        0,
        5,
        0x1201,
        0x2345,
        True,
        ("5e0bbaf92b5c8f7d3ae62a3c75dff683dce24e",),
        ("0100",),
    ),
    Sample(
        16,
        0x12345678,
        False,
        11,
        6,
        0x1201,
        0x0003,
        False,
        ("68e80e5da5af0e6b9be7f5a642f2f98680e61c3a8b47f228",),
        ("0089511bf1d1a81c11dcef",),
        "800300563412",
    ),
    Sample(
        18,
        0x12345678,
        False,
        3,
        7,
        0x1201,
        0xFFFF,
        False,
        ("6848cba437860e5673728a627fb938535508e21a6baf57",),
        ("665a8bde6d9106ea078a",),
        "0400000000",
    ),
    Sample(
        20,
        0x12345677,
        False,
        3,
        460809,
        0x1234,
        0xFFFF,
        False,
        ("e85cca51e2e8998c3dc87344a16c787f6b08cc897c941a5368",),
        ("669c9803e110fea929e9542d",),
        "04000000010703",
    ),
)
