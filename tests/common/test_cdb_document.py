"""Site files that are changed and written back: what is not understood goes through untouched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Misconfigured
from common.mesh.cdb_addresses import FORGOTTEN_AFTER
from common.mesh.cdb_document import NewNode, SiteDocument
from tests.common.test_cdb import DEVICE_KEY, NET_KEY, document, leaves, node

WALL = 1_700_000_000.0
STAMP = "2023-11-14T22:13:20Z"
KEY = bytes(range(16))


def site(**more: Any) -> SiteDocument:
    return SiteDocument.parse(json.dumps(document(**more)), "site.json")


def provisioner(*ranges: tuple[str, str], name: str = "phone") -> dict[str, Any]:
    blocks = [{"lowAddress": low, "highAddress": high} for low, high in ranges]
    return {"provisionerName": name, "UUID": f"uuid-{name}", "allocatedUnicastRange": blocks}


def newcomer(address: int = 0x0200, secure: bool = True) -> NewNode:
    return NewNode(bytes(16), address, KEY, elements=2, key_index=0, secure=secure, name="Lamp")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def place(path: tuple[Any, ...], whole: Any) -> Any:
    return reduce(lambda value, key: value[key], path, whole)


PLACES = [path for path in leaves(document()) if isinstance(place(path, document()), dict)]


@given(st.sampled_from(PLACES), st.text().map(lambda key: "x" + key), json_values, st.booleans())
def test_what_is_not_understood_is_kept_at_every_level(
    path: tuple[Any, ...], key: str, value: Any, spaced: bool
) -> None:
    changed = deepcopy(document())
    place(path, changed)[key] = value
    text = json.dumps(changed, indent="  " if spaced else None)
    parsed = SiteDocument.parse(text)
    assert json.loads(parsed.text()) == changed
    more = json.loads(parsed.with_node(newcomer(), WALL).text())
    added = more["nodes"].pop()
    assert added["unicastAddress"] == "0200"
    assert more.pop("timestamp") == STAMP
    changed.pop("timestamp", None)
    assert more == changed
    # Order counts too: people compare files.
    assert list(more) == list(changed)


def test_a_document_written_back_unchanged_is_the_same_text(tmp_path: Path) -> None:
    text = json.dumps(document(meshName="Küche"), indent="\t", ensure_ascii=False) + "\n"
    path = tmp_path / "site.json"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)
    SiteDocument.read(path).write(path)
    assert path.read_text(encoding="utf-8") == text
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_half_a_surrogate_pair_survives() -> None:
    text = json.dumps(document(note="\ud800"))
    assert json.loads(SiteDocument.parse(text).text().encode())["note"] == "\ud800"


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "[]", "{", "[" * 100_000]
)
def test_what_could_not_be_written_back_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"site\.json"):
        SiteDocument.parse(text, "site.json")


@given(st.sampled_from(leaves(document(provisioners=[provisioner(("0001", "00FF"))]))[1:]), json_values)
def test_junk_anywhere_is_a_document_or_a_named_error(path: tuple[Any, ...], value: Any) -> None:
    changed = deepcopy(document(provisioners=[provisioner(("0001", "00FF"))]))
    place(path[:-1], changed)[path[-1]] = value
    try:
        made = SiteDocument.parse(json.dumps(changed))
        free = made.free_address(1, 0) if made.allocation.provisioners else 0x0400
        shown = repr(made.with_node(newcomer(free), WALL))
    except Misconfigured as error:
        shown = str(error)
    assert NET_KEY not in shown
    assert DEVICE_KEY not in shown


def test_a_new_node_is_read_back() -> None:
    made = site().with_node(newcomer(), WALL)
    added = made.site.node(0x0200)
    assert (added.device_key.reveal(), len(added.elements), added.name) == (KEY, 2, "Lamp")
    assert json.loads(made.text())["nodes"][-1]["security"] == "secure"
    assert json.loads(made.text())["netKeys"][0]["minSecurity"] == "secure"
    assert KEY.hex() not in repr(made).lower()


def test_a_node_added_without_authentication_makes_its_network_key_insecure() -> None:
    made = json.loads(site().with_node(newcomer(secure=False), WALL).text())
    assert made["nodes"][-1]["security"] == "insecure"
    assert made["netKeys"][0]["minSecurity"] == "insecure"


def test_a_taken_address_is_refused() -> None:
    with pytest.raises(Misconfigured, match="0x0105"):
        site().with_node(newcomer(0x0104), WALL)


def test_fields_of_one_node_are_replaced() -> None:
    before = site(nodes=[node("0105", note="kept"), node("0106")])
    made = json.loads(before.with_node_fields(0x0105, {"configComplete": True}, WALL).text())
    assert (made["nodes"][0]["configComplete"], made["nodes"][0]["note"]) == (True, "kept")
    assert "configComplete" not in made["nodes"][1]


def test_addresses_come_from_the_provisioners_range_and_its_holes() -> None:
    taken = [node("0105", elements=[{"index": 0}, {"index": 1}]), node("0108")]
    made = site(nodes=taken, provisioners=[provisioner(("0105", "0109"), ("0200", "0210"))])
    assert made.free_address(1, 0) == 0x0107
    assert made.free_address(2, 0) == 0x0200
    assert site(nodes=taken).free_address(1, 0) == 0x0001


def test_a_provisioner_is_chosen_by_name() -> None:
    made = site(provisioners=[provisioner(("0200", "02FF")), provisioner(("0300", "03FF"), name="gateway")])
    assert made.free_address(1, 0, "gateway") == 0x0300
    assert made.free_address(1, 0, "uuid-gateway") == 0x0300
    with pytest.raises(Misconfigured, match="phone, gateway"):
        made.free_address(1, 0, "nobody")


def test_a_full_range_is_named() -> None:
    made = site(provisioners=[provisioner(("0105", "0105"))])
    with pytest.raises(Misconfigured, match="free"):
        made.free_address(1, 0)


def test_a_removed_nodes_addresses_return_two_iv_indexes_later() -> None:
    elements = [{"index": 0}, {"index": 1}]
    before = site(nodes=[node("0105", elements=elements)], provisioners=[provisioner(("0105", "0110"))])
    made = before.without_node(0x0105, 5, WALL)
    assert json.loads(made.text())["networkExclusions"] == [{"ivIndex": 5, "addresses": ["0105", "0106"]}]
    assert made.site.nodes == ()
    assert made.free_address(1, 5 + FORGOTTEN_AFTER - 1) == 0x0107
    assert made.free_address(1, 5 + FORGOTTEN_AFTER) == 0x0105


def test_exclusions_join_and_old_ones_go() -> None:
    before = site(
        nodes=[node("0105"), node("0106")],
        networkExclusions=[
            {"ivIndex": 3, "addresses": ["0001"]}, {"ivIndex": 5, "addresses": ["0002"], "x": 1}
        ],
    )  # fmt: skip
    made = json.loads(before.without_node(0x0105, 5, WALL).text())
    assert made["networkExclusions"] == [{"ivIndex": 5, "addresses": ["0002", "0105"], "x": 1}]


def test_an_excluded_nodes_address_is_not_given_again() -> None:
    before = site(provisioners=[provisioner(("0105", "0106"))])
    made = before.with_node_excluded(0x0105, WALL)
    assert made.site.live_nodes() == ()
    assert made.free_address(1, 0) == 0x0106


def test_a_node_that_is_not_there_cannot_be_changed() -> None:
    changes: list[Callable[[], SiteDocument]] = [
        lambda: site().without_node(0x0999, 0, WALL),
        lambda: site().with_node_excluded(0x0999, WALL),
        lambda: site().with_node_fields(0x0999, {}, WALL),
    ]
    for change in changes:
        with pytest.raises(Misconfigured, match="0x0999"):
            change()
