"""The other side of the API: what the command line asks a running coordinator."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from common.errors import MeshtwinError, Rejected, RejectReason, TimedOut, Unavailable


class Client:
    """A connection to the coordinator behind the Unix socket `socket`."""

    def __init__(self, socket: Path, timeout_s: float = 30.0) -> None:
        self._socket = socket
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)),
            base_url="http://coordinator/v1",
            timeout=timeout_s,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, t: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **question: str | int | float | list[int] | None) -> Any:
        """The answer to GET /v1/`path` as plain values; parameters that are None are left out.

        Raises Unavailable (not running), TimedOut, Rejected (unknown site, bad parameter).
        """
        given = {name: value for name, value in question.items() if value is not None}
        try:
            response = self._http.get(path, params=given)
        except httpx.TimeoutException as error:
            raise TimedOut(f"the coordinator does not answer on {self._socket}") from error
        except httpx.TransportError as error:
            raise Unavailable(
                f"no coordinator answers on {self._socket}\n"
                "  fix: start it with `coordinator serve`, or name its folder with --state"
            ) from error
        if response.is_success:
            return response.json()
        raise _error(response)


def _error(response: httpx.Response) -> MeshtwinError:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text
    text = detail if isinstance(detail, str) else json.dumps(detail)
    if response.is_client_error:
        return Rejected(RejectReason.INVALID, text)
    return Unavailable(text)
