"""The provisioner's side of provisioning, as a state machine without I/O (5.4.2).

    invite ── capabilities ── choose ── public keys ── (value entered or shown) ── confirmations ── randoms
    ── authenticated ── distribute ── complete

Its holder sends what `Send` holds, passes what arrives to `receive`, and answers the steps that ask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeAlias

from common.errors import Rejected, RejectReason
from firmware_bridge.provisioning import oob, pdus
from firmware_bridge.provisioning.oob import Randomness
from firmware_bridge.provisioning.pdus import Capabilities, Choice, Method
from firmware_bridge.provisioning.security import Agreement, KeyPair, NetworkData, Session, same

PATIENCE_S: Final = 60.0
"""How long the other side may take for its next PDU (5.4.4)."""


@dataclass(frozen=True, slots=True)
class Send:
    """A provisioning PDU for the other side."""

    pdu: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Capable:
    """What the device can do: answer with `choose`."""

    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Enter:
    """The device shows a value: answer with `entered`."""

    choice: Choice


@dataclass(frozen=True, slots=True)
class Show:
    """Somebody has to enter this value on the device."""

    choice: Choice
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The device proved what was chosen: keep its key, then answer with `distribute`. A node whose key is
    lost has to be reset by hand."""

    device_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The device is a node now."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It is over. `code` is the device's error (see `pdus.error_name`), None where this side gave up."""

    reason: RejectReason
    detail: str
    code: int | None = None


Step: TypeAlias = "Send | Capable | Enter | Show | Authenticated | Provisioned | Refused"


class _State(Enum):
    NEW = auto()
    INVITED = auto()
    CHOOSING = auto()
    KEY = auto()
    ENTERING = auto()
    SHOWN = auto()
    CONFIRMATION = auto()
    RANDOM = auto()
    AUTHENTICATED = auto()
    DISTRIBUTED = auto()
    OVER = auto()


