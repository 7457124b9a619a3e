"""ONNX files as victims, against onnxruntime and against layers of torch; odd files are refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import hashprobe as hp
from hashprobe.errors import HashprobeError
from hashprobe.victims.onnx_graph import same_pads


onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx2torch")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402


SIZE, BITS, WIDTH = 9, 12, 5
FLOAT = TensorProto.FLOAT


def weights(seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return {
        "kernel": rng.normal(size=(WIDTH, 3, 4, 3)).astype(dtype),
        "head": rng.normal(size=(WIDTH, BITS)).astype(dtype),
    }


def graph(nodes, values, inputs, outputs, **more):
    held = [numpy_helper.from_array(value, name) for name, value in values.items()]
    model = helper.make_graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(
        model, opset_imports=[helper.make_opsetid("", 13), *more.pop("opsets", [])], ir_version=8
    )


def value(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def body(start="x", auto_pad="SAME_UPPER", strides=(2, 2)):
    """A convolution with auto_pad, a mean over the picture, a linear layer."""
    return [
        helper.make_node(
            "Conv", [start, "kernel"], ["a"], auto_pad=auto_pad, strides=strides, name="conv"
        ),
        helper.make_node("Tanh", ["a"], ["b"], name="tanh"),
        helper.make_node("GlobalAveragePool", ["b"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flat"),
        helper.make_node("MatMul", ["flat", "head"], ["y"], name="head"),
    ]


def by_torch(pixels, values, upper=True):
    """The same by layers of torch: 9 pixels, kernel 4 x 3, stride 2, so 5 x 5 come out."""
    rows, columns = ((1, 2) if upper else (2, 1)), (1, 1)
    padded = F.pad(pixels, [*columns, *rows])
    kernel, head = (torch.from_numpy(values[name]).float() for name in ("kernel", "head"))
    return F.conv2d(padded, kernel, stride=2).tanh().mean((2, 3)) @ head


@pytest.fixture
def save(tmp_path):
    def write(model, name="net.onnx", **more):
        onnx.save(model, tmp_path / name, **more)
        return tmp_path / name

    return write


@pytest.fixture
def pixels():
    return torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def plain(batch="n", **more):
    return graph(body(**more), weights(), [value("x", [batch, 3, SIZE, SIZE])], [value("y", None)])


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("batch", ["n", 1, 3])
def test_auto_pad_and_a_fixed_batch_hold_for_any_number_of_pictures(upper, batch, save, pixels):
    path = save(plain(batch, auto_pad="SAME_UPPER" if upper else "SAME_LOWER"))
    victim = hp.load_victim(path, mean=0.25, std=0.5)
    assert (victim.bits, victim.contract.size, victim.query_only) == (BITS, SIZE, "")
    wanted = by_torch((pixels - 0.25) / 0.5, weights(), upper)
    torch.testing.assert_close(victim(pixels), wanted)
    assert victim.difference(pixels) < 1e-5
    leaf = pixels.clone().requires_grad_()
    wide = pixels.clone().requires_grad_()
    victim(leaf).square().sum().backward()
    by_torch((wide - 0.25) / 0.5, weights(), upper).square().sum().backward()
    torch.testing.assert_close(leaf.grad, wide.grad)


def test_same_pads_against_the_definition():
    for side, kernel, stride, dilation in np.ndindex(12, 5, 4, 3):
        side, kernel, stride, dilation = side + 1, kernel + 1, stride + 1, dilation + 1
        begin, end = same_pads([side], [kernel], [stride], [dilation])
        reach = (kernel - 1) * dilation + 1
        assert 0 <= end - begin <= 1
        if begin + end:  # where the kernel reaches beyond its strides
            assert (side + begin + end - reach) // stride + 1 == -(-side // stride)


def test_a_shape_of_one_picture_inside_the_graph(save, pixels):
    reshape = helper.make_node("Reshape", ["pooled", "shape"], ["flat"], name="flat")
    nodes = [*body()[:3], reshape, *body()[4:]]
    # In a row and back, the number of pictures is not to be seen in the shapes.
    row = helper.make_node("Reshape", ["x", "row"], ["r"], name="row")
    back = helper.make_node("Reshape", ["r", "back"], ["t"], name="back")
    nodes = [row, back, *body("t")[:3], *nodes[3:]]
    values = weights() | {
        "shape": np.array([1, WIDTH], np.int64),
        "row": np.array([3 * SIZE**2], np.int64),
        "back": np.array([1, 3, SIZE, SIZE], np.int64),
    }
    model = graph(nodes, values, [value("x", [1, 3, SIZE, SIZE])], [value("y", [1, BITS])])
    victim = hp.load_victim(save(model))
    assert "one picture at a time" in victim.notes[0]
    torch.testing.assert_close(victim(pixels), by_torch(pixels, weights()))
    assert victim.difference(pixels) < 1e-5


def modern(approximate, batch):
    """Operators that are newer than the converter's, each in a form that it does not know."""
    make = helper.make_node
    nodes = [
        make("Conv", ["x", "kernel"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2], name="conv"),
        make("Gelu", ["a"], ["b"], approximate=approximate, name="gelu"),
        make("Pad", ["b", "pads", "", "axes"], ["c"], name="pad"),
        make("Split", ["c"], ["d", "e"], axis=1, num_outputs=2, name="split"),
        make("Concat", ["e", "d"], ["f"], axis=1, name="concat"),
        make("ReduceMean", ["f", "sides"], ["g"], keepdims=0, name="mean"),
        make("LayerNormalization", ["g", "scale", "bias"], ["h"], epsilon=1e-3, name="norm"),
        make("Reshape", ["h", "shape"], ["i"], allowzero=1, name="reshape"),
        make("MatMul", ["i", "head"], ["y"], name="head"),
    ]
    values = weights() | {
        "pads": np.array([0, 1, 2, 0], np.int64),
        "axes": np.array([-1, 2], np.int64),
        "sides": np.array([2, 3], np.int64),
        "scale": np.arange(1, WIDTH + 1, dtype=np.float32),
        "bias": np.full(WIDTH, 0.5, np.float32),
        "shape": np.array([batch if batch == 1 else -1, WIDTH], np.int64),
    }
    held = [numpy_helper.from_array(each, name) for name, each in values.items()]
    inputs, outputs = [value("x", [batch, 3, SIZE, SIZE])], [value("y", None)]
    made = helper.make_graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("batch", ["n", 1])
