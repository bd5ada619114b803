"""Sample data of the Mesh Protocol 1.1 specification, section 8: keys (8.2), messages (8.3), beacons (8.4),
the proxy service (8.6), proxy PDUs (8.8) and proxy configuration (8.9)."""

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
    label: str | None = None


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
    Sample(
        9,
        0x12345678,
        True,
        11,
        0x14836,
        0x2345,
        0x0003,
        False,
        ("68aec467ed4901d85d806bbed248614f938067b0d983bb7b",),
        ("00a6ac00000003",),
    ),
    Sample(
        11,
        0x12345678,
        False,
        3,
        0x3129AD,
        0x0003,
        0x1201,
        True,
        ("5ee66b087cfb5fd5e708a20ecfd98ddfd32de80befb400213d98468322",),
        ("8026ac01ee9dddfd2169326d23f3afdf",),
    ),
    Sample(
        13,
        0x12345678,
        False,
        3,
        0x3129AD,
        0x0003,
        0x1201,
        True,
        ("5ee66b087cfb5fd5e708a20ecfd98ddfd32de80befb400213d98468322",),
        ("8026ac01ee9dddfd2169326d23f3afdf",),
    ),
    Sample(
        15,
        0x12345678,
        False,
        3,
        0x3129AC,
        0x0003,
        0x1201,
        True,
        ("5ea8dab50e7ee7f1d29805664d235eacd707217dedfe78497fefec7391",),
        ("8026ac21cfdc18c52fdef772e0e17308",),
    ),
    Sample(
        17,
        0x12345678,
        False,
        10,
        0x6,
        0x1201,
        0x0003,
        False,
        ("68b2bd2c1e1b6f2a80d381b91f824dd4f0a3cd54cea23b7a",),
        ("0089511bf1d1a81c11dcef",),
        "800300563412",
    ),
    Sample(
        19,
        0x12345678,
        False,
        3,
        0x9,
        0x1201,
        0xFFFF,
        False,
        ("68110edeecd83c3010a05e1b23a926023da75d25ba91793736",),
        ("66ca6cd88e698d1265f43fc5",),
        "04000000010703",
    ),
    Sample(
        21,
        0x12345677,
        False,
        3,
        0x7080A,
        0x1234,
        0xC105,
        False,
        ("e84e8fbe003f58a4d61157bb76352ea6307eebfe0f30b83500e9",),
        ("664d92e9dfcf3ab85b6e8fcf03",),
        "d50a0048656c6c6f",
    ),
    Sample(
        22,
        0x12345677,
        False,
        3,
        0x7080B,
        0x1234,
        0xB529,
        False,
        ("e8d85caecef1e3ed31f3fdcf88a411135fea55df730b6b28e255",),
        ("663871b904d431526316ca48a0",),
        "d50a0048656c6c6f",
        "0073e7e4d8b9440faf8415df4c56c0e1",
    ),
    Sample(
        23,
        0x12345677,
        False,
        3,
        0x7080C,
        0x1234,
        0x9736,
        False,
        ("e877a48dd5fe2d7a9d696d3dd16a75489696f0b70c711b881385",),
        ("662456db5e3100eef65daa7a38",),
        "d50a0048656c6c6f",
        "f4a002c7fb1e4ca0a469a021de0db875",
    ),
    Sample(
        24,
        0x12345677,
        False,
        3,
        0x7080D,
        0x1234,
        0x9736,
        False,
        (
            "e8624e65bb8c1794e998b4081f47a35251fdd3896d99e4db489b918599",
            "e8a7d0f0a2ea42dc2f4dd6fb4db33a6c088d023b47",
        ),
        (
            "e6a03401c3c51d8e476b28e3aa5001f3",
            "e6a034211c01cea6",
        ),
        "ea0a00576f726c64",
        "f4a002c7fb1e4ca0a469a021de0db875",
    ),
)


class BeaconSample(NamedTuple):
    """Beacon 8.4.x with what it says; `random` is a private beacon's."""

    section: str
    net_key: str
    iv_index: int
    iv_update: bool
    beacon: str
    random: str | None = None


BEACONS: Final = (
    BeaconSample("3", NET_KEY, 0x12345678, False, "01003ecaff672f673370123456788ea261582f364f6f"),
    BeaconSample("4", NET_KEY, 0x12345679, True, "01023ecaff672f67337012345679c2af80ad072a135c"),
    BeaconSample("5", NET_KEY, 0x12345679, False, "01003ecaff672f67337012345679c62f09e4c957f59d"),
    BeaconSample(
        "6.1",
        "f7a2a44f8e8a8029064f173ddc1e2b00",
        0x1010ABCD,
        True,
        "02435f18f85cf78a3121f58478a561e488e7cbf3174f022a514741",
        "435f18f85cf78a3121f58478a5",
    ),
    BeaconSample(
        "6.2",
        "3bbb6f1fbd53e157417f308ce7aec58f",
        0,
        False,
        "021b998f82927535ea6f3076f422ce827408ab2f0ffb94cf97f881",
        "1b998f82927535ea6f3076f422",
    ),
)

SERVICE_DATA: Final = {
    "8.6.1": "003ecaff672f673370",
    "8.6.2": "0100861765aefcc57b34ae608fbbc1f2c6",
    "8.6.3": "02d30f7229ef04543534ae608fbbc1f2c6",
    "8.6.4": "032c64a8cbca65bfe134ae608fbbc1f2c6",
}
"""Service data of the Mesh Proxy Service under NET_KEY, of node 0x1201 where it names a node."""

PUBLIC_KEY_PDU: Final = (
    "032c31a47b5779809ef44cb5eaaf5c3e43d5f8faad4a8794cb987e9b03745c78dd"
    "919512183898dfbecd52e2408e43871fd021109117bd3ed4eaf8437743715d4f"
)
PROXY_PIECES: Final = (
    "43032c31a47b5779809ef44cb5eaaf5c3e43d5f8",
    "83faad4a8794cb987e9b03745c78dd9195121838",
    "8398dfbecd52e2408e43871fd021109117bd3ed4",
    "c3eaf8437743715d4f",
)
"""The provisioning PDU above over PB-GATT with an ATT MTU of 23 (8.8)."""


class ConfigurationSample(NamedTuple):
    """Proxy configuration message 8.9.x: what it is sealed with, and its transport and proxy PDU."""

    section: int
    net_key: str
    sequence: int
    source: int
    transport: str
    proxy_pdu: str


CONFIGURATIONS: Final = (
    ConfigurationSample(
        1, "d1aafb2a1a3c281cbdb0e960edfad852", 1, 1, "0000", "0210386bd60efbbb8b8c28512e792d3711f4b526"
    ),
    ConfigurationSample(2, NET_KEY, 0xDF03F0, 0x0405, "040101", "02683aefe1cc2e130f6d4e5324d385b9ef75d6936b"),
    ConfigurationSample(
        3, NET_KEY, 0xDF0400, 0x0607, "0501860703", "02688097bc2c44b502896f29a0ace2f0360a19bb04890d"
    ),
)
