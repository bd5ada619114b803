"""Writes docs/configuration.md; `--check` only tells whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from common import config as toml
from coordinator.config import CoordinatorConfig
from edge_agent.config import AgentConfig
from tools.reference.sections import Table, tables

PAGE: Final = Path(__file__).parents[2] / "docs" / "configuration.md"
HEAD: Final = """\
# Configuration

Both files are TOML. Every key has a default unless it says *required*; an unknown key is an error that names
the nearest known one. Paths are relative to the file's own folder. This page is written from the code by
`python -m tools.reference`; a test keeps it true.
"""
FILES: Final[dict[str, tuple[str, type[toml.Table]]]] = {
    "Agent: `agent.toml`": (
        "Read by `edge-agent --config FILE` (default `/etc/meshtwin/agent.toml`); `edge-agent check-config` "
        "reads everything that it names, too, and looks whether its state can be written. "
        "`coordinator gateways enrol` writes a first version.",
        AgentConfig,
    ),
    "Coordinator: `coordinator.toml`": (
        "In the coordinator's state folder (`--state`); `coordinator init` writes a first version.",
        CoordinatorConfig,
    ),
}


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, (text, config) in FILES.items():
        parts += [f"## {title}\n", f"{text}\n", *map(_section, tables(config))]
    return "\n".join(parts)


def _section(table: Table) -> str:
    head = "| key | value | default | meaning |\n|---|---|---|---|"
    lines = [f"| `{k.name}` | {k.kind} | {k.default} | {k.meaning} |" for k in table.keys]
    return "\n".join([f"### [{table.name}]\n", table.purpose, "", head, *lines, ""])


def main() -> int:
    """0 when the page is (now) up to date."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
