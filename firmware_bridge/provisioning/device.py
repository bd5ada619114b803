"""The device's side of provisioning, as a state machine without I/O (5.4.2): for virtual nodes, and as the
provisioner's counterpart in tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from common.errors import Rejected, RejectReason
from firmware_bridge.provisioning import oob, pdus
from firmware_bridge.provisioning.attempts import Attempts
from firmware_bridge.provisioning.oob import Randomness
from firmware_bridge.provisioning.pdus import Capabilities, Choice, ErrorCode, Method
from firmware_bridge.provisioning.provisioner import Enter, Refused, Send, Show
from firmware_bridge.provisioning.security import Agreement, KeyPair, NetworkData, Session, same


@dataclass(frozen=True, slots=True)
class Attention:
    """Draw attention for so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Joined:
    """This device is a node now; its primary element has `data.address`."""

    data: NetworkData
    device_key: bytes = field(repr=False)


DeviceStep: TypeAlias = "Send | Attention | Enter | Show | Joined | Refused"


class _State(Enum):
    NEW = auto()
    INVITED = auto()
    STARTED = auto()
    ENTERING = auto()
    AGREED = auto()
    CONFIRMED = auto()
    DATA = auto()
    OVER = auto()


_ERRORS = {
    RejectReason.UNKNOWN_KIND: ErrorCode.INVALID_PDU,
    RejectReason.TRUNCATED: ErrorCode.INVALID_FORMAT,
    RejectReason.FORGED: ErrorCode.CONFIRMATION_FAILED,
    RejectReason.ALTERED: ErrorCode.DECRYPTION_FAILED,
    RejectReason.OUT_OF_RANGE: ErrorCode.INVALID_DATA,
    RejectReason.EXPIRED: ErrorCode.OUT_OF_RESOURCES,
    RejectReason.REPLAYED: ErrorCode.INVALID_FORMAT,
}


