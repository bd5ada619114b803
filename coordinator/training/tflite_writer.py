"""Writing small `.tflite` models: dense layers, reshapes and sums with a free number of rows, and metadata.

On LiteRT's own flatbuffer classes, for the families of layers that we train and no others. Models run on
LiteRT and on its predecessor: only the first versions of the operators are used.
"""

from __future__ import annotations

from typing import Any, Final

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from common.errors import Corrupt

Matrix = NDArray[np.float32]

IDENTIFIER: Final = b"TFL3"
ALIGNMENT: Final = 16
"""Bytes. Readers take weights from where they lie in the file."""

_OPERATORS: Final = schema.BuiltinOperator


class Graph:
    """A model under construction. Tensors are named by their numbers; `input` is the first."""

    def __init__(self, inputs: int) -> None:
        self._buffers: list[Any] = [_buffer(b"")]
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[int] = []
        self.input = self._rows("input", inputs)

    def dense(self, source: int, weights: Matrix, bias: Matrix | None = None, relu: bool = False) -> int:
        """source · weights + bias, for weights [in, out]; negative results are made zero by `relu`."""
        name = f"dense{len(self._operators)}"
        constants = [self._constant(f"{name}/weights", np.ascontiguousarray(weights.T, "<f4"))]
        constants += [] if bias is None else [self._constant(f"{name}/bias", bias)]
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = int(relu) * schema.ActivationFunctionType.RELU
        kind = schema.BuiltinOptions.FullyConnectedOptions
        target = self._rows(name, weights.shape[1])
        return self._operate(_OPERATORS.FULLY_CONNECTED, [source, *constants], target, kind, options)

    def reshape(self, source: int, width: int) -> int:
        """The same values in rows of `width`."""
        name = f"rows{len(self._operators)}"
        shape = self._constant(f"{name}/shape", np.array([-1, width], "<i4"))
        options = schema.ReshapeOptionsT()
        options.newShape = [-1, width]
        kind = schema.BuiltinOptions.ReshapeOptions
        return self._operate(_OPERATORS.RESHAPE, [source, shape], self._rows(name, width), kind, options)

    def add(self, one: int, other: int) -> int:
        """The sum of two tensors of one width."""
        target = self._rows(f"sum{len(self._operators)}", self._width(one))
        options = schema.AddOptionsT()
        return self._operate(_OPERATORS.ADD, [one, other], target, schema.BuiltinOptions.AddOptions, options)

    def model(self, output: int, description: str) -> bytes:
        """The file whose output is the tensor `output`."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs, graph.name = [self.input], [output], "main"
        model = schema.ModelT()
        model.version, model.description = 3, description
        model.operatorCodes = [_code(code) for code in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        return _packed(model)

    def _width(self, tensor: int) -> int:
        return int(self._tensors[tensor].shape[1])

    def _rows(self, name: str, width: int) -> int:
        """A tensor of any number of rows."""
        tensor = _tensor(name, [1, width], 0)
        tensor.shapeSignature = [-1, width]
        return self._append(tensor)

    def _constant(self, name: str, values: NDArray[Any]) -> int:
        """Weights in float32, or a shape in int32."""
        kind = schema.TensorType.INT32 if values.dtype.kind == "i" else schema.TensorType.FLOAT32
        content = np.ascontiguousarray(values, "<i4" if values.dtype.kind == "i" else "<f4")
        self._buffers.append(_buffer(content.tobytes()))
        return self._append(_tensor(name, list(values.shape), len(self._buffers) - 1, kind))

    def _append(self, tensor: Any) -> int:
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _operate(self, code: int, sources: list[int], target: int, kind: int, options: Any) -> int:
        if code not in self._codes:
            self._codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs, operator.outputs = sources, [target]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self._operators.append(operator)
        return target


def with_metadata(model: bytes, name: str, content: bytes) -> bytes:
    """The model with `content` as its one metadata buffer `name`; other metadata is dropped.

    Raises Corrupt for bytes that are no model.
    """
    try:
        parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    except Exception as error:  # the generated reader checks nothing and fails in any way
        raise Corrupt(f"the model cannot be read: {error}"[:200]) from error
    parsed.buffers = [_buffer(bytes(_data(buffer))) for buffer in parsed.buffers]
    parsed.buffers.append(_buffer(content))
    entry = schema.MetadataT()
    entry.name, entry.buffer = name, len(parsed.buffers) - 1
    parsed.metadata, parsed.metadataBuffer = [entry], None
    return _packed(parsed)


class _Buffer(schema.BufferT):  # type: ignore[misc]  # no types there
    """A buffer whose bytes are aligned; the generated class aligns to one byte."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802  # the generated name
        data = bytes(self.data)
        vector = None
        if data:
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def _buffer(data: bytes) -> Any:
    buffer = _Buffer()
    buffer.data = data
    return buffer


def _data(buffer: Any) -> Any:
    return b"" if buffer.data is None else buffer.data


def _tensor(name: str, shape: list[int], buffer: int, kind: int = schema.TensorType.FLOAT32) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, shape, buffer
    tensor.type = kind
    return tensor


def _code(code: int) -> Any:
    operator = schema.OperatorCodeT()
    # Readers from before 2020 know only the deprecated field.
    operator.builtinCode = operator.deprecatedBuiltinCode = code
    operator.version = 1
    return operator


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(64 * 1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
