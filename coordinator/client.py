"""The other side of the API: what the command line asks a running coordinator.

On the standard library: a command should answer at once, and an HTTP library takes longer to import than
the question takes.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote, urlencode

from common.errors import Corrupt, MeshtwinError, Rejected, RejectReason, TimedOut, Unavailable

PIECE_BYTES: Final = 1 << 18


class Client:
    """A connection to the coordinator behind the Unix socket at `path`; made with the first question."""

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        self._path = path
        self._http = _UnixConnection(path, timeout_s)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **question: str | int | float | list[int] | None) -> Any:
        """The answer to GET /v1/`path` as plain values; parameters that are None are left out.

        Raises Unavailable (not running), TimedOut, Rejected (unknown site, bad parameter), Corrupt.
        """
        given = {name: value for name, value in question.items() if value is not None}
        return self._answer("GET", f"/v1/{quote(path)}?{urlencode(given, doseq=True)}")

    def post(self, path: str, **said: Any) -> Any:
        """The answer to POST /v1/`path` with `said` as its JSON body. Raises as `get`."""
        return self._answer("POST", f"/v1/{quote(path)}", json.dumps(said))

    def delete(self, path: str) -> Any:
        """The answer to DELETE /v1/`path`. Raises as `get`."""
        return self._answer("DELETE", f"/v1/{quote(path)}")

    def _answer(self, method: str, target: str, body: str | None = None) -> Any:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._http.request(method, target, body, headers)
            response = self._http.getresponse()
            answer = json.loads(response.read())
        except TimeoutError as error:
            raise TimedOut(f"the coordinator does not answer on {self._path}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(
                f"no coordinator answers on {self._path}\n"
                "  fix: start it with `coordinator serve`, or name its folder with --state"
            ) from error
        if response.status != http.client.OK:
            raise _error(response.status, answer)
        return answer

    def stream(self, path: str, **question: str | int | float | None) -> Iterator[bytes]:
        """The bytes that answer GET /v1/`path`, piece by piece, for an answer too long to hold.

        Raises as `get` does, also in the middle, when the coordinator goes away.
        """
        given = {name: value for name, value in question.items() if value is not None}
        try:
            self._http.request("GET", f"/v1/{quote(path)}?{urlencode(given)}")
            response = self._http.getresponse()
            if response.status != http.client.OK:
                raise _error(response.status, json.loads(response.read()))
            while piece := response.read1(PIECE_BYTES):
                yield piece
        except TimeoutError as error:
            raise TimedOut(f"the coordinator does not answer on {self._path}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(f"the coordinator's answer broke off: {error}") from error


_REASONS: Final = frozenset(RejectReason)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("coordinator", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(str(self._path))
        except BaseException:
            self.close()
            raise


def _error(status: int, answer: Any) -> MeshtwinError:
    detail = answer.get("detail") if isinstance(answer, dict) else answer
    text = detail if isinstance(detail, str) else json.dumps(detail)
    if isinstance(answer, dict) and answer.get("error") == Corrupt.__name__:
        return Corrupt(text)
    reason, _, said = text.partition(": ")
    if reason in _REASONS:
        return Rejected(RejectReason(reason), said)
    if 400 <= status < 500:
        return Rejected(RejectReason.INVALID, text)
    return Unavailable(text)
