"""`coordinator export`: any range of observations as a file."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from common.errors import Misconfigured
from common.messages import Kind

if TYPE_CHECKING:
    from coordinator.client import Client

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_READ_TIMEOUT_S: Final = 120.0
_MOST_NAMED: Final = 20


class Subject(StrEnum):
    """What was observed."""

    LINK = "link"
    NODE = "node"
    HOST = "host"
    FLOW = "flow"


_KINDS: Final = {"link": Kind.LINKS, "node": Kind.NODES, "host": Kind.HOST, "flow": Kind.FLOWS}


class Format(StrEnum):
    """The file's format."""

    CSV = "csv"
    PARQUET = "parquet"


def export(
    output: Annotated[Path, typer.Argument(help="File to write, .csv or .parquet; - for CSV on the output.")],
    subject: Annotated[Subject, typer.Option(help="What was observed.")] = Subject.LINK,
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    gateway: Annotated[str | None, typer.Option(help="Only what this gateway measured.")] = None,
    last: Annotated[str, typer.Option(help="How far back: 90s, 30m, 24h, 7d.")] = "24h",
    since: Annotated[
        str | None, typer.Option("--from", help="Begin instead: 2026-03-01 or 2026-03-01T08:00 (UTC).")
    ] = None,
    until: Annotated[str | None, typer.Option(help="End, exclusive; default now.")] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="Instead of what the file's name says.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="State folder; default $MESHTWIN_STATE or the user's."),
    ] = None,
) -> None:
    """Write observations of links, nodes, hosts or flows as CSV or Parquet.

    Rows: site, gateway, t (Unix seconds), the subject's keys, then every metric; empty where not measured.
    """
    t1 = time.time() if until is None else moment(until)
    t0 = t1 - span(last) if since is None else moment(since)
    if t0 >= t1:
        raise Misconfigured("the range ends before it begins", "give --from a time before --until")
    question = {"subject": subject.value, "since": t0, "until": t1, "site": site, "gateway": gateway}
    count = _export(state, output, form or _format(output), question)
    place = "standard output" if str(output) == "-" else output
    print(f"{count} rows of {subject.value}s in {place}", file=sys.stderr)


def moment(text: str) -> float:
    """Unix seconds of an ISO 8601 date or time; UTC unless it says otherwise. Raises Misconfigured."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise Misconfigured(f"{text!r} is no time", "write it like 2026-03-01T08:00") from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def span(text: str) -> float:
    """Seconds of a span such as 24h. Raises Misconfigured."""
    if not (found := _SPAN.fullmatch(text.strip())):
        raise Misconfigured(f"{text!r} is no span of time", "write it like 90s, 30m, 24h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


def _format(output: Path) -> Format:
    if str(output) == "-":
        return Format.CSV
    try:
        return Format(output.suffix.lstrip("."))
    except ValueError as error:
        raise Misconfigured(
            f"{output} says neither .csv nor .parquet", "name it so, or add --format csv"
        ) from error


def _export(state: Path | None, output: Path, form: Format, question: dict[str, Any]) -> int:
    from coordinator.cli.commands import connect
    from coordinator.export.frames import read, within

    with connect(state, _READ_TIMEOUT_S) as client:
        extent = client.get("observations/extent", **question)
        if not extent["messages"]:
            _check_known(client, site=question["site"], gateway=question["gateway"])
        count = 0
        with _writer(output, form, question["subject"], extent["columns"]) as writer:
            frames = read(client.stream("observations", **question))
            for frame in _shown(frames, extent["messages"]):
                table = within(frame.table, question["since"], question["until"])
                writer.write(frame.site, frame.gateway, table)
                count += len(table["t"])
    return count


@contextmanager
def _writer(output: Path, form: Format, subject: str, columns: dict[str, str]) -> Iterator[Any]:
    """A writer into `output`."""
    from coordinator.export.destination import opened
    from coordinator.export.writers import CsvWriter, ParquetWriter, ordered

    if str(output) == "-" and form is not Format.CSV:
        raise Misconfigured("only CSV goes to the output", "name a .parquet file")
    wanted = ordered(_KINDS[subject], columns)
    with opened(output) as stream:
        writer = CsvWriter(stream, list(wanted)) if form is Format.CSV else ParquetWriter(stream, wanted)
        try:
            yield writer
        finally:
            writer.close()


def _check_known(client: Client, **named: str | None) -> None:
    """Raise Misconfigured for a site or a gateway that nobody knows; one that only told nothing is fine."""
    found = client.get("gateways")
    for what, name in named.items():
        known = sorted({gateway[what] for gateway in found if gateway[what]})
        if name is not None and name not in known:
            listed = ", ".join(known[:_MOST_NAMED]) + (", …" if len(known) > _MOST_NAMED else "")
            raise Misconfigured(f"{what} {name!r} is not known", f"name one of: {listed or '(none yet)'}")


def _shown(frames: Iterator[Any], total: int) -> Iterator[Any]:
    """The frames, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return iter(
        track(frames, "exporting", total, console=console, transient=True, disable=not console.is_terminal)
    )
