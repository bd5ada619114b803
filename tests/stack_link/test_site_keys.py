"""A site file's keys as the stack holds them, also in the middle of a key refresh."""

from __future__ import annotations

from typing import Any

import pytest

from common.errors import Misconfigured
from common.mesh.cdb import SiteFile
from firmware_bridge.stack.key_refresh import Phase
from firmware_bridge.stack_link.site_keys import adopt_device_keys, first_application_key, keyring_of
from tests.bridge.real_site import site_document

OLD, NEW, OLD_APP, NEW_APP = (bytes([n] * 16) for n in range(1, 5))


def refreshing(phase: int) -> SiteFile:
    document = site_document(2)
    document["netKeys"][0] |= {"key": NEW.hex(), "oldKey": OLD.hex(), "phase": phase}
    document["appKeys"][0] |= {"key": NEW_APP.hex(), "oldKey": OLD_APP.hex()}
    return SiteFile.model_validate(document)


def sending(site: SiteFile) -> tuple[bytes, bytes]:
    ring = keyring_of(site)
    return ring.transmit_key(0).key, ring.application(0).key


@pytest.mark.parametrize(
    ("phase", "expected"), [(0, (NEW, NEW_APP)), (1, (OLD, OLD_APP)), (2, (NEW, NEW_APP))]
)
def test_it_sends_with_the_key_of_the_phase(phase: int, expected: tuple[bytes, bytes]) -> None:
    assert sending(refreshing(phase)) == expected


@pytest.mark.parametrize("phase", [1, 2])
def test_during_a_refresh_both_keys_are_heard(phase: int) -> None:
    ring = keyring_of(refreshing(phase))
    assert ring.subnets[0].phase is Phase(phase)
    assert {key.key for key in ring.subnets[0].receive} == {OLD, NEW}


def test_a_phase_without_its_old_key_is_taken_as_done() -> None:
    document = site_document(2)
    document["netKeys"][0] |= {"key": NEW.hex(), "phase": 2}
    assert sending(SiteFile.model_validate(document))[0] == NEW


def test_device_keys_are_those_of_nodes_that_still_belong() -> None:
    document: dict[str, Any] = site_document(3)
    ring = keyring_of(SiteFile.model_validate(document))
    document["nodes"][1]["excluded"] = True
    adopt_device_keys(ring, SiteFile.model_validate(document))
    assert set(ring.devices) == {0x0001, 0x0102}


def test_a_site_without_application_key_is_told() -> None:
    with pytest.raises(Misconfigured):
        first_application_key(SiteFile.model_validate(site_document(2) | {"appKeys": []}))
