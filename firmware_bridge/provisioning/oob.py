"""Out-of-band authentication: which way to choose, and the value that both sides then know (5.4.2.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from common.errors import NotSupported, Rejected, RejectReason
from firmware_bridge.provisioning.pdus import (
    Algorithm,
    Capabilities,
    Choice,
    InputAction,
    Method,
    OutputAction,
)

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Of values in letters and digits (5.4.2.4)."""

MAX_STATIC_BYTES: Final = 32
_COUNTED: Final = {
    Method.OUTPUT: (OutputAction.BLINK, OutputAction.BEEP, OutputAction.VIBRATE),
    Method.INPUT: (InputAction.PUSH, InputAction.TWIST),
}
_TEXT: Final = {Method.OUTPUT: OutputAction.TEXT, Method.INPUT: InputAction.TEXT}

Randomness = Callable[[int], bytes]
"""So many random bytes."""


def choose(said: Capabilities, *, static: bool, interactive: bool, method: Method | None = None) -> Choice:
    """The strongest way that the device and this side have (5.4.2.4).

    `static` says that its static value is at hand, `interactive` that somebody can read and enter values.
    `method` insists on one. Raises NotSupported: a device that can do less than is asked is not taken on
    weaker terms, as that is what somebody in between would make it say.
    """
    algorithm = Algorithm.HMAC_SHA256 if said.can(Algorithm.HMAC_SHA256) else Algorithm.CMAC_AES128
    if not said.can(algorithm):
        raise NotSupported("the device knows none of the provisioning algorithms known here")
    ways = {
        Method.STATIC: static and said.static_oob,
        Method.OUTPUT: interactive and bool(said.output_actions),
        Method.INPUT: interactive and bool(said.input_actions),
        Method.NONE: not said.oob_only,
    }
    wanted = method if method is not None else Method.STATIC if static else None
    found = wanted if wanted is not None else next((way for way, there in ways.items() if there), None)
    if found is None or not ways[found]:
        told = "authenticated in any way that can be used here" if found is None else _LACKS[found]
        raise NotSupported(f"the device cannot be {told}")
    action, size = _by_hand(said, found)
    return Choice(algorithm, False, found, action, size)


_LACKS: Final = {
    Method.NONE: "provisioned without out-of-band authentication",
    Method.STATIC: "authenticated by a static value",
    Method.OUTPUT: "authenticated by a value that it shows",
    Method.INPUT: "authenticated by a value that is entered on it",
}


def _by_hand(said: Capabilities, method: Method) -> tuple[int, int]:
    """The action with the most possible values, and the largest size."""
    if method is Method.OUTPUT:
        return said.output_actions.bit_length() - 1, said.output_size
    if method is Method.INPUT:
        return said.input_actions.bit_length() - 1, said.input_size
    return 0, 0


def fresh(choice: Choice, randomness: Randomness) -> str:
    """A random value for output or input, as people read it: digits, or letters and digits (5.4.2.4).

    What is counted (blinks, pushes) starts at one.
    """
    if _TEXT.get(choice.method) == choice.action:
        return "".join(ALPHABET[_below(len(ALPHABET), randomness)] for _ in range(choice.size))
    if choice.action in _COUNTED[choice.method]:
        return str(1 + _below(10**choice.size - 1, randomness))
    return str(_below(10**choice.size, randomness)).zfill(choice.size)


def _below(limit: int, randomness: Randomness) -> int:
    # 64 bits more than needed leave no value noticeably more likely.
    return int.from_bytes(randomness(16), "big") % limit


def authentication(choice: Choice, value: str | bytes) -> bytes:
    """AuthValue, 16 or 32 bytes by algorithm (5.4.2.4): from what was read or entered, or the static bytes.

    Raises Rejected(INVALID) for a value that the chosen way cannot have; it is not repeated.
    """
    size = 16 if choice.algorithm is Algorithm.CMAC_AES128 else 32
    if choice.method is Method.NONE:
        return bytes(size)
    if choice.method is Method.STATIC:
        if not isinstance(value, bytes) or not 0 < len(value) <= MAX_STATIC_BYTES:
            raise Rejected(RejectReason.INVALID, f"a static value has 1 to {MAX_STATIC_BYTES} bytes")
        return value[:size].ljust(size, b"\0")
    if not isinstance(value, str):
        raise Rejected(RejectReason.INVALID, "a value to be entered is text")
    if _TEXT[choice.method] == choice.action:
        text = value.strip().upper()
        if not 0 < len(text) <= choice.size or any(letter not in ALPHABET for letter in text):
            raise Rejected(RejectReason.INVALID, f"at most {choice.size} letters and digits are wanted")
        return text.encode().ljust(size, b"\0")
    digits = value.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > choice.size:
        raise Rejected(RejectReason.INVALID, f"a number of at most {choice.size} digits is wanted")
    return int(digits).to_bytes(size, "big")
