"""The numbers of all messages, and the bytes of some, by the tables of the specifications.

Mesh Protocol 1.1, section 4.3.13, and Mesh Model 1.1, section 7.1.
"""

from __future__ import annotations

import pytest

from common.mesh.configuration import Transmit
from firmware_bridge.access import (
    catalogue,
    config_heartbeat,
    config_keys,
    config_models,
    config_publication,
    config_state,
    generic_battery,
    generic_level,
    generic_onoff,
    health,
    large_composition,
    light_lightness,
    private_beacon,
    sar_configuration,
    sensor,
    sensor_states,
    transition,
)
from firmware_bridge.access.fields import ModelId
from firmware_bridge.access.link_monitor import COMPANY
from firmware_bridge.access.message import AccessMessage, build
from firmware_bridge.access.opcodes import opcode_bytes

# In the order of their numbers, from the first on.
RUNS = {
    0x00: "AppKeyAdd AppKeyUpdate CompositionStatus ModelPublicationSet CurrentStatus FaultStatus"
    " HeartbeatPublicationStatus",
    0x51: "SensorDescriptorStatus SensorStatus",
    0x55: "SensorCadenceSet SensorCadenceSetUnacknowledged SensorCadenceStatus SensorSettingsStatus"
    " SensorSettingSet SensorSettingSetUnacknowledged SensorSettingStatus",
    0x8000: "AppKeyDelete AppKeyGet AppKeyList AppKeyStatus AttentionGet AttentionSet"
    " AttentionSetUnacknowledged AttentionStatus CompositionGet BeaconGet BeaconSet BeaconStatus"
    " DefaultTtlGet DefaultTtlSet DefaultTtlStatus FriendGet FriendSet FriendStatus GattProxyGet GattProxySet"
    " GattProxyStatus KeyRefreshPhaseGet KeyRefreshPhaseSet KeyRefreshPhaseStatus ModelPublicationGet"
    " ModelPublicationStatus ModelPublicationVirtualSet ModelSubscriptionAdd ModelSubscriptionDelete"
    " ModelSubscriptionDeleteAll ModelSubscriptionOverwrite ModelSubscriptionStatus"
    " ModelSubscriptionVirtualAdd ModelSubscriptionVirtualDelete ModelSubscriptionVirtualOverwrite"
    " NetworkTransmitGet NetworkTransmitSet NetworkTransmitStatus RelayGet RelaySet RelayStatus"
    " SigModelSubscriptionGet SigModelSubscriptionList VendorModelSubscriptionGet VendorModelSubscriptionList"
    " LowPowerPollTimeoutGet LowPowerPollTimeoutStatus FaultClear FaultClearUnacknowledged FaultGet FaultTest"
    " FaultTestUnacknowledged PeriodGet PeriodSet PeriodSetUnacknowledged PeriodStatus"
    " HeartbeatPublicationGet HeartbeatPublicationSet HeartbeatSubscriptionGet HeartbeatSubscriptionSet"
    " HeartbeatSubscriptionStatus ModelAppBind ModelAppStatus ModelAppUnbind NetKeyAdd NetKeyDelete NetKeyGet"
    " NetKeyList NetKeyStatus NetKeyUpdate NodeIdentityGet NodeIdentitySet NodeIdentityStatus",
    0x804A: "NodeResetStatus SigModelAppGet SigModelAppList VendorModelAppGet VendorModelAppList",
    0x8060: "PrivateBeaconGet PrivateBeaconSet PrivateBeaconStatus PrivateGattProxyGet PrivateGattProxySet"
    " PrivateGattProxyStatus PrivateNodeIdentityGet PrivateNodeIdentitySet PrivateNodeIdentityStatus"
    " OnDemandProxyGet OnDemandProxySet OnDemandProxyStatus SarTransmitterGet SarTransmitterSet"
    " SarTransmitterStatus SarReceiverGet SarReceiverSet SarReceiverStatus",
    0x8074: "LargeCompositionGet LargeCompositionStatus ModelsMetadataGet ModelsMetadataStatus",
    0x8201: "OnOffGet OnOffSet OnOffSetUnacknowledged OnOffStatus LevelGet LevelSet LevelSetUnacknowledged"
    " LevelStatus LevelDeltaSet LevelDeltaSetUnacknowledged LevelMoveSet LevelMoveSetUnacknowledged"
    " DefaultTransitionGet DefaultTransitionSet DefaultTransitionSetUnacknowledged DefaultTransitionStatus",
    0x8223: "BatteryGet BatteryStatus",
    0x8230: "SensorDescriptorGet SensorGet",
    0x8234: "SensorCadenceGet SensorSettingsGet SensorSettingGet",
    0x824B: "LightnessGet LightnessSet LightnessSetUnacknowledged LightnessStatus LightnessLinearGet"
    " LightnessLinearSet LightnessLinearSetUnacknowledged LightnessLinearStatus LightnessLastGet"
    " LightnessLastStatus LightnessDefaultGet LightnessDefaultStatus LightnessRangeGet LightnessRangeStatus"
    " LightnessDefaultSet LightnessDefaultSetUnacknowledged LightnessRangeSet"
    " LightnessRangeSetUnacknowledged",
}


