"""Options of a group of commands that are given before the command: `coordinator tasks --state DIR list`."""

from __future__ import annotations

from typing import Any

import typer


def hand_down(context: typer.Context, **given: Any) -> None:
    """Give the subcommand what was given to its group, by the parameter's name; what the subcommand is given
    itself goes first. None and False are nothing given.

    Raises typer.BadParameter for an option that the subcommand does not have: it must not be lost silently.
    """
    name = context.invoked_subcommand
    given = {key: value for key, value in given.items() if value is not None and value is not False}
    if name is None or not given:
        return
    command = getattr(context.command, "commands", {})[name]
    known = {parameter.name for parameter in command.params}
    for key in given:
        if key not in known:
            option = key.removeprefix("as_").replace("_", "-")
            raise typer.BadParameter(f"{name} takes no --{option}", context)
    context.default_map = {**(context.default_map or {}), name: given}
