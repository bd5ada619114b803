"""The site file: read as commissioning apps write it, hostile ones refused, keys never shown."""

from __future__ import annotations

import json
import os
import traceback
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured
from common.mesh.cdb import parse, permissions_warning, read
from common.mesh.configuration import Transmit

NET_KEY, APP_KEY, DEVICE_KEY = (
    "0123456789abcdef" * 2,
    "fedcba9876543210" * 2,
    "00112233445566778899aabbccddeeff",
)


def node(address: str = "0105", **more: Any) -> dict[str, Any]:
    return {"UUID": f"uuid-{address}", "unicastAddress": address, "deviceKey": DEVICE_KEY, **more}


def document(**more: Any) -> dict[str, Any]:
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "meshUUID": "5f1c", "meshName": "Hall",
        "netKeys": [{"index": 0, "key": NET_KEY, "phase": 0, "minSecurity": "secure"}],
        "appKeys": [{"index": 1, "key": APP_KEY, "boundNetKey": 0}],
        "nodes": [node(features={"relay": 1}, defaultTTL=7, relayRetransmit={"count": 2, "interval": 25})],
        **more,
    }  # fmt: skip


def problem(changed: Any) -> str:
    text = changed if isinstance(changed, str) else json.dumps(changed)
    with pytest.raises(Misconfigured) as caught:
        parse(text, "site.json")
    trace = "".join(traceback.format_exception(caught.value))
    assert not any(key in trace or key[:31] in trace for key in (NET_KEY, APP_KEY, DEVICE_KEY))
    return str(caught.value)


def test_keys_nodes_and_configuration_are_read() -> None:
    site = parse(json.dumps(document()))
    assert site.net_keys[0].key.reveal() == bytes.fromhex(NET_KEY)
    assert site.app_keys[0].bound_net_key == 0
    configuration = site.node(0x0105).configuration()
    assert (configuration.relay, configuration.relay_supported, configuration.default_ttl) == (True, True, 7)
    assert configuration.relay_retransmit == Transmit(2, 20)
    assert configuration.network_transmit is None


def test_keys_stay_out_of_repr() -> None:
    site = parse(json.dumps(document()))
    shown = f"{site!r} {site} {site.net_keys} {site.model_dump()}".lower()
    for key in (NET_KEY, APP_KEY, DEVICE_KEY):
        assert key not in shown
        assert repr(bytes.fromhex(key)).lower() not in shown


@pytest.mark.parametrize(
    "key", [NET_KEY[:31], NET_KEY + "0", NET_KEY[:30] + " 0", " " * 32, "x" * 32, 7, None]
)
def test_a_wrong_key_is_named_by_its_place_and_not_repeated(key: Any) -> None:
    assert "netKeys.0.key" in problem(document(netKeys=[{"index": 0, "key": key}]))
    assert "nodes.0.deviceKey" in problem(document(nodes=[node(deviceKey=key)]))


@pytest.mark.parametrize("address", ["0000", "8000", "-105", "0x01", "1_0", "", "123456789", 261, None])
def test_a_wrong_address_is_named(address: Any) -> None:
    assert "nodes.0.unicastAddress" in problem(document(nodes=[node(address)]))


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "3", '"' + NET_KEY, '{"netKeys": [{"key": "' + NET_KEY + '"',
        "[" * 200_000, "9" * 10_000, '{"a":' * 100_000, "\ud800", "\0",
    ],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_what_is_no_site_file_is_a_named_error(text: str) -> None:
    assert "site.json" in problem(text)


def test_two_nodes_with_one_address_are_refused() -> None:
    elements = [{"index": 0, "models": [{"modelId": "1000"}]}, {"index": 1}]
    assert "0x0106" in problem(document(nodes=[node("0105", elements=elements), node("0106")]))


def test_elements_beyond_the_unicast_range_are_refused() -> None:
    assert "0x8000" in problem(document(nodes=[node("7FFF", elements=[{"index": 0}, {"index": 1}])]))


@pytest.mark.parametrize("excluded_first", [True, False])
def test_an_excluded_nodes_address_is_free(excluded_first: bool) -> None:
    pair = [node("0105", excluded=True), node("0105")]
    site = parse(json.dumps(document(nodes=pair if excluded_first else pair[::-1])))
    assert len(site.live_nodes()) == 1


def test_a_node_that_is_not_there_is_named() -> None:
    with pytest.raises(Misconfigured, match="0x0999"):
        parse(json.dumps(document())).node(0x0999)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [leaf for key, inner in items for leaf in leaves(inner, (*path, key))]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(leaves(document())[1:]), junk)
def test_junk_in_any_place_ends_in_a_site_or_a_named_error(path: tuple[Any, ...], value: Any) -> None:
    changed = deepcopy(document())
    inner: Any = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        shown = repr(parse(json.dumps(changed)))
    except Misconfigured as error:
        shown = str(error)
    assert NET_KEY not in shown


@given(st.integers(0, len(json.dumps(document())) - 1))
def test_every_truncation_is_a_named_error(cut: int) -> None:
    problem(json.dumps(document())[:cut])


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xff")
    for path in (tmp_path / "none", tmp_path / "binary", tmp_path):
        with pytest.raises(Misconfigured, match=path.name):
            read(path)


def test_a_readable_key_file_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(document()))
    os.chmod(path, 0o644)
    assert "chmod 600" in (permissions_warning(path) or "")
    os.chmod(path, 0o600)
    assert permissions_warning(path) is None
    assert read(path).mesh_name == "Hall"