def test_every_message_has_the_number_of_the_specification() -> None:
    specified = {
        first + place: name for first, names in RUNS.items() for place, name in enumerate(names.split())
    }
    company = COMPANY.to_bytes(2, "little")
    known = {
        opcode: kind.__name__
        for opcode, kind in catalogue.MESSAGES.items()
        if opcode_bytes(opcode)[1:] != company
    }
    assert known == specified


ELEMENT = 0x1201
GROUP = 0xC005
LIGHT = ModelId(0x1300)
VENDOR = ModelId(0x0002, 0x0059)
LABEL = bytes(range(16))


@pytest.mark.parametrize(
    ("message", "octets"),
    [
        (config_state.RelaySet(config_state.RelayState.ON, Transmit(2, 20)), "8027 01 09"),
        (config_state.LowPowerPollTimeoutStatus(0x0102, 0x34BBFF), "802e 0201 ffbb34"),
        (config_keys.NetKeyAdd(0x123, LABEL), "8040 2301" + LABEL.hex()),
        (config_keys.AppKeyUpdate(0x456, 0x123, LABEL), "01 563412" + LABEL.hex()),
        (config_keys.AppKeyList(0, 1, (0x123, 0x456, 0x789)), "8002 00 0100 236145 8907"),
        (config_keys.NetKeyList((0, 1)), "8043 001000"),
        (config_keys.KeyRefreshPhaseSet(0, config_keys.Transition.USE_NEW_KEYS), "8016 0000 02"),
        (config_models.ModelAppBind(ELEMENT, 3, VENDOR), "803d 0112 0300 5900 0200"),
        (config_models.ModelSubscriptionAdd(ELEMENT, GROUP, LIGHT), "801b 0112 05c0 0013"),
        (config_models.ModelSubscriptionVirtualAdd(ELEMENT, LABEL, LIGHT), f"8020 0112 {LABEL.hex()} 0013"),
        (config_models.SigModelSubscriptionList(0, ELEMENT, LIGHT, (GROUP,)), "802a 00 0112 0013 05c0"),
        (
            config_publication.ModelPublicationVirtualSet(ELEMENT, LABEL, LIGHT, 5, True, 7, 0x41, 2),
            f"801a 0112 {LABEL.hex()} 0510 07 41 02 0013",
        ),
        (
            config_heartbeat.HeartbeatPublicationSet(config_heartbeat.HeartbeatPublication(GROUP, 5, 4)),
            "8039 05c0 05 04 0a 0000 0000",
        ),
        (health.CurrentStatus(1, 0x0059, b"\x02\x05"), "04 01 5900 0205"),
        (large_composition.LargeCompositionStatus(0, 4, 9, b"\xaa\xbb"), "8075 00 0400 0900 aabb"),
        (private_beacon.PrivateBeaconSet(True, 6), "8061 01 06"),
        (sar_configuration.SarTransmitterSet(5, 2, 3, 7, 1, 4, 9), "806d 25 73 41 09"),
        (sar_configuration.SarReceiverSet(3, 1, 1, 5, 2), "8070 23 51 02"),
        (generic_onoff.OnOffSet(True, 3, 0x4A, 2), "8202 01 03 4a 02"),
        (generic_level.LevelDeltaSet(-2, 9), "8209 feffffff 09"),
        (generic_level.LevelStatus(-32768, 0, 0x3F), "8208 0080 0000 3f"),
        (transition.DefaultTransitionSet(0x41), "820e 41"),
        (
            generic_battery.BatteryStatus(80, 600, None, generic_battery.Presence.FIXED),
            "8224 50 580200 ffffff fe",
        ),
        (light_lightness.LightnessRangeSet(1, 0xFFFF), "825b 0100 ffff"),
        (sensor.SensorStatus(sensor_states.Marshalled(((0x004F, b"\x2b"),))), "52 e009 2b"),
        (sensor.SensorStatus(sensor_states.Marshalled(((0x0042, b""),))), "52 ff4200"),
        (
            sensor.SensorDescriptorStatus(
                sensor_states.Descriptions((sensor_states.Descriptor(0x004F, 0x123, 0x456, 1, 64, 65),))
            ),
            "51 4f00 236145 01 40 41",
        ),
        (
            sensor.SensorCadenceSet(
                0x004F, sensor_states.Cadence(3, False, b"\x02", b"\x03", 10, b"\x20", b"\x40")
            ),
            "55 4f00 03 02 03 0a 20 40",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_messages_have_the_bytes_of_the_specification(message: AccessMessage, octets: str) -> None:
    assert build(message).hex() == octets.replace(" ", "")
    assert catalogue.parse(bytes.fromhex(octets)) == message


def test_reserved_bits_are_ignored() -> None:
    parsed = catalogue.parse(bytes.fromhex("8041 23f1"))
    assert parsed == config_keys.NetKeyDelete(0x123)
    parsed = catalogue.parse(bytes.fromhex("8070 23 51 fe"))
    assert parsed == sar_configuration.SarReceiverSet(3, 1, 1, 5, 2)


def test_keys_of_every_message_stay_out_of_its_representation() -> None:
    key = bytes.fromhex("7dd7364cd842ad18c17c2b820c84c3d6")
    carriers = (
        config_keys.NetKeyAdd(1, key),
        config_keys.NetKeyUpdate(1, key),
        config_keys.AppKeyAdd(1, 2, key),
        config_keys.AppKeyUpdate(1, 2, key),
    )
    shown = [repr(message) for message in carriers]
    assert not any(key.hex() in text or repr(key)[2:-1] in text for text in shown)
