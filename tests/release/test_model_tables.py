"""`models list` as people read it, at eighty columns and at more."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from coordinator.api import release_views
from coordinator.cli import model_tables
from coordinator.release.standing import Live
from coordinator.training.job import Evaluation
from tests.release.models import NAME, digest, registry, released, score, version

FEW = Evaluation(
    sites={"office": score(0.0373, 0.0362, 147)}, overall=score(0.0373, 0.0362, 147), synthetic=score(0.03)
)


def said(gateway: str, state: str, reason: str = "", **more: Any) -> Live:
    told: dict[str, Any] = {"error": 0.09, "naive_error": 0.03, "windows": 400, **more}
    return Live("office", gateway, NAME, 6, digest(6), state, reason, **told)


def shown(live: list[Live]) -> list[Any]:
    found = released(registry().with_version(version(6, FEW, FEW)), 6).with_said(live, time.time() - 7300)
    return [m.model_dump() for m in release_views.models(found, live, {digest(6): {"office": 3}})]


def read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, found: list[Any], columns: int
) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    model_tables.models(found)
    text = capsys.readouterr().out
    assert all(len(line) <= columns for line in text.splitlines())
    return text


@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_breaks_no_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    live = [said("gw-1", "worse-than-naive"), said("gw-2", "in-use"), said("gw-3", "refused", "malformed: x")]
    text = read(capsys, monkeypatch, shown(live), columns)
    for whole in (
        "link-forecast 6",
        "(synthetic)",
        "all sites",
        "0.0373/0.0362 (147 few)",
        "1 worse",
        "1 in use",
    ):
        assert whole in text
    assert "0.0900/0.0300 (1200)" in text
    words = " ".join(text.split())
    assert "gw-1 of office found it worse than the naive forecast by more than chance (error 0.0900" in words
    assert "gw-3 of office refused it: malformed: x" in words
    assert "Gateways use a model unless it is worse than the naive forecast by more than chance." in words


def test_the_list_remembers_what_gateways_no_longer_say(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (
        registry()
        .with_version(version(6, FEW, FEW))
        .with_said([said("gw-1", "worse-than-naive")], time.time() - 7300)
    )
    views = [m.model_dump() for m in release_views.models(found, [], {})]
    views[0]["bundles"][0]["default"] = False
    words = " ".join(read(capsys, monkeypatch, views, 80).split())
    assert "gw-1 of office found it worse" in words
    assert "2 h ago" in words


def test_a_refused_bundle_is_listed_with_when_it_is_tried_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = [said("gw-3", "refused", "altered: its digest", again_at=time.time() + 43.2 * 60)]
    words = " ".join(read(capsys, monkeypatch, shown(live), 80).split())
    assert (
        "gw-3 of office refused it: altered: its digest; it tries again in 43 min, or at the next release"
        in words
    )


def test_a_lost_registry_is_said_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = version(1).model_copy(update={"recovered": True})
    found = (
        registry().with_version(lost).model_copy(update={"rebuilt": True}).with_version(version(2, FEW, FEW))
    )
    views = [m.model_dump() for m in release_views.models(found, [], {})]
    assert [view["state"] for view in views] == ["candidate", "unknown"]
    text = read(capsys, monkeypatch, views, 80)
    assert "models.json was lost or damaged" in text
    assert "coordinator models evaluate" in text


def test_what_a_model_learnt_from_is_counted_by_kind() -> None:
    rows = {"synthetic": 900, "site:office": 10, "site:depot": 5, "trace:lab": 3}
    assert model_tables.learnt(rows) == "15 rows of sites, 3 of traces, 900 of synthetic links"
    assert model_tables.learnt({"synthetic": 900}) == "0 rows of sites, 900 of synthetic links"


def test_gateway_text_cannot_draw_on_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = read(capsys, monkeypatch, shown([said("gw-3", "refused", "[red]\x1b[2Jx")]), 80)
    assert "\x1b" not in text
    assert re.search(r"\[red\]", text)
