"""Carries files between the operator's folders and the agent's store, in pieces over its socket. Blocking,
for the command line."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import IO, Any, Final

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from common.errors import Corrupt, Misconfigured, Rejected
from common.models.metadata import MAX_BUNDLE_BYTES
from common.taskgraph.graph import MAX_BLOB_BYTES, MAX_GRAPH_BYTES, parse
from edge_agent.client import ask
from edge_agent.tasks.cost_model import prepare
from edge_agent.tasks.desk import PIECE_BYTES

ASK_S: Final = 30.0
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")


def submit(socket: Path, file: Path, quiet: bool = False) -> dict[str, Any]:
    """Send the files that a graph names, then the graph; what the agent tells of the job.

    Raises Misconfigured (a file that is not there, a graph that can never be done), Unavailable (the agent
    takes none now).
    """
    try:
        return _submitted(socket, file, quiet)
    except Rejected as error:
        raise Misconfigured(f"{file}: {error.detail}", "edit the graph") from error


def _submitted(socket: Path, file: Path, quiet: bool) -> dict[str, Any]:
    graph = parse(_read(file, MAX_GRAPH_BYTES))
    paths = {name: file.parent / name for name in graph.files()}
    for path in paths.values():
        _check(path)
    with _progress(quiet or not paths) as progress:
        digests = {name: _sent(socket, path, progress) for name, path in paths.items()}
    document = graph.with_blobs(digests).packed()
    return dict(
        ask(socket, "tasks-submit", ASK_S, graph=_sent_bytes(socket, document), token=secrets.token_hex(6))
    )


def fetch(socket: Path, job: str, folder: Path, every: bool = False, quiet: bool = False) -> list[str]:
    """Write a job's outputs below `folder`, as `<task>.<output>`; the paths.

    Of the tasks whose outputs no other takes; with `every`, of all. Raises Misconfigured, Corrupt, and what
    the agent refuses, such as outputs that made room for others'.
    """
    told = ask(socket, "tasks-show", ASK_S, job=job)
    wanted = set(told["results"])
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"{folder} cannot be made: {error.strerror}", "name another folder") from error
    with _progress(quiet) as progress:
        for row in told["task_rows"]:
            for name, output in row.get("outputs", {}).items() if every or row["task"] in wanted else ():
                path = folder / _UNSAFE.sub("_", f"{row['task']}.{name}")
                _fetched(socket, output["digest"], path, progress)
                written.append(str(path))
    return written


def _sent(socket: Path, path: Path, progress: Progress) -> str:
    with path.open("rb") as file:
        bar = progress.add_task(path.name, total=os.fstat(file.fileno()).st_size)
        return _pieces(socket, file, lambda count: progress.advance(bar, count))


def _sent_bytes(socket: Path, data: bytes) -> str:
    import io

    return _pieces(socket, io.BytesIO(data), lambda count: None)


def _pieces(socket: Path, file: IO[bytes], advance: Any) -> str:
    upload: str | None = None
    piece = file.read(PIECE_BYTES)
    while True:
        following = file.read(PIECE_BYTES)
        answer = ask(
            socket,
            "tasks-put",
            ASK_S,
            upload=upload,
            data=b64encode(piece).decode(),
            last=not following,
        )
        advance(len(piece))
        if not following:
            return str(answer["digest"])
        upload, piece = answer["upload"], following


def _fetched(socket: Path, digest: str, path: Path, progress: Progress) -> None:
    hasher, offset, size = hashlib.sha256(), 0, 1
    bar = progress.add_task(path.name, total=None)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            while offset < size:
                answer = ask(socket, "tasks-get", ASK_S, digest=digest, offset=offset)
                data, size = b64decode(answer["data"]), int(answer["size"])
                if not data and size:
                    raise Corrupt(f"{path.name} ends early")
                hasher.update(data)
                file.write(data)
                offset += len(data)
                progress.update(bar, total=size, completed=offset)
        if hasher.hexdigest() != digest:
            raise Corrupt(f"{path.name} is damaged in the agent's store")
        fresh.replace(path)
    except OSError as error:
        raise Misconfigured(f"{path} cannot be written: {error.strerror}", "name another folder") from error
    finally:
        fresh.unlink(missing_ok=True)


def use_costs(socket: Path, file: Path) -> dict[str, Any]:
    """Have the agent follow the cost model in `file`. It is tried here first: a broken one could crash
    whoever loads it. Raises Misconfigured, Rejected, NotSupported."""
    bundle = _read(file, MAX_BUNDLE_BYTES)
    prepare(bundle)
    return dict(ask(socket, "tasks-use-costs", ASK_S, digest=_sent_bytes(socket, bundle)))


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}", "name the graph's file") from error


def _check(path: Path) -> None:
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MAX_BLOB_BYTES:
            raise Misconfigured(
                f"{path} is no file of at most {MAX_BLOB_BYTES >> 20} MiB", "name another file in the graph"
            )
        path.open("rb").close()
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be read: {error.strerror}", "paths are relative to the graph's file"
        ) from error


def _progress(quiet: bool) -> Progress:
    from rich.console import Console

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet)