class Provisioner:
    """Makes one device a node (5.4.2). Key pair and randomness are fresh for each attempt.

    `static` is the device's static value, `device_public_key` its public key where that is known otherwise.
    """

    def __init__(
        self,
        keys: KeyPair,
        randomness: Randomness,
        *,
        static: bytes | None = None,
        device_public_key: bytes | None = None,
        attention_s: int = 0,
    ) -> None:
        self._keys = keys
        self._randomness = randomness
        self._static = static
        self._device_key_known = device_public_key
        self._invite = pdus.Invite(attention_s)
        self._state = _State.NEW
        self._choice = Choice()
        self._inputs = b""
        self._agreement: Agreement
        self._session: Session
        self._authentication = b""
        self._random = self._confirmation = self._device_confirmation = b""

    def __repr__(self) -> str:
        return f"Provisioner({self._state.name.lower()})"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._state is _State.OVER

    def begin(self) -> list[Step]:
        """Invite the device (5.4.2.1)."""
        self._state = _State.INVITED
        return [self._noted(self._invite)]

    def choose(self, choice: Choice) -> list[Step]:
        """Answer `Capable` (5.4.2.2). The public key goes with it (5.4.2.3)."""
        self._expect(_State.CHOOSING)
        self._choice = choice
        steps = [self._noted(choice), self._noted(pdus.PublicKey(self._keys.public))]
        self._state = _State.KEY
        if choice.public_key_oob:
            if self._device_key_known is None:
                raise ValueError("the device's public key is not known")
            return [*steps, *self._agree(self._device_key_known)]
        return steps

    def entered(self, value: str) -> list[Step]:
        """Answer `Enter` (5.4.2.4). Raises Rejected(INVALID) for what cannot be it; try again."""
        self._expect(_State.ENTERING)
        self._authentication = oob.authentication(self._choice, value)
        return self._confirm()

    def distribute(self, data: NetworkData) -> list[Step]:
        """Answer `Authenticated` (5.4.2.5)."""
        self._expect(_State.AUTHENTICATED)
        self._state = _State.DISTRIBUTED
        return [Send(pdus.build(pdus.Data(self._session.seal(data.to_wire()))))]

    def receive(self, data: bytes) -> list[Step]:
        """What a provisioning PDU of the device leads to. Whatever breaks the protocol ends it (5.4.4)."""
        if self._state is _State.OVER:
            return []
        try:
            return self._take(pdus.parse(data))
        except Rejected as error:
            return self._end(error.reason, error.detail)

    def _take(self, pdu: pdus.Pdu) -> list[Step]:
        match self._state, pdu:
            case _, pdus.Failed(code):
                told = f"the device gave up: {pdus.error_name(code)}"
                return self._end(RejectReason.REFUSED_BY_NODE, told, code)
            case _State.INVITED, Capabilities():
                self._state = _State.CHOOSING
                self._inputs += pdus.build(pdu)[1:]
                return [Capable(pdu)]
            case _State.KEY, pdus.PublicKey(key) if not self._choice.public_key_oob:
                return self._agree(key)
            case _State.SHOWN, pdus.InputComplete():
                return self._confirm()
            case _State.CONFIRMATION, pdus.Confirmation(value):
                return self._confirmed(value)
            case _State.RANDOM, pdus.Random(value):
                return self._verified(value)
            case _State.DISTRIBUTED, pdus.Complete():
                self._state = _State.OVER
                return [Provisioned()]
        told = f"{type(pdu).__name__} while {self._state.name.lower()}"
        return self._end(RejectReason.INVALID, f"the device breaks the protocol: {told}")

    def _agree(self, key: bytes) -> list[Step]:
        secret = self._keys.shared_secret(key)
        self._agreement = Agreement(self._choice.algorithm, secret, self._inputs + key)
        self._random = self._randomness(self._agreement.size)
        match self._choice.method:
            case Method.OUTPUT:
                self._state = _State.ENTERING
                return [Enter(self._choice)]
            case Method.INPUT:
                self._state = _State.SHOWN
                value = oob.fresh(self._choice, self._randomness)
                self._authentication = oob.authentication(self._choice, value)
                return [Show(self._choice, value)]
            case _:
                self._authentication = oob.authentication(self._choice, self._static or b"")
                return self._confirm()

    def _confirm(self) -> list[Step]:
        self._state = _State.CONFIRMATION
        self._confirmation = self._agreement.confirmation(self._random, self._authentication)
        return [Send(pdus.build(pdus.Confirmation(self._confirmation)))]

    def _confirmed(self, value: bytes) -> list[Step]:
        self._check_size(value)
        # Else a device that knows nothing could send our own values back to us (erratum 16350).
        if same(value, self._confirmation):
            raise Rejected(RejectReason.REPLAYED, "the device sent our own confirmation back")
        self._device_confirmation = value
        self._state = _State.RANDOM
        return [Send(pdus.build(pdus.Random(self._random)))]

    def _verified(self, value: bytes) -> list[Step]:
        self._check_size(value)
        if same(value, self._random):
            raise Rejected(RejectReason.REPLAYED, "the device sent our own random value back")
        expected = self._agreement.confirmation(value, self._authentication)
        if not same(expected, self._device_confirmation):
            raise Rejected(RejectReason.FORGED, "the device does not know the value for its authentication")
        self._session = self._agreement.session(self._random, value)
        self._state = _State.AUTHENTICATED
        return [Authenticated(self._session.device_key)]

    def _check_size(self, value: bytes) -> None:
        if len(value) != self._agreement.size:
            raise Rejected(RejectReason.INVALID, f"{len(value)} bytes are of the other algorithm")

    def _noted(self, pdu: pdus.Pdu) -> Step:
        data = pdus.build(pdu)
        self._inputs += data[1:]
        return Send(data)

    def _end(self, reason: RejectReason, detail: str, code: int | None = None) -> list[Step]:
        self._state = _State.OVER
        return [Refused(reason, detail, code)]

    def _expect(self, state: _State) -> None:
        if self._state is not state:
            raise ValueError(f"not asked for while {self._state.name.lower()}")
