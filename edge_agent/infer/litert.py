"""LiteRT through its C interface (litert/c/*.h): no numpy, so that a model costs a gateway 7 MiB and not 25.

The C interface changes between releases without a sign in its symbols, so only releases that were tested are
called this way; `numpy_runtime` serves the others.
"""

from __future__ import annotations

import ctypes
import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ctypes import Structure, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import IO, Any, Final

from common.errors import NotSupported, Rejected, RejectReason

TESTED: Final = ("2.3.",)
"""Beginnings of the versions whose C interface is the one below."""

LIBRARY: Final = "libLiteRt.so"
MAX_VALUES: Final = 4096

_CPU: Final = 1
_ERRORS_ONLY: Final = 3
_AUTO_REGISTER, _MIN_SEVERITY = 24, 25
_ANY_INT: Final = 2
_FLOAT32: Final = 1
_HOST_MEMORY: Final = 1
_READ, _WRITE = 1, 2


class _Option(Structure):
    """An environment's option whose value is a whole number."""

    _fields_ = [("tag", c_int), ("gap", c_int), ("kind", c_int), ("value", c_int64)]


class _Layout(Structure):
    _fields_ = [
        ("rank", c_uint32, 7),
        ("has_strides", c_uint32, 1),
        ("dimensions", c_int32 * 8),
        ("strides", c_uint32 * 8),
    ]


class _TensorType(Structure):
    _fields_ = [("element", c_int), ("layout", _Layout)]


# Arguments of what is called; all but the destructors return a status, 0 when well.
_CALLS: Final[dict[str, list[Any]]] = {
    "CreateEnvironment": [c_int, c_void_p, c_void_p],
    "CreateModelFromBuffer": [c_void_p, c_char_p, c_size_t, c_void_p],
    "CreateOptions": [c_void_p],
    "SetOptionsHardwareAccelerators": [c_void_p, c_int],
    "CreateCompiledModel": [c_void_p, c_void_p, c_void_p, c_void_p],
    "GetNumModelSubgraphs": [c_void_p, c_void_p],
    "GetModelSubgraph": [c_void_p, c_size_t, c_void_p],
    "GetNumSubgraphInputs": [c_void_p, c_void_p],
    "GetNumSubgraphOutputs": [c_void_p, c_void_p],
    "GetSubgraphInput": [c_void_p, c_size_t, c_void_p],
    "GetSubgraphOutput": [c_void_p, c_size_t, c_void_p],
    "GetRankedTensorType": [c_void_p, c_void_p],
    "CompiledModelResizeInputTensor": [c_void_p, c_size_t, c_size_t, c_void_p, c_size_t],
    "GetCompiledModelOutputTensorLayouts": [c_void_p, c_size_t, c_size_t, c_void_p, ctypes.c_bool],
    "CreateManagedTensorBuffer": [c_void_p, c_int, c_void_p, c_size_t, c_void_p],
    "LockTensorBuffer": [c_void_p, c_void_p, c_int],
    "UnlockTensorBuffer": [c_void_p],
    "RunCompiledModel": [c_void_p, c_size_t, c_size_t, c_void_p, c_size_t, c_void_p],
    "DestroyTensorBuffer": [c_void_p],
    "DestroyCompiledModel": [c_void_p],
    "DestroyOptions": [c_void_p],
    "DestroyModel": [c_void_p],
    "DestroyEnvironment": [c_void_p],
}


