"""The page of all configuration keys says what the code says."""

from __future__ import annotations

import pytest

from common import config as toml
from coordinator.config import CoordinatorConfig
from edge_agent.config import AgentConfig
from tools.reference.__main__ import PAGE, page
from tools.reference.sections import tables


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it anew: .venv/bin/python -m tools.reference"


@pytest.mark.parametrize("config", [AgentConfig, CoordinatorConfig])
def test_every_key_says_what_it_means(config: type[toml.Table]) -> None:
    silent = [f"{table.name}.{key.name}" for table in tables(config) for key in table.keys if not key.meaning]
    assert not silent, "write a docstring below each of these fields"


def test_defaults_and_limits_stand_on_the_page() -> None:
    keys = {
        f"{table.name}.{key.name}": (key.kind, key.default)
        for table in tables(AgentConfig)
        for key in table.keys
    }
    assert keys["policy.delivery_need"] == ("number, above 0, below 1", "`0.9`")
    assert keys["mesh.link"] == ('`"bluez"` or `"stack"` or `"virtual"` or `"none"`', '`"bluez"`')
    assert keys["gateway.site"] == ("text", "required")
