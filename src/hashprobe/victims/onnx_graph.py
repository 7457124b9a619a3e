"""Rewrites ONNX graphs into what a converter takes: explicit pads, weights as weights, float32."""

from typing import Any

import numpy as np

from hashprobe.types import Layout
from hashprobe.victims.onnx_file import OnnxFile, inferred, shape_of
from hashprobe.victims.onnx_opset import lower_opset


PADDED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
"""Nodes that have auto_pad."""
HALF, FULL = 10, 1
"""Numbers of ONNX for float16 and float32."""


def convertible(file: OnnxFile, size: int, layout: Layout, *, freed: bool = False) -> Any:
    """A copy of a graph, at one size of pictures, that says the same in simpler terms.

    Args:
        file: the graph.
        size: height and width of the pictures.
        layout: where their channels stand.
        freed: whether shapes that the graph holds for its own number of pictures are rewritten for
            any number, as far as that can be told.

    Returns:
        A ModelProto.
    """
    model = type(file.model)()
    model.CopyFrom(file.model)
    set_size(model, file.input, size, layout)
    constants_as_weights(model.graph)
    if file.dtype == "float16":
        widen(model.graph)
    lower_opset(model)
    if freed and file.batch is not None:
        free_batch(model, file.batch)
    explicit_pads(model)
    return model


def set_size(model: Any, name: str, size: int, layout: Layout) -> None:
    """Writes height, width and channels into the shape of the input."""
    value = next(each for each in model.graph.input if each.name == name)
    kind = value.type.tensor_type
    while len(kind.shape.dim) < 4:
        kind.shape.dim.add()
    sides = {"nchw": (3, size, size), "nhwc": (size, size, 3)}[layout]
    for axis, side in zip(kind.shape.dim[1:], sides, strict=True):
        axis.dim_value = side
    # What was inferred for another size does not hold here.
    del model.graph.value_info[:]


def constants_as_weights(graph: Any) -> None:
    """Makes weights of constants, and of what only gives a weight another name."""
    from onnx import numpy_helper

    held = {each.name: each for each in graph.initializer}
    outputs, kept = {each.name for each in graph.output}, []
    for node in graph.node:
        tensor = None
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in held:
            tensor = held[node.input[0]]
        if tensor is None or outputs.intersection(node.output):
            kept.append(node)
            continue
        named = numpy_helper.from_array(numpy_helper.to_array(tensor), node.output[0])
        held[named.name] = named
        graph.initializer.append(named)
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def widen(graph: Any) -> None:
    """Computes in float32 what a graph computes in float16."""
    from onnx import numpy_helper

    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == HALF:
            value.type.tensor_type.elem_type = FULL
    tensors = [*graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == HALF:
                attribute.i = FULL
            tensors += [attribute.t] if attribute.HasField("t") else []
    for tensor in tensors:
        if tensor.data_type == HALF:
            wide = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def free_batch(model: Any, batch: int) -> None:
    """Reshapes to shapes that begin with the number of pictures as reshapes of any number."""
    from onnx import numpy_helper

    shapes = inferred(model)
    held = {each.name: each for each in model.graph.initializer}
    for number, node in enumerate(model.graph.node):
        if node.op_type != "Reshape" or node.input[1] not in held:
            continue
        shape = numpy_helper.to_array(held[node.input[1]]).copy()
        given = shape_of(shapes.get(node.input[0]))
        if not shape.size or shape[0] != batch or given[:1] != [batch]:
            continue
        shape[0] = 0 if -1 in shape else -1
        name = f"{node.input[1]}_any_{number}"
        model.graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name


def explicit_pads(model: Any) -> None:
    """Replaces auto_pad by the pads that it stands for at the sizes of the graph."""
    from onnx import helper

    shapes = inferred(model)
    weights = {each.name: list(each.dims) for each in model.graph.initializer}
    for node in model.graph.node:
        known = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        auto = known.get("auto_pad", b"NOTSET")
        if node.op_type not in PADDED or auto not in (b"SAME_UPPER", b"SAME_LOWER", b"NOTSET"):
            continue
        if auto == b"NOTSET":
            continue
        sides = shape_of(shapes.get(node.input[0]))[2:]
        kernel = known.get("kernel_shape") or weights.get(node.input[1], [])[2:]
        if not sides or not all(sides) or not kernel:
            continue  # the converter will say that it does not take auto_pad
        pads = same_pads(
            sides,
            list(kernel),
            list(known.get("strides") or [1] * len(sides)),
            list(known.get("dilations") or [1] * len(sides)),
            transposed=node.op_type == "ConvTranspose",
        )
        if auto == b"SAME_LOWER":
            pads = pads[len(sides) :] + pads[: len(sides)]
        rest = [each for each in node.attribute if each.name not in ("auto_pad", "pads")]
        copies = [type(each).FromString(each.SerializeToString()) for each in rest]
        del node.attribute[:]
        node.attribute.extend([*copies, helper.make_attribute("pads", pads)])


def same_pads(
    sides: list[int],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    *,
    transposed: bool = False,
) -> list[int]:
    """Pads at the beginnings and then at the ends of axes: a side over its stride comes out.

    Where their sum is odd, the end has one more (SAME_UPPER).

    Example:
        >>> same_pads([224], [3], [2], [1])
        [0, 1]
    """
    starts, ends = [], []
    for side, width, stride, dilation in zip(sides, kernel, strides, dilations, strict=True):
        reach = (width - 1) * dilation + 1
        total = (-(-side // stride) - 1) * stride + reach - side
        if transposed:
            total = (side - 1) * stride + reach - side * stride
        starts.append(max(0, total) // 2)
        ends.append(max(0, total) - max(0, total) // 2)
    return starts + ends