def test_newer_operators_are_said_in_older_ones(approximate, batch, save, pixels):
    """As onnxruntime computes the file itself; a shape of one picture holds for several, too."""
    victim = hp.load_victim(save(modern(approximate, batch)))
    assert not victim.query_only and not victim.network.single
    assert victim.difference(pixels) < 1e-5
    leaf = pixels.clone().requires_grad_()
    victim(leaf).square().sum().backward()
    assert leaf.grad.any()


def test_channels_last_and_blue_first(save, pixels):
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2], name="t"), *body("t")]
    path = save(graph(nodes, weights(), [value("x", ["n", SIZE, SIZE, 3])], [value("y", None)]))
    victim = hp.load_victim(path, mean=(104, 117, 123), range="0..255", bgr=True)
    assert victim.contract.layout == "nhwc"
    moved = 255 * pixels.flip(1) - torch.tensor([104.0, 117, 123]).view(3, 1, 1)
    torch.testing.assert_close(victim(pixels), by_torch(moved, weights()), rtol=1e-4, atol=1e-4)
    with pytest.raises(HashprobeError, match="has layout nhwc; asked for was nchw"):
        hp.load_victim(path, layout="nchw")
    with pytest.raises(HashprobeError, match="has size 9; asked for was 8"):
        hp.load_victim(path, size=8)


