"""What a kind of task is: a name, what it takes and gives, what it costs, and where its code lies.

The description is all that a daemon ever loads. The code runs in worker processes, through `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, TypeAlias

from common.errors import NotSupported, Rejected, RejectReason
from common.record import Declared, Record, ValidationError

MIB: Final = 1 << 20
Blobs: TypeAlias = dict[str, bytes]
Body: TypeAlias = Callable[[Any, Blobs], Blobs]
"""(checked parameters, inputs by name) to outputs by name. Raises Rejected for what it cannot work on."""


class Parameters(Record, strict=True, extra="forbid"):
    """Base of a kind's parameters; this one has none. What is given has the declared type: "10" is no
    number. A class with fields that JSON does not have, such as tuples, says `strict=False`."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run is expected to take; a hint, which runs then correct.

    `cpu_s` is for the reference machine: one core of a small x86 server. `memory_bytes` is what the run adds
    to an idle worker.
    """

    cpu_s: float
    output_bytes: int = 1024
    memory_bytes: int = 32 * MIB


Hint: TypeAlias = Callable[[Any, Mapping[str, int]], Cost]
"""(checked parameters, size in bytes of each input by name) to the expected cost."""


@dataclass(frozen=True, slots=True)
class TaskKind:
    """A kind, as an entry point of the group `meshtwin.tasks` names it.

    The module that holds it is imported by daemons: it must be light, and `code` ("module:function") name
    another one, which only worker processes import.
    """

    name: str
    summary: str
    """One line for people."""
    code: str
    hint: Hint
    parameters: type[Parameters] = Parameters
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Inputs that may be left out."""
    more: bool = False
    """Whether any further inputs are taken, whatever their names."""
    outputs: tuple[str, ...] = ()
    needs: str = field(default="")
    """The extra of meshtwin that its code needs, for people."""

    def checked(self, parameters: Mapping[str, Any]) -> Parameters:
        """Parameters with their defaults. Raises Rejected(OUT_OF_RANGE or INVALID), naming the parameter."""
        try:
            return self.parameters.model_validate(dict(parameters))
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, detail["loc"])) or self.name
            bound = "than" in detail["type"]
            reason = RejectReason.OUT_OF_RANGE if bound else RejectReason.INVALID
            raise Rejected(reason, f"parameter {where} of {self.name}: {_told(detail)}") from error

    def check_inputs(self, names: set[str]) -> None:
        """Raises Rejected: MISSING_INPUT or INVALID."""
        if missing := [name for name in self.inputs if name not in names]:
            raise Rejected(RejectReason.MISSING_INPUT, f"{self.name} lacks the input {missing[0]!r}")
        unknown = sorted(names.difference(self.inputs, self.optional))
        if unknown and not self.more:
            known = ", ".join([*self.inputs, *self.optional]) or "none"
            raise Rejected(RejectReason.INVALID, f"{self.name} has no input {unknown[0]!r}; it has: {known}")

    def cost(self, parameters: Mapping[str, Any], sizes: Mapping[str, int]) -> Cost:
        """What a run on inputs of these sizes is expected to take. Raises Rejected as `checked`."""
        return self.hint(self.checked(parameters), sizes)

    def run(self, parameters: Mapping[str, Any], inputs: Blobs) -> Blobs:
        """Do it, in this process: for workers. Raises Rejected, NotSupported (a package is missing), and
        whatever bugs the code has."""
        self.check_inputs(set(inputs))
        return self.body()(self.checked(parameters), inputs)

    def body(self) -> Body:
        """The code, imported. Raises NotSupported."""
        module, _, name = self.code.partition(":")
        try:
            body: Body = getattr(import_module(module), name)
        except ImportError as error:
            extra = f"; install meshtwin[{self.needs}]" if self.needs else ""
            raise NotSupported(f"{self.name} cannot run here: {error}{extra}") from error
        return body

    def described(self) -> dict[str, Any]:
        """The kind for people and programs."""
        fields = self.parameters.model_fields.items()
        return {
            "kind": self.name,
            "summary": self.summary,
            "inputs": list(self.inputs),
            "optional": [*self.optional, *(["…"] if self.more else [])],
            "outputs": list(self.outputs),
            "needs": self.needs,
            "parameters": {name: _described(declared) for name, declared in fields},
        }


def _told(detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        return "there is no such parameter"
    message = str(detail["msg"])
    return message[:1].lower() + message[1:]


def _described(declared: Declared) -> dict[str, Any]:
    annotation = declared.annotation
    name = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    told: dict[str, Any] = {"type": name.replace("typing.", "")}
    if not declared.is_required():
        told["default"] = declared.default
    return told | {key: value for key, value in (declared.limits or {}).items() if key != "allow_inf_nan"}
