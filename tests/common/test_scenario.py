"""Scenario files: every key with its limits, and errors that name both."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import scenario
from common.errors import Misconfigured
from common.mesh.configuration import Transmit
from common.scenario import Scenario, parse, read

NODES = [{"address": 1}, {"address": 2, "x": 3.5, "y": -1, "relay": True, "tx_power_dbm": 4}]


def document(**more: Any) -> dict[str, Any]:
    return {"nodes": NODES, **more}


def flow(**more: Any) -> dict[str, Any]:
    return {"source": 1, "destination": 2, "period_s": 30, **more}


def problem(changed: Any) -> str:
    with pytest.raises(Misconfigured) as caught:
        parse(changed if isinstance(changed, str | bytes) else json.dumps(changed), "site.json")
    assert caught.value.fix
    return str(caught.value)


def test_nodes_alone_make_a_scenario_with_the_documented_defaults() -> None:
    found = parse(json.dumps(document(flows=[flow()])))
    assert (found.nodes[0].x, found.nodes[0].relay, found.nodes[0].tx_power_dbm) == (0.0, False, 0.0)
    radio = found.radio
    assert (radio.path_loss_exponent, radio.path_loss_1m_db, radio.shadowing_db) == (3.5, 40.0, 0.0)
    assert (radio.shadowing_seed, radio.noise_figure_db) == (1, 6.0)
    configuration = found.configuration
    assert (configuration.scan_window_ms, configuration.scan_interval_ms) == (30.0, 30.0)
    assert configuration.message_cache == 32
    only = found.flows[0]
    assert (only.acknowledged, only.response_bytes, only.response_delay_ms) == (False, 3, 0.0)
    assert only.flow_class == "sensing"


def test_every_documented_key_is_read() -> None:
    found = parse(
        json.dumps(
            document(
                links=[[1, 2, 80.4], [2, 1, 81]],
                radio={"path_loss_exponent": 2, "path_loss_1m_db": 41, "shadowing_db": 3, "shadowing_seed": 7,
                       "noise_figure_db": 5},
                configuration={"ttl": 15, "network_transmit": {"count": 3, "interval_ms": 20},
                               "relay_retransmit": {"count": 1, "interval_ms": 320}, "relay_sets": 8,
                               "scan_window_ms": 20, "scan_interval_ms": 40, "message_cache": 64},
                flows=[flow(destination=0xC000, offset_s=1, payload_bytes=380, acknowledged=True,
                            response_bytes=5, response_delay_ms=2.5, **{"class": "lighting"})],
                groups={"0xC000": [1, 2]}, failures=[[3.5, 2, "down"], [9, 2, "up"]], duration_s=60, seed=3,
            )
        )
    )  # fmt: skip
    assert found.links == [(1, 2, 80.4), (2, 1, 81.0)]
    assert found.configuration.relay_retransmit.transmit() == Transmit(1, 320)
    assert (found.flows[0].flow_class, found.groups) == ("lighting", {0xC000: [1, 2]})
    assert found.failures == [(3.5, 2, "down"), (9.0, 2, "up")]
    assert (found.duration_s, found.seed) == (60.0, 3)


def test_a_matrix_of_attenuations_is_read() -> None:
    assert parse(json.dumps(document(attenuation_db=[[0, 80], [81.5, 0]]))).attenuation_db == [
        [0, 80],
        [81.5, 0],
    ]


@pytest.mark.parametrize(
    ("change", "key", "limit"),
    [
        ({"nodse": []}, "nodse", "unknown key"),
        ({"nodes": [{"address": 1, "colour": 3}]}, "nodes.0.colour", "unknown key"),
        ({"configuration": {"tll": 3}}, "configuration.tll", "unknown key"),
        ({"nodes": []}, "nodes", "at least 1"),
        ({"nodes": [{"address": 0}]}, "nodes.0.address", "greater than or equal to 1"),
        ({"nodes": [{"address": 32768}]}, "nodes.0.address", "32767"),
        ({"nodes": [{"address": 1, "tx_power_dbm": 21}]}, "nodes.0.tx_power_dbm", "20"),
        ({"nodes": [{"address": 1, "tx_power_dbm": -41}]}, "nodes.0.tx_power_dbm", "-40"),
        ({"nodes": [{"address": 1}, {"address": 1}]}, "nodes", "one address"),
        ({"configuration": {"ttl": 1}}, "configuration.ttl", "2"),
        ({"configuration": {"ttl": 128}}, "configuration.ttl", "127"),
        ({"configuration": {"network_transmit": {"count": 9}}}, "network_transmit.count", "8"),
        ({"configuration": {"relay_retransmit": {"interval_ms": 15}}}, "relay_retransmit.interval_ms", "10"),
        ({"configuration": {"relay_retransmit": {"interval_ms": 330}}}, "interval_ms", "320"),
        ({"configuration": {"relay_sets": 0}}, "configuration.relay_sets", "1"),
        ({"configuration": {"scan_window_ms": 50}}, "configuration", "scan_interval_ms"),
        ({"flows": [flow(source=3)]}, "flows", "3"),
        ({"flows": [flow(destination=0xC001)]}, "flows", "0xC001"),
        ({"flows": [flow(payload_bytes=381)]}, "flows.0.payload_bytes", "380"),
        ({"flows": [flow(period_s=0)]}, "flows.0.period_s", "greater than 0"),
        ({"flows": [{**flow(), "class": "heating"}]}, "flows.0.class", "lighting"),
        ({"flows": [flow(flow_class="sensing")]}, "flows.0.flow_class", "unknown key"),
        ({"groups": {"0x1000": [1]}}, "groups.0x1000", "group address"),
        ({"groups": {"x": [1]}}, "groups.x", "group address"),
        ({"groups": {"0xC000": [9]}}, "groups", "9"),
        ({"failures": [[1, 9, "down"]]}, "failures", "9"),
        ({"failures": [[1, 1, "dead"]]}, "failures.0.2", "down"),
        ({"links": [[1, 9, 80]]}, "links", "9"),
        ({"links": [[1, 2]]}, "links.0.2", "required"),
        ({"links": [[1, 2, -1]]}, "links.0.2", "0"),
        ({"links": [], "attenuation_db": [[0, 1], [1, 0]]}, "attenuation_db", "links"),
        ({"attenuation_db": [[0, 1]]}, "attenuation_db", "2 rows"),
        ({"attenuation_db": [[0, 1], [0]]}, "attenuation_db", "2 values"),
        ({"duration_s": 0}, "duration_s", "greater than 0"),
        ({"seed": -1}, "seed", "0"),
    ],
)  # fmt: skip
def test_an_error_names_the_key_and_its_limit(change: dict[str, Any], key: str, limit: str) -> None:
    text = problem(document(**change))
    assert key in text
    assert limit in text


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "3", "[" * 100_000, '{"nodes": NaN}', b"\xff", '{"nodes":1e999}']
)
def test_what_is_no_scenario_is_a_named_error(text: str | bytes) -> None:
    assert "site.json" in problem(text)


@given(
    st.dictionaries(
        st.sampled_from(sorted(Scenario.model_fields)),
        st.recursive(
            st.none() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_junk_ends_in_a_scenario_or_a_named_error(changes: dict[str, Any]) -> None:
    try:
        found = parse(json.dumps(document(**changes)))
    except Misconfigured:
        return
    assert found.nodes


def test_plain_and_compressed_files_are_alike(tmp_path: Path) -> None:
    data = json.dumps(document()).encode()
    (tmp_path / "a.json").write_bytes(data)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(data))
    assert read(tmp_path / "a.json") == read(tmp_path / "a.json.gz")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(document()).encode())
    files = {
        "none.json": None,
        "cut.json.gz": packed[:-9],
        "no.json.gz": b"{}",
        "flip.json.gz": packed[:12] + b"\xff" * 9,
    }
    for name, data in files.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(Misconfigured, match=name):
            read(tmp_path / name)


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenario, "MAX_SCENARIO_BYTES", 1 << 20)
    (tmp_path / "bomb.json.gz").write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(Misconfigured, match="larger"):
        read(tmp_path / "bomb.json.gz")


def test_a_scenario_that_was_written_is_read_back_equal() -> None:
    one = parse(json.dumps(document(flows=[flow(destination=0xC000)], groups={"0xC000": [1]})))
    assert parse(one.model_dump_json(by_alias=True, exclude_none=True)) == one


NUMBERS = [
    ("nodes", 0, "x"),
    ("nodes", 0, "tx_power_dbm"),
    ("radio", "path_loss_exponent"),
    ("radio", "noise_figure_db"),
    ("configuration", "ttl"),
    ("configuration", "scan_interval_ms"),
    ("configuration", "message_cache"),
    ("configuration", "network_transmit", "interval_ms"),
    ("flows", 0, "period_s"),
    ("flows", 0, "payload_bytes"),
    ("flows", 0, "response_delay_ms"),
    ("links", 0, 2),
    ("failures", 0, 0),
    ("duration_s",),
]


@given(
    st.sampled_from(NUMBERS),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "-1e300", "1e300", "null", '"x"', "[]", "{}"]),
)
def test_an_absurd_number_anywhere_is_an_error_that_names_the_key(path: tuple[Any, ...], text: str) -> None:
    whole = Scenario.model_validate(
        document(flows=[flow()], links=[[1, 2, 80]], failures=[[1, 2, "down"]])
    ).model_dump(by_alias=True, mode="json", exclude={"attenuation_db"})
    part: Any = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = "here"
    named = problem(json.dumps(whole).replace('"here"', text))
    assert ".".join(map(str, path)) in named


def test_five_thousand_nodes_are_a_scenario_and_many_more_are_not() -> None:
    nodes = [{"address": address} for address in range(1, 8194)]
    assert len(parse(json.dumps({"nodes": nodes[:5000]})).nodes) == 5000
    assert "8192" in problem({"nodes": nodes})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"configuration": {"ttl": "5"}}, "configuration.ttl"),
        ({"nodes": [{"address": 1, "relay": "yes"}]}, "nodes.0.relay"),
        ({"nodes": [{"address": True}]}, "nodes.0.address"),
        ({"links": [[1, 2, "80"]]}, "links.0.2"),
        ({"failures": [["3", 1, "down"]]}, "failures.0.0"),
        ({"duration_s": "60"}, "duration_s"),
    ],
)
def test_a_number_in_quotes_is_none(change: Any, said: str) -> None:
    assert said in problem(document(**change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"links": [[1, 2, 80], [2, 1, 80], [1, 2, 90]]}, "1 to 2 is given twice"),
        ({"links": [[1, 1, 80]]}, "links: 1 to itself"),
        ({"flows": [flow(), flow(destination=1)]}, "flows: number 1 is from 1 to itself"),
        ({"groups": {"0xC000": [1], "49152": [2]}}, "group 0xC000 is given twice"),
        ({"groups": {"0xC000": [1, 1]}}, "0xC000 has a node twice"),
        ({"groups": {"0xC000": []}}, "0xC000 has no nodes"),
        ({"failures": [[5, 1, "down"], [5, 1, "up"]]}, "node 1 is given twice at 5 s"),
    ],
)
def test_what_contradicts_itself_or_means_nothing_is_refused(change: Any, said: str) -> None:
    assert said in problem(document(**change))


def test_a_key_given_twice_is_refused_wherever_it_is() -> None:
    assert "'seed' is given twice" in problem('{"nodes": [{"address": 1}], "seed": 1, "seed": 2}')
    assert "'relay' is given twice" in problem('{"nodes": [{"address": 1, "relay": true, "relay": false}]}')
