"""Says in the operators of an older version of ONNX what a graph says in those of a newer one.

Converters lag behind: most operators of new versions do what they did, under another number.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hashprobe.victims.onnx_file import inferred, shape_of


TARGET = 17
"""The version of the operators that converters know."""
REDUCTIONS = tuple(
    f"Reduce{name}"
    for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
)
"""Operators whose axes became an input in version 18."""


def lower_opset(model: Any) -> None:
    """Rewrites a graph in place; what it cannot say stays as it is, for the converter to refuse.

    Args:
        model: a ModelProto whose constants are weights.
    """
    plain = [each for each in model.opset_import if each.domain in ("", "ai.onnx")]
    if not plain or plain[0].version < TARGET:
        return
    shapes = {name: shape_of(value) for name, value in inferred(model).items()}
    held = {each.name: each for each in model.graph.initializer}
    nodes = []
    for number, node in enumerate(model.graph.node):
        rewrite = REWRITES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        node.name = node.name or f"node_{number}"
        for each in [node] if rewrite is None else rewrite(node, held, shapes, model.graph):
            drop_unknown(each)
            nodes.append(type(node).FromString(each.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    plain[0].version = TARGET


def drop_unknown(node: Any) -> None:
    """Leaves out attributes that the older version of an operator does not have."""
    from onnx import defs

    try:
        known = defs.get_schema(node.op_type, TARGET, node.domain).attributes
    except Exception:  # there was no such operator
        return
    kept = [each for each in node.attribute if each.name in known]
    if len(kept) < len(node.attribute):
        copies = [type(each).FromString(each.SerializeToString()) for each in kept]
        del node.attribute[:]
        node.attribute.extend(copies)


def reduced(node: Any, held: Mapping[str, Any], *_: Any) -> Iterator[Any]:
    """A reduction with its axes as an attribute."""
    from onnx import helper, numpy_helper

    if len(node.input) > 1 and node.input[1] in held:
        axes = numpy_helper.to_array(held[node.input[1]]).astype(int).ravel().tolist()
        del node.input[1]
        if axes:
            node.attribute.append(helper.make_attribute("axes", axes))
    yield node


def reshaped(node: Any, held: Mapping[str, Any], *_: Any) -> Iterator[Any]:
    """A new shape without the rule for zeros, where it has none."""
    from onnx import numpy_helper

    shape = held.get(node.input[1])
    if shape is not None and (numpy_helper.to_array(shape) != 0).all():
        kept = [each for each in node.attribute if each.name != "allowzero"]
        copies = [type(each).FromString(each.SerializeToString()) for each in kept]
        del node.attribute[:]
        node.attribute.extend(copies)
    yield node


def layer_norm(node: Any, held: Any, shapes: Any, graph: Any) -> Iterator[Any]:
    """Layer normalisation by its definition: (x - mean) / sqrt(variance + epsilon) a + b."""
    from onnx import helper

    kinds = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    axis, rank = kinds.get("axis", -1), len(shapes.get(node.input[0], ()))
    if len(node.output) > 1 or (axis != -1 and not rank):
        yield node
        return
    axes = [-1] if axis == -1 else list(range(axis % rank, rank))
    make = Maker(node)
    epsilon = weight(graph, f"{node.name}_epsilon", kinds.get("epsilon", 1e-5))
    mean = make("ReduceMean", node.input[0], axes=axes, keepdims=1)
    centred = make("Sub", node.input[0], mean)
    variance = make("ReduceMean", make("Mul", centred, centred), axes=axes, keepdims=1)
    deviation = make("Sqrt", make("Add", variance, epsilon))
    made = make("Mul", make("Div", centred, deviation), node.input[1])
    if len(node.input) > 2:
        make("Add", made, node.input[2])
    yield from make.finished(node.output[0])


class Maker:
    """Makes the nodes that stand for another one."""

    def __init__(self, node: Any) -> None:
        self.base, self.nodes = node.name, list[Any]()

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node; the name of its output."""
        from onnx import helper

        name = f"{self.base}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def finished(self, output: str) -> list[Any]:
        """The nodes; the last one gives an output of some name."""
        self.nodes[-1].output[0] = output
        return self.nodes


def gelu(node: Any, held: Mapping[str, Any], shapes: Any, graph: Any) -> Iterator[Any]:
    """The Gaussian error linear unit by operators that were there before: x Phi(x)."""
    from onnx import helper

    kinds = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    x, make = node.input[0], Maker(node)

    def scalar(name: str, value: float) -> str:
        return weight(graph, f"{node.name}_{name}", value)

    if kinds.get("approximate", b"none") == b"tanh":
        cube = make("Mul", make("Mul", x, x), x)
        total = make("Add", make("Mul", cube, scalar("cubic", 0.044715)), x)
        inner = make("Tanh", make("Mul", total, scalar("scale", math.sqrt(2 / math.pi))))
    else:
        inner = make("Erf", make("Mul", x, scalar("scale", math.sqrt(0.5))))
    share = make("Mul", make("Add", inner, scalar("one", 1.0)), scalar("half", 0.5))
    make("Mul", share, x)
    yield from make.finished(node.output[0])


def padded(node: Any, held: Mapping[str, Any], shapes: Any, graph: Any) -> Iterator[Any]:
    """Pads of some axes as pads of all of them."""
    from onnx import numpy_helper

    rank = len(shapes.get(node.input[0], ()))
    constant = len(node.input) > 3 and node.input[1] in held and node.input[3] in held
    if constant and rank:
        some = numpy_helper.to_array(held[node.input[1]]).ravel()
        axes = numpy_helper.to_array(held[node.input[3]]).astype(int).ravel() % rank
        whole = np.zeros((2, rank), np.int64)
        whole[:, axes] = some.reshape(2, -1)
        node.input[1] = weight(graph, f"{node.name}_pads", whole.ravel())
        del node.input[3]
        if not node.input[2]:
            del node.input[2]
    yield node


def split(node: Any, held: Mapping[str, Any], shapes: Any, graph: Any) -> Iterator[Any]:
    """Parts of a number as parts of sizes."""
    from onnx import helper

    kinds = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    shape, parts = shapes.get(node.input[0], ()), len(node.output)
    length = shape[kinds.get("axis", 0)] if shape else 0
    if len(node.input) == 1 and length:
        each = -(-length // parts)
        sizes = [min(each, length - each * place) for place in range(parts)]
        node.input.append(weight(graph, f"{node.name}_sizes", np.array(sizes, np.int64)))
    yield node


def weight(graph: Any, name: str, value: Any) -> str:
    """Adds a constant to a graph; its name."""
    from onnx import numpy_helper

    array = value if isinstance(value, np.ndarray) else np.array(value, np.float32)
    graph.initializer.append(numpy_helper.from_array(array, name))
    return name


REWRITES: dict[str, Callable[..., Iterator[Any]]] = {
    **dict.fromkeys(REDUCTIONS, reduced),
    "Gelu": gelu,
    "LayerNormalization": layer_norm,
    "Reshape": reshaped,
    "Pad": padded,
    "Split": split,
}
"""What else changed than the number, by operator."""