class LiteRt:
    """A model compiled for the CPU. `run` takes and gives rows one behind the other.

    Raises NotSupported where no tested LiteRT is installed, Rejected(MALFORMED) for what it refuses.
    """

    def __init__(self, model: bytes) -> None:
        self._made: list[tuple[str, c_void_p]] = []
        self._buffers: list[c_void_p] = []
        self._rows = 0
        self._calls = _library()
        # LiteRT reads from these bytes for as long as the model lives.
        self._content = model
        self._environment = self._make_environment()
        self._model = self._make("Model", "CreateModelFromBuffer", self._environment, model, len(model))
        self.inputs, self.outputs = self._width("Input"), self._width("Output")
        options = self._make("Options", "CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, _CPU)
        with _without_small_talk():
            self._compiled = self._make(
                "CompiledModel", "CreateCompiledModel", self._environment, self._model, options
            )

    def run(self, values: array[float], rows: int) -> array[float]:
        """`rows` times `inputs` values in, `rows` times `outputs` out. Raises Rejected(WRONG_OUTPUT)."""
        try:
            self._resize(rows)
            given, made = self._buffers
            ctypes.memmove(self._lock(given, _WRITE), values.buffer_info()[0], 4 * rows * self.inputs)
            self._call("UnlockTensorBuffer", given)
            self._call("RunCompiledModel", self._compiled, 0, 1, byref(given), 1, byref(made))
            found = array("f", ctypes.string_at(self._lock(made, _READ), 4 * rows * self.outputs))
            self._call("UnlockTensorBuffer", made)
        except Rejected as error:
            raise Rejected(RejectReason.WRONG_OUTPUT, error.detail) from error
        return found

    def __del__(self) -> None:
        self._free_buffers()
        while self._made:
            kind, thing = self._made.pop()
            getattr(self._calls, f"LiteRtDestroy{kind}")(thing)

    def _make_environment(self) -> c_void_p:
        # No other accelerators: LiteRT would look for, and load, every GPU library that it can find.
        options = (_Option * 2)(
            _Option(_AUTO_REGISTER, 0, _ANY_INT, _CPU), _Option(_MIN_SEVERITY, 0, _ANY_INT, _ERRORS_ONLY)
        )
        return self._make("Environment", "CreateEnvironment", len(options), options)

    def _make(self, kind: str, creator: str, *arguments: Any) -> c_void_p:
        """Call a creator, and remember to destroy what it made."""
        made = c_void_p()
        self._call(creator, *arguments, byref(made))
        self._made.append((kind, made))
        return made

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._calls, f"LiteRt{name}")(*arguments)
        if status:
            raise Rejected(RejectReason.MALFORMED, f"LiteRT: {name} failed with status {status}")

    def _width(self, side: str) -> int:
        """Row length of the model's only input or output."""
        count, graph, tensor, found = c_size_t(), c_void_p(), c_void_p(), _TensorType()
        self._call("GetNumModelSubgraphs", self._model, byref(count))
        if count.value != 1:
            raise Rejected(RejectReason.MALFORMED, f"a model of {count.value} graphs")
        self._call("GetModelSubgraph", self._model, 0, byref(graph))
        self._call(f"GetNumSubgraph{side}s", graph, byref(count))
        if count.value != 1:
            raise Rejected(RejectReason.MALFORMED, f"{count.value} tensors as {side.lower()}")
        self._call(f"GetSubgraph{side}", graph, 0, byref(tensor))
        self._call("GetRankedTensorType", tensor, byref(found))
        shape = list(found.layout.dimensions[: found.layout.rank])
        if found.element != _FLOAT32 or len(shape) != 2 or not 0 < shape[1] <= MAX_VALUES:
            raise Rejected(RejectReason.MALFORMED, f"{side.lower()} of shape {shape}, type {found.element}")
        return int(shape[1])

    def _resize(self, rows: int) -> None:
        if rows == self._rows:
            return
        self._free_buffers()
        shape = (c_int * 2)(rows, self.inputs)
        self._call("CompiledModelResizeInputTensor", self._compiled, 0, 0, shape, 2)
        layout = _Layout()
        self._call("GetCompiledModelOutputTensorLayouts", self._compiled, 0, 1, byref(layout), True)
        if list(layout.dimensions[: layout.rank]) != [rows, self.outputs]:
            raise Rejected(RejectReason.WRONG_OUTPUT, f"{rows} rows give another number of outputs")
        for width in (self.inputs, self.outputs):
            self._buffers.append(self._buffer(rows, width))
        self._rows = rows

    def _buffer(self, rows: int, width: int) -> c_void_p:
        kind = _TensorType(_FLOAT32, _Layout(2, 0, (c_int32 * 8)(rows, width)))
        made = c_void_p()
        size = 4 * rows * width
        self._call(
            "CreateManagedTensorBuffer", self._environment, _HOST_MEMORY, byref(kind), size, byref(made)
        )
        return made

    def _free_buffers(self) -> None:
        self._rows = 0
        while self._buffers:
            self._calls.LiteRtDestroyTensorBuffer(self._buffers.pop())

    def _lock(self, buffer: c_void_p, how: int) -> c_void_p:
        place = c_void_p()
        self._call("LockTensorBuffer", buffer, byref(place), how)
        return place


_STDERR: Final = 2
_SMALL_TALK: Final = b"INFO: "
_lending = Lock()


@contextmanager
def _without_small_talk() -> Iterator[None]:
    """Keep the line about its delegate, which no severity and no variable silences, out of the agent's log.

    It is written to the file descriptor itself, so that is lent out; whatever else comes meanwhile, also of
    other threads, is written behind. Without free descriptors the line stays.
    """
    with _lending, ExitStack() as stack:
        try:
            real = os.dup(_STDERR)
            stack.callback(os.close, real)
            lent = stack.enter_context(os.fdopen(os.memfd_create("stderr"), "r+b"))
            os.dup2(lent.fileno(), _STDERR)
            stack.callback(_give_back, real, lent)
        except OSError:
            pass
        yield


def _give_back(real: int, lent: IO[bytes]) -> None:
    os.dup2(real, _STDERR)
    lent.seek(0)
    for line in lent:
        if not line.startswith(_SMALL_TALK):
            with suppress(OSError):
                os.write(real, line)


_loaded: ctypes.CDLL | None = None


def _library() -> ctypes.CDLL:
    global _loaded
    if _loaded is None:
        _loaded = _load()
    return _loaded


def _load() -> ctypes.CDLL:
    try:
        import ai_edge_litert
    except ImportError as error:
        raise NotSupported("LiteRT is not installed") from error
    found = str(getattr(ai_edge_litert, "__version__", ""))
    spec = find_spec("ai_edge_litert")
    if not found.startswith(TESTED) or spec is None or spec.origin is None:
        raise NotSupported(f"the C interface of LiteRT {found or '?'} is not known")
    try:
        library = ctypes.CDLL(str(Path(spec.origin).with_name(LIBRARY)))
        for name, arguments in _CALLS.items():
            getattr(library, f"LiteRt{name}").argtypes = arguments
    except (OSError, AttributeError) as error:
        raise NotSupported(f"LiteRT {found} cannot be loaded: {error}"[:200]) from error
    return library