def test_bytes_go_in_as_bytes_and_keep_their_gradient(save):
    nodes = [helper.make_node("Cast", ["x"], ["t"], to=FLOAT, name="t"), *body("t")]
    held = weights() | {"kernel": weights()["kernel"] / 255}
    path = save(
        graph(nodes, held, [value("x", ["n", 3, 9, 9], TensorProto.UINT8)], [value("y", None)])
    )
    victim = hp.load_victim(path)
    pixels = torch.randint(0, 256, (3, 3, 9, 9), generator=torch.Generator().manual_seed(0)) / 255
    leaf = pixels.clone().requires_grad_()
    torch.testing.assert_close(victim(leaf), by_torch(255 * pixels, held), rtol=1e-4, atol=1e-5)
    victim(leaf).sum().backward()
    assert leaf.grad.any() and victim.difference(pixels) < 1e-4


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions(dtype, save, pixels):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    model = graph(
        body(), weights(dtype=dtype), [value("x", ["n", 3, 9, 9], kind)], [value("y", None, kind)]
    )
    victim = hp.load_victim(save(model))
    wanted = by_torch(pixels, weights(dtype=dtype))
    assert (victim(pixels) - wanted).abs().max().item() < 0.01
    assert len(victim.encode(pixels)) == 4
    # onnxruntime has no convolution in float64.
    assert (victim.difference(pixels) or 0) < 0.02


def test_an_inner_tensor_and_one_of_several_outputs(save, pixels):
    outputs = [value("y", None), value("flat", None)]
    path = save(graph(body(), weights(), [value("x", ["n", 3, 9, 9])], outputs))
    with pytest.raises(HashprobeError, match=r"has 2 outputs \(y, flat\): name one"):
        hp.load_victim(path)
    for output, bits in (("y", BITS), (0, BITS), ("flat", WIDTH), (1, WIDTH), ("pooled", WIDTH)):
        victim = hp.load_victim(path, output=output)
        assert victim.bits == bits and victim.difference(pixels) < 1e-5
    assert victim.reading == {"output": "pooled"}
    with pytest.raises(HashprobeError, match=r"no tensor 'polled': did you mean pooled"):
        hp.load_victim(path, output="polled")


def test_weights_beside_the_file(save, pixels):
    path = save(plain(), save_as_external_data=True, location="net.bin", size_threshold=0)
    assert hp.load_victim(path).difference(pixels) < 1e-5
    (path.parent / "net.bin").unlink()
    with pytest.raises(HashprobeError, match="lie in other files"):
        hp.load_victim(path)


def unconvertible(seed=0):
    """The sum of what a graph gives and of a node that no converter knows."""
    nodes = [
        *body()[:4],
        helper.make_node("MatMul", ["flat", "head"], ["linear"], name="head"),
        helper.make_node("Det", ["eye"], ["one"], name="det"),
        helper.make_node("Mul", ["linear", "one"], ["y"], name="mul"),
    ]
    held = weights(seed) | {"eye": np.eye(2, dtype=np.float32)}
    return graph(nodes, held, [value("x", ["n", 3, 9, 9])], [value("y", None)])


def test_what_cannot_be_converted_is_asked_only(save, pixels, tmp_path):
    victim = hp.load_victim(save(unconvertible()))
    assert "cannot be converted" in victim.query_only and victim.difference(pixels) is None
    torch.testing.assert_close(victim(pixels), by_torch(pixels, weights()))
    codes = victim.encode(pixels)
    assert codes.packed == hp.PackedCodes.from_logits(by_torch(pixels, weights()))
    goal = hp.Goal.targeted(-codes.packed.signs())
    with pytest.raises(HashprobeError, match=r"no gradients, which attack dhta needs; .* noise"):
        hp.attack(victim, pixels, goal, "dhta")
    done = hp.attack(victim, pixels, goal, "noise", eps=0.1, out=tmp_path / "out")
    assert len(done.codes) == 4
    other = hp.load_victim(save(unconvertible(seed=1), "other.onnx"))
    with pytest.raises(HashprobeError, match=r"weights|another attack"):
        hp.attack(other, pixels, goal, "noise", eps=0.1, out=tmp_path / "out")
    found = hp.victims.preflight(victim, hp.Queries(pixels))
    assert "only attacks by queries" in found.notes[0]
    with pytest.raises(HashprobeError, match="only attacks by queries"):
        hp.victims.preflight(victim, hp.Queries(pixels), gradients=True)


