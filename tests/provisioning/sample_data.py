"""Sample data of the Mesh Protocol 1.1 specification, section 8: beacons (8.4), PB-ADV (8.7), PB-GATT (8.8),
and the algorithms (8.17)."""

from __future__ import annotations

from firmware_bridge.provisioning.beacon import Unprovisioned

PROVISIONER_PRIVATE = bytes.fromhex("06a516693c9aa31a6084545d0c5db641b48572b97203ddffb7ac73f7d0457663")
DEVICE_PRIVATE = bytes.fromhex("529aa0670d72cd6497502ed473502b037e8803b5c60829a5a3caa219505530ba")
PROVISIONER_PUBLIC = bytes.fromhex(
    "2c31a47b5779809ef44cb5eaaf5c3e43d5f8faad4a8794cb987e9b03745c78dd"
    "919512183898dfbecd52e2408e43871fd021109117bd3ed4eaf8437743715d4f"
)
DEVICE_PUBLIC = bytes.fromhex(
    "f465e43ff23d3f1b9dc7dfc04da8758184dbc966204796eccf0d6cf5e16500cc"
    "0201d048bcbbd899eeefc424164e33c201c2b010ca6b4d43a8a155cad8ecb279"
)
SECRET = bytes.fromhex("ab85843a2f6d883f62e5684b38e307335fe6e1945ecd19604105c6f23221eb69")
NETWORK_DATA = bytes.fromhex("efb2255e6422d330088e09bb015ed707056700010203040b0c")

# 8.7.1 to 8.7.14: PB-ADV PDUs of one link.
LINK_ID = 0x23AF5850
UUID = bytes.fromhex("70cf7c9732a345b691494810d2e9cbf4")
LINK_OPEN = bytes.fromhex("23af5850000370cf7c9732a345b691494810d2e9cbf4")
LINK_ACK = bytes.fromhex("23af58500007")
LINK_CLOSE = bytes.fromhex("23af5850000b00")
INVITE = bytes.fromhex("23af585000 00000214 0000".replace(" ", ""))
TRANSACTION_ACK = bytes.fromhex("23af58500001")
PUBLIC_KEY_SEGMENTS = [
    bytes.fromhex("23af585002080041d1032c31a47b5779809ef44cb5eaaf5c3e43d5f8fa"),
    bytes.fromhex("23af58500206ad4a8794cb987e9b03745c78dd919512183898dfbecd52"),
    bytes.fromhex("23af5850020ae2408e43871fd021109117bd3ed4eaf8437743715d4f"),
]
FRAME_CHECKS = {
    "0000": 0x14,
    "010100010000000000000000": 0xD6,
    "020000000000": 0x64,
    "05b38a114dfdca1fe153bd2c1e0dc46ac2": 0xD1,
    "05eeba521c196b52cc2e37aa40329f554e": 0xEC,
    "068b19ac31d58b124c946209b5db1021b9": 0xD3,
    "0655a2a2bca04cd32ff6f346bd0a0c1a3a": 0x59,
    "08": 0x3E,
}

# 8.8: the provisioner's public key over PB-GATT with an ATT MTU of 23.
GATT_PIECES = [
    bytes.fromhex("43032c31a47b5779809ef44cb5eaaf5c3e43d5f8"),
    bytes.fromhex("83faad4a8794cb987e9b03745c78dd9195121838"),
    bytes.fromhex("8398dfbecd52e2408e43871fd021109117bd3ed4"),
    bytes.fromhex("c3eaf8437743715d4f"),
]

# 8.17.1: BTM_ECDH_P256_CMAC_AES128_AES_CCM, without out-of-band authentication.
CMAC = {
    "capabilities": "0100010000000000000000",
    "start": "0000000000",
    "authentication": "00000000000000000000000000000000",
    "provisioner_random": "8b19ac31d58b124c946209b5db1021b9",
    "device_random": "55a2a2bca04cd32ff6f346bd0a0c1a3a",
    "salt": "5faabe187337c71cc6c973369dcaa79a",
    "confirmation_key": "e31fe046c68ec339c425fc6629f0336f",
    "provisioner_confirmation": "b38a114dfdca1fe153bd2c1e0dc46ac2",
    "device_confirmation": "eeba521c196b52cc2e37aa40329f554e",
    "session_key": "c80253af86b33dfa450bbdb2a191fea3",
    "session_nonce": "da7ddbe78b5f62b81d6847487e",
    "device_key": "0520adad5e0142aa3e325087b4ec16d8",
    "sealed": "d0bd7f4a89a2ff6222af59a90a60ad58acfe3123356f5cec2973e0ec50783b10c7",
}

# 8.17.2: BTM_ECDH_P256_HMAC_SHA256_AES_CCM, with a static value.
HMAC = {
    "capabilities": "0100030001000000000000",
    "start": "0100010000",
    "authentication": "906d73a3c7a7cb3ff730dca68a46b9c18d673f50e078202311473ebbe253669f",
    "provisioner_random": "36f968b94a13000e64b223576390db6bcc6d62f02617c369ee3f5b3e89df7e1f",
    "device_random": "5b9b1fc6a64b2de8bece53187ee989c6566db1fc7dc8580a73dafdd6211d56a5",
    "salt": "a71141ba8cb6b40f4f52b622e1c091614c73fc308f871b78ca775e769bc3ae69",
    "confirmation_key": "210c3c448152e8d59ef742aa7d22ee5ba59a38648bda6bf05c74f3e46fc2c0bb",
    "provisioner_confirmation": "c99b54617ae646f5f32cf7e1ea6fcc49fd69066078eba9580fa6c7031833e6c8",
    "device_confirmation": "56e3722d291373d38c995d6f942c02928c96abb015c233557d7974b6e2df662b",
    "session_key": "df4a494da3d45405e402f1d6a6cea338",
    "session_nonce": "11b987db2ae41fbb9e96b80446",
    "device_key": "2770852a737cf05d8813768f22af3a2d",
    "sealed": "f9df98cbb736be1f600659ac4c37821a82db31e410a03de7693a2a0428fbdaf321",
}

# 8.4.1 and 8.4.2: unprovisioned device beacons, without and with the hash of a URI.
URI = b"\x17//www.example.com/mesh/products/light-switch-v3"
BEACONS = [
    (Unprovisioned(UUID, 0xA040), bytes.fromhex("0070cf7c9732a345b691494810d2e9cbf4a040")),
    (
        Unprovisioned(UUID, 0x4020, bytes.fromhex("d97478b3")),
        bytes.fromhex("0070cf7c9732a345b691494810d2e9cbf44020d97478b3"),
    ),
]