class Device:
    """One attempt of one device (5.4.2). `attempts` outlives it, and bounds how often a value is guessed."""

    def __init__(
        self,
        capabilities: Capabilities,
        keys: KeyPair,
        randomness: Randomness,
        attempts: Attempts,
        *,
        static: bytes | None = None,
    ) -> None:
        self._capabilities = capabilities
        self._keys = keys
        self._randomness = randomness
        self._attempts = attempts
        self._static = static
        self._state = _State.NEW
        self._choice = Choice()
        self._inputs = b""
        self._agreement: Agreement
        self._session: Session
        self._authentication = b""
        self._provisioner_confirmation: bytes | None = None
        self._random = b""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._state is _State.OVER

    def entered(self, value: str) -> list[DeviceStep]:
        """Answer `Enter` (5.4.2.4): the value was entered on this device. Raises Rejected(INVALID)."""
        if self._state is not _State.ENTERING:
            raise ValueError("not asked for")
        self._authentication = oob.authentication(self._choice, value)
        self._state = _State.AGREED
        return [Send(pdus.build(pdus.InputComplete()))]

    def receive(self, data: bytes, now: float) -> list[DeviceStep]:
        """What a provisioning PDU of the provisioner leads to. What breaks the protocol is answered by a
        Failed PDU and ends the attempt (5.4.4)."""
        if self._state is _State.OVER:
            return []
        try:
            return self._take(pdus.parse(data), data[1:], now)
        except Rejected as error:
            code = _ERRORS.get(error.reason, ErrorCode.INVALID_FORMAT)
            return self._fail(code, error.reason, error.detail)

    def _take(self, pdu: pdus.Pdu, parameters: bytes, now: float) -> list[DeviceStep]:
        match self._state, pdu:
            case _State.NEW, pdus.Invite(attention_s):
                self._attempts.check(now)
                self._state = _State.INVITED
                answer = pdus.build(self._capabilities)
                self._inputs = parameters + answer[1:]
                return [Attention(attention_s), Send(answer)]
            case _State.INVITED, Choice():
                self._start(pdu)
                self._inputs += parameters
                return []
            case _State.STARTED, pdus.PublicKey(key):
                return self._agree(key)
            case _State.AGREED, pdus.Confirmation(value) if self._provisioner_confirmation is None:
                return self._confirm(value)
            case _State.CONFIRMED, pdus.Random(value):
                return self._verify(value, now)
            case _State.DATA, pdus.Data(sealed):
                return self._join(sealed)
        told = f"{type(pdu).__name__} while {self._state.name.lower()}"
        return self._fail(ErrorCode.UNEXPECTED_PDU, RejectReason.INVALID, told)

    def _start(self, choice: Choice) -> None:
        """Take what the provisioner chose, where it is among what was offered (5.4.2.2)."""
        said = self._capabilities
        allowed = {
            Method.NONE: not said.oob_only,
            Method.STATIC: said.static_oob,
            Method.OUTPUT: bool(said.output_actions >> choice.action & 1) and choice.size <= said.output_size,
            Method.INPUT: bool(said.input_actions >> choice.action & 1) and choice.size <= said.input_size,
        }
        if not said.can(choice.algorithm) or choice.public_key_oob or not allowed[choice.method]:
            raise Rejected(RejectReason.INVALID, "the provisioner chose what was not offered")
        self._choice = choice
        self._state = _State.STARTED

    def _agree(self, key: bytes) -> list[DeviceStep]:
        secret = self._keys.shared_secret(key)
        inputs = self._inputs + key + self._keys.public
        self._agreement = Agreement(self._choice.algorithm, secret, inputs)
        self._state = _State.AGREED
        steps: list[DeviceStep] = [Send(pdus.build(pdus.PublicKey(self._keys.public)))]
        if self._choice.method is Method.INPUT:
            self._state = _State.ENTERING
            return [*steps, Enter(self._choice)]
        if self._choice.method is Method.OUTPUT:
            value = oob.fresh(self._choice, self._randomness)
            self._authentication = oob.authentication(self._choice, value)
            return [*steps, Show(self._choice, value)]
        self._authentication = oob.authentication(self._choice, self._static or b"")
        return steps

    def _confirm(self, value: bytes) -> list[DeviceStep]:
        self._check_size(value)
        self._random = self._randomness(self._agreement.size)
        mine = self._agreement.confirmation(self._random, self._authentication)
        self._provisioner_confirmation = value
        self._state = _State.CONFIRMED
        return [Send(pdus.build(pdus.Confirmation(mine)))]

    def _verify(self, value: bytes, now: float) -> list[DeviceStep]:
        """Show the own random value only to who proved its own (5.4.2.4)."""
        self._check_size(value)
        expected = self._agreement.confirmation(value, self._authentication)
        if not same(expected, self._provisioner_confirmation or b""):
            self._attempts.failed(now)
            raise Rejected(RejectReason.FORGED, "the provisioner does not know the authentication value")
        self._attempts.passed()
        self._session = self._agreement.session(value, self._random)
        self._state = _State.DATA
        return [Send(pdus.build(pdus.Random(self._random)))]

    def _join(self, sealed: bytes) -> list[DeviceStep]:
        plain = self._session.open(sealed)
        if plain is None:
            raise Rejected(RejectReason.ALTERED, "the provisioning data was not sealed in this session")
        data = NetworkData.from_wire(plain)
        if data.address + self._capabilities.elements - 1 > 0x7FFF:
            raise Rejected(RejectReason.OUT_OF_RANGE, "there is no room for all elements")
        self._state = _State.OVER
        return [Send(pdus.build(pdus.Complete())), Joined(data, self._session.device_key)]

    def _check_size(self, value: bytes) -> None:
        if len(value) != self._agreement.size:
            raise Rejected(RejectReason.INVALID, f"{len(value)} bytes are of the other algorithm")

    def _fail(self, code: ErrorCode, reason: RejectReason, detail: str) -> list[DeviceStep]:
        self._state = _State.OVER
        return [Send(pdus.build(pdus.Failed(code))), Refused(reason, detail, code)]