def two_inputs():
    inputs = [value("x", ["n", 3, 9, 9]), value("z", [1])]
    last = helper.make_node("Add", ["flat", "z"], ["y"])
    return graph([*body()[:-1], last], weights(), inputs, [value("y", None)])


def whole_numbers():
    nodes = [*body(), helper.make_node("ArgMax", ["y"], ["k"], axis=1)]
    outputs = [value("k", None, TensorProto.INT64)]
    return graph(nodes, weights(), [value("x", ["n", 3, 9, 9])], outputs)


def custom():
    nodes = [*body()[:-1], helper.make_node("Magic", ["flat"], ["y"], domain="acme")]
    opsets = [helper.make_opsetid("acme", 1)]
    return graph(nodes, weights(), [value("x", ["n", 3, 9, 9])], [value("y", None)], opsets=opsets)


def shaped(*shape, kind=FLOAT):
    return graph(body(), weights(), [value("x", list(shape), kind)], [value("y", None)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (two_inputs(), r"has 2 inputs \(x, z\)"),
        (whole_numbers(), r"output k is int64, not real: name a tensor .* such as pooled, flat, y"),
        (custom(), r"onnxruntime cannot read .*Magic"),
        (shaped("n", 1, 9, 9), r"has shape \(\?, 1, 9, 9\); wanted is"),
        (shaped("n", 3, 9, 8), r"has shape \(\?, 3, 9, 8\); wanted is"),
        (shaped(3, 9, 9), r"has shape \(3, 9, 9\); wanted is"),
        (shaped("n", 3, 9, 9, kind=TensorProto.INT32), r"input x is int32; pixels are float32"),
        (graph([], {}, [value("x", [1])], [value("x", [1])]), "holds no network"),
    ],
)  # fmt: skip
def test_graphs_that_no_picture_fits_are_refused_in_one_line(model, message, save):
    with pytest.raises(HashprobeError, match=message) as error:
        hp.load_victim(save(model))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08", bytes(range(256)), None, "half"])
def test_files_that_are_none_are_refused_in_one_line(content, save):
    path = save(plain())
    whole = path.read_bytes()
    data = {None: whole[:-1], "half": whole[: len(whole) // 2]}
    path.write_bytes(data.get(content, content))
    with pytest.raises(HashprobeError, match=r"net\.onnx") as error:
        hp.load_victim(path)
    assert len(str(error.value).splitlines()) == 1


def test_shapes_that_are_not_known(save, pixels):
    for shape in (None, ["n", "c", "h", "w"], ["n", 3, "h", "w"]):
        path = save(graph(body(), weights(), [value("x", shape)], [value("y", None)]))
        victim = hp.load_victim(path, size=SIZE)
        torch.testing.assert_close(victim(pixels), by_torch(pixels, weights()))
    assert hp.load_victim(path).contract.size == 224


def test_a_copy_in_bfloat16_gives_gradients(save, pixels):
    victim = hp.load_victim(save(plain()))
    goal = hp.Goal.targeted(-victim.encode(pixels).packed.signs())
    given = {"eps": 0.2, "steps": 3, "runtime": hp.Runtime(precision="bfloat16")}
    done = hp.attack(victim, pixels, goal, **given)
    assert (done.codes.signs() == goal.codes).sum() > 0
