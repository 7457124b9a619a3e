"""ONNX files: what their input and output are, and graphs in a form that can be converted."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.storage.files import regular_size
from hashprobe.text import shortened
from hashprobe.types import Layout


INPUTS = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
"""Numbers of ONNX of the types that pixels may have, as numpy calls them."""
LINE = 200
"""Characters of a library's own error that are shown."""


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A graph from one input of pictures to one output."""

    path: Path
    model: Any
    """The ModelProto; nodes that the output does not need are left out."""
    input: str
    """Name of the input."""
    dtype: str
    """Type of the input, as numpy calls it."""
    shape: tuple[int | None, ...]
    """Its four axes; None where any length is right."""
    output: str
    """Name of the output."""
    chosen: bool
    """Whether the output was chosen among several, or is inside the graph."""

    @property
    def layout(self) -> Layout | None:
        """Where the channels stand, as far as the shape says it."""
        if self.shape[1] == 3:
            return "nchw"
        return "nhwc" if self.shape[3] == 3 else None

    @property
    def size(self) -> int | None:
        """Height and width, as far as the shape says them."""
        sides = self.shape[1:3] if self.layout == "nhwc" else self.shape[2:]
        known = [side for side in sides if side is not None]
        return known[0] if known else None

    @property
    def batch(self) -> int | None:
        """How many pictures it takes; None for any number."""
        return self.shape[0]


def read_onnx(path: Path, output: int | str | None = None) -> OnnxFile:
    """The graph in an ONNX file; nothing in it is executed.

    Args:
        path: the file; external data lie beside it.
        output: name of any of its tensors, or place of one of its outputs; None for a graph that
            has one output.

    Raises:
        HashprobeError: no ONNX file, several inputs, an input that no picture fits, several outputs
            and none chosen, or an output that is no real number.

    Example:
        >>> read_onnx(Path("no/such/net.onnx"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such file: no/such/net.onnx
    """
    model = parsed(path)
    graph = model.graph
    held = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in held]
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs) or "none"
        raise HashprobeError(
            f"{path} has {len(inputs)} inputs ({names:.120}); a victim has one, of pictures"
        )
    dtype, shape = input_of(inputs[0], path)
    name = output_name(model, output, path)
    chosen = [each.name for each in graph.output] != [name]
    if chosen:
        keep_output(model, name)
    check_real(model, name, path)
    return OnnxFile(path, model, inputs[0].name, dtype, shape, name, chosen)


def parsed(path: Path) -> Any:
    """The ModelProto of a file with its external data."""
    if not path.is_file():
        raise HashprobeError(f"no such file: {path}")
    regular_size(path)
    try:
        import onnx
    except ImportError as error:
        raise missing_extra(error.name or "onnx", "onnx", "an .onnx file") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # of protobuf, which has several
        raise HashprobeError(f"{path} is no ONNX file, or was cut off") from error
    if not model.graph.node or not model.graph.output:
        raise HashprobeError(f"{path} is no ONNX file, or was cut off: it holds no network")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise HashprobeError(
            f"the weights of {path} lie in other files, which cannot be read: {first_line(error)}"
        ) from error
    return model


def input_of(value: Any, path: Path) -> tuple[str, tuple[int | None, ...]]:
    """Type and shape of an input; one that no picture fits is refused."""
    kind = value.type.tensor_type
    if kind.elem_type not in INPUTS:
        known = ", ".join(INPUTS.values())
        raise HashprobeError(
            f"{path}: its input {value.name} is {type_name(kind.elem_type)}; pixels are {known}"
        )
    if not kind.HasField("shape"):
        return INPUTS[kind.elem_type], (None,) * 4
    shape = tuple(each.dim_value if each.dim_value > 0 else None for each in kind.shape.dim)
    shown = f"({', '.join('?' if side is None else str(side) for side in shape)})"
    wanted = "wanted is (N, 3, S, S) or (N, S, S, 3)"
    if len(shape) != 4:
        raise HashprobeError(f"{path}: its input {value.name} has shape {shown}; {wanted}")
    channels_last = shape[1] != 3 and shape[3] == 3
    channels, sides = (shape[3], shape[1:3]) if channels_last else (shape[1], shape[2:])
    known_sides = {side for side in sides if side is not None}
    if channels not in (None, 3) or len(known_sides) > 1:
        raise HashprobeError(f"{path}: its input {value.name} has shape {shown}; {wanted}")
    return INPUTS[kind.elem_type], shape


def output_name(model: Any, output: int | str | None, path: Path) -> str:
    """The name of the output that is meant."""
    outputs: list[str] = [each.name for each in model.graph.output]
    if output is None:
        if len(outputs) > 1:
            raise HashprobeError(
                f"{path} has {len(outputs)} outputs ({', '.join(outputs):.200}): name one of them "
                "as output"
            )
        return outputs[0]
    inner = [name for node in model.graph.node for name in node.output if name]
    if str(output) in (*outputs, *inner):
        return str(output)
    if str(output).isdigit() and int(output) < len(outputs):
        return outputs[int(output)]
    close = get_close_matches(str(output), [*outputs, *inner], 3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"the last are {listed(inner)}"
    raise HashprobeError(f"{path} has no tensor {shortened(repr(output), 80)}: {hint}")


def listed(names: list[str], most: int = 6) -> str:
    """The last few of many names."""
    return ", ".join(shortened(name, 60) for name in names[-most:])


def keep_output(model: Any, name: str) -> None:
    """Makes a tensor the only output of a graph, and removes what it does not need."""
    from onnx import helper

    graph, types = model.graph, inferred(model)
    wanted, kept = {name}, []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(needed(node))
    for field, rest in (
        (graph.node, kept[::-1]),
        (graph.initializer, [each for each in graph.initializer if each.name in wanted]),
        (graph.output, [types.get(name) or helper.make_tensor_value_info(name, 1, None)]),
    ):
        copies = [type(each).FromString(each.SerializeToString()) for each in rest]
        del field[:]
        field.extend(copies)


def needed(node: Any) -> Iterator[str]:
    """The names of the tensors that a node reads, in graphs inside it too."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            for inner in graph.node:
                yield from needed(inner)


def inferred(model: Any) -> dict[str, Any]:
    """Type and shape of every tensor, as far as they can be told; by name."""
    import onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # of damaged graphs and of those above 2 GiB: then nothing is told
        graph = model.graph
    return {each.name: each for each in (*graph.value_info, *graph.input, *graph.output)}


def shape_of(value: Any) -> list[int]:
    """The axes of a tensor; 0 where a length is not known, none where the rank is not."""
    return [] if value is None else [each.dim_value for each in value.type.tensor_type.shape.dim]


def check_real(model: Any, name: str, path: Path) -> None:
    """Refuses an output of whole numbers or truth values, and names real tensors before it."""
    types = inferred(model)
    kind = types[name].type.tensor_type.elem_type if name in types else 0
    if kind in (0, 1, 10, 11, 16):
        return
    real = [
        inner
        for node in model.graph.node
        for inner in node.output
        if inner in types and types[inner].type.tensor_type.elem_type in (1, 10, 11, 16)
    ]
    hint = f"name a tensor before it as output, such as {listed(real, 3)}" if real else "it is none"
    raise HashprobeError(f"{path}: its output {name} is {type_name(kind)}, not real: {hint}")


def type_name(kind: int) -> str:
    """A number of ONNX for a type, as users write it."""
    from onnx import TensorProto

    known = dict(TensorProto.DataType.items())
    return next((name.lower() for name, number in known.items() if number == kind), f"type {kind}")


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one short line."""
    text = " ".join((str(error) or type(error).__name__).split())
    return shortened(text, LINE)
