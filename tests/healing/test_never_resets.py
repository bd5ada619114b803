"""No policy can expel a node: neither its actions nor anything below them can say Config Node Reset.

Mesh Protocol 1.1, section 4.3.2.53: a node that is sent Config Node Reset under its device key leaves its
network for good. Only the operator may do that, on purpose: the message is in a module of its own, and
`OPERATORS` are all who name that module.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

import firmware_bridge.access
from common.clock import ManualClock
from common.mesh.configuration import ConfigurationChange
from common.policy.actions import Action, ActionKind, Step
from firmware_bridge.access import catalogue
from firmware_bridge.access.opcodes import opcode_bytes, split
from firmware_bridge.virtual import VirtualLink, VirtualSite
from tests.agent.test_journal import changes
from tests.healing.gateways import running_gateways
from tests.healing.test_healing import LEARNING_S, PAIRS

NODE_RESET = 0x8049
NODE_RESET_STATUS = 0x804A
ROOT = Path(firmware_bridge.access.__file__).parents[2]
EXPULSION = "firmware_bridge/access/expulsion.py"
# The operator's command to remove a node, and nothing that a policy can reach.
OPERATORS: frozenset[str] = frozenset({"edge_agent/nodes/removing.py"})


class OverheardSite(VirtualSite):
    """A site that remembers every opcode that was ever sent in it."""

    def __init__(self, *parts: Any, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self.heard: set[int] = set()

    def send(
        self, source: int, destination: int, payload: bytes | None, *parts: Any, **settings: Any
    ) -> None:
        if payload is not None:
            self.heard.add(split(payload)[0])
        super().send(source, destination, payload, *parts, **settings)


def overheard() -> OverheardSite:
    links = {(a, b): 0.9 for pair in PAIRS for a, b in (pair, pair[::-1])}
    return OverheardSite(links, relays=[2, 3], gateways=[1, 9], seed=3)


def test_an_action_is_made_of_configuration_changes_and_these_of_four_settings() -> None:
    assert set(ActionKind) == {ActionKind.REROUTE, ActionKind.CONFIGURE}
    assert {field.name for field in fields(Step)} == {"address", "change"}
    assert {field.name for field in fields(ConfigurationChange)} == {
        "relay", "default_ttl", "network_transmit", "relay_retransmit",
    }  # fmt: skip
    carries = {field.name: str(field.type) for field in fields(Action)}
    assert carries["steps"] == "tuple[Step, ...]"
    assert "bytes" not in "".join(carries.values())


def test_one_access_message_has_the_opcode_and_no_catalogue_knows_it() -> None:
    names = [module.name for module in pkgutil.iter_modules(firmware_bridge.access.__path__)]
    modules = [importlib.import_module(f"firmware_bridge.access.{name}") for name in names]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    opcodes = {getattr(kind, "OPCODE", None) for kind in kinds} - {None}
    assert set(catalogue.MESSAGES) | {NODE_RESET} == opcodes
    assert NODE_RESET not in catalogue.MESSAGES
    resets = [kind for kind in kinds if getattr(kind, "OPCODE", None) == NODE_RESET]
    assert [kind.__module__ for kind in resets] == ["firmware_bridge.access.expulsion"]


@pytest.mark.parametrize("folder", ["common", "firmware_bridge", "edge_agent"])
def test_no_other_source_of_the_agent_spells_it(folder: str) -> None:
    spellings = ("8049", "\\x80\\x49", "\\x80I", "32841", "node_reset", "nodereset")
    guilty = [
        f"{path.name}: {spelling}"
        for path in sources(folder)
        for spelling in spellings
        # What a node says last is no danger: everybody may understand it.
        if spelling.lower() in path.read_text().lower().replace("noderesetstatus", "")
    ]
    assert guilty == []
    assert opcode_bytes(NODE_RESET) == b"\x80\x49"


@pytest.mark.parametrize("folder", ["common", "firmware_bridge", "edge_agent"])
def test_only_the_operator_names_the_module_of_the_message(folder: str) -> None:
    named = re.compile(r"import.*\bexpulsion\b|\bexpulsion\.|\bexpulsion import")
    assert [path.name for path in sources(folder) if named.search(path.read_text())] == []


def sources(folder: str) -> list[Path]:
    """All Python of a folder but the message and the operator's command."""
    excused = {ROOT / name for name in OPERATORS | {EXPULSION}}
    return [path for path in (ROOT / folder).rglob("*.py") if path not in excused]


@given(change=changes)
@settings(max_examples=40, deadline=None)
def test_no_change_of_a_configuration_is_sent_as_one(change: ConfigurationChange) -> None:
    site = overheard()
    asyncio.run(_configure(site, change))
    assert site.heard
    assert site.heard.isdisjoint({NODE_RESET, NODE_RESET_STATUS})


async def _configure(site: VirtualSite, change: ConfigurationChange) -> None:
    clock = ManualClock()
    link = VirtualLink(site, 1, clock)
    await link.open()
    configured = asyncio.ensure_future(link.configure(2, change))
    while not configured.done():
        await clock.advance(0.05)
    await link.close()
    assert configured.exception() is None


async def test_agents_at_work_never_send_it(tmp_path: Path) -> None:
    clock, site = ManualClock(), overheard()
    async with running_gateways(tmp_path, site, clock, {"gw-1": 1, "gw-2": 9}, confirm_s=5.0) as gateways:
        await clock.advance(LEARNING_S)
        for other in (3, 6):
            site.links.set(5, other, 0.0)
        site.down(2)
        await clock.advance(20.0)
        site.up(2)
        site.down(3)
        await clock.advance(20.0)
        states = {state for gateway in gateways.values() for state in gateway.stream.states()}
        assert states >= {"applied", "rolled-back"}
    assert len(site.heard) > 5
    assert site.heard.isdisjoint({NODE_RESET, NODE_RESET_STATUS})
    assert catalogue.MESSAGES.keys() >= site.heard
