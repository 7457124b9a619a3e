"""Weights from files: torchvision's state dicts, safetensors, and what must be refused."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from hashprobe.errors import HashprobeError
from hashprobe.victims.image import ImageHasher


@pytest.fixture
def published():
    """A torchvision classifier with weights of its own."""
    torch.manual_seed(7)
    return models.squeezenet1_1(weights=None)


def load(path, name="squeezenet1_1"):
    return ImageHasher(name, 16, weights=path, size=32, batch_norm=False)


def saved(state, path):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_file_of_torchvision_fills_all_but_the_head(published, tmp_path, name):
    hasher = load(saved(published.state_dict(), tmp_path / name))
    own = hasher.network.state_dict()
    body = {k: v for k, v in published.state_dict().items() if not k.startswith("classifier.1.")}
    assert len(body) == len(own) - 2
    for key, value in body.items():
        assert torch.equal(own[key], value)


def test_the_path_may_be_text(published, tmp_path):
    path = saved(published.state_dict(), tmp_path / "weights.pth")
    as_text, as_path = (load(given).network.state_dict() for given in (str(path), path))
    bodies = [key for key in published.state_dict() if not key.startswith("classifier.1.")]
    assert bodies and all(torch.equal(as_text[key], as_path[key]) for key in bodies)


def test_auxiliary_heads_are_left_out(tmp_path):
    with torch.device("meta"):
        state = models.googlenet(weights=None, init_weights=False, aux_logits=True).state_dict()
    path = saved({k: torch.zeros(v.shape) for k, v in state.items()}, tmp_path / "weights.pth")
    assert load(path, "googlenet").network.aux1 is None


def test_small_takes_the_weights_of_another_code_length(small, tmp_path):
    first = small(bits=48)
    path = saved(first.network.state_dict(), tmp_path / "weights.pth")
    second = ImageHasher("small", 8, weights=path, size=8)
    assert torch.equal(second.network.features[0].weight, first.network.features[0].weight)


def test_weights_of_another_shape_name_the_tensor_and_the_file(published, tmp_path):
    state = published.state_dict()
    state["features.0.weight"] = torch.zeros(64, 3, 5, 5)
    path = saved(state, tmp_path / "weights.pth")
    message = (
        r"features\.0\.weight has shape \(64, 3, 5, 5\) in .*weights\.pth and \(64, 3, 3, 3\) in"
    )
    with pytest.raises(HashprobeError, match=message):
        load(path)


def test_weights_of_another_network_are_refused(published, tmp_path):
    state = published.state_dict()
    del state["features.0.bias"]
    with pytest.raises(HashprobeError, match=r"weights\.pth lacks features\.0\.bias"):
        load(saved(state, tmp_path / "weights.pth"))
    state = published.state_dict() | {"features.99.bias": torch.zeros(1)}
    with pytest.raises(HashprobeError, match=r"weights\.pth holds features\.99\.bias, which"):
        load(saved(state, tmp_path / "weights.pth"))


class Bomb:
    """Pickled, it makes a folder when it is loaded by plain pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: {"weight": bomb}])
@pytest.mark.parametrize(
    "save", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))]
)
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, wrap, save):
    path, crater = tmp_path / "weights.pth", tmp_path / "crater"
    save(wrap(Bomb(crater)), path)
    with pytest.raises(HashprobeError, match=r"weights\.pth holds more than tensors and could"):
        load(path)
    assert not crater.exists()
    # It is a true bomb.
    torch.load(path, weights_only=False) if save is torch.save else pickle.loads(path.read_bytes())
    assert crater.exists()


def test_a_whole_pickled_network_is_refused(published, tmp_path):
    torch.save(published, tmp_path / "weights.pth")
    with pytest.raises(HashprobeError, match=r"could run code: refused; save its state_dict\(\)"):
        load(tmp_path / "weights.pth")


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_file_that_was_cut_off_is_one_line_that_names_it(published, tmp_path, name, keep):
    path = saved(published.state_dict(), tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(HashprobeError, match=rf"{name} is no readable state dict: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_no_danger_but_refused(tmp_path):
    (tmp_path / "weights.pth").write_text("hello")
    with pytest.raises(HashprobeError, match="it is no such file, or was cut off"):
        load(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"state_dict": {"a": torch.zeros(1)}}, "save the entry 'state_dict' by itself"),
        ([torch.zeros(1)], "a dict from names to tensors is expected"),
        ({1: torch.zeros(1)}, "the name of entry 1 is no text but int"),
    ],
)
def test_a_checkpoint_of_another_program_is_no_state_dict(tmp_path, state, words):
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(HashprobeError, match=words):
        load(tmp_path / "weights.pth")


def test_a_missing_file_says_what_weights_can_be(tmp_path):
    with pytest.raises(HashprobeError, match=r"no weights file .*nowhere\.pth: weights are none,"):
        load(tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: v.to(torch.int64), "has dtype int64 in .*floating numbers"),
        (lambda v: v.to(torch.int8), "has dtype int8"),
        (lambda v: v.to(torch.complex64), "has dtype complex64"),
        (lambda v: v > 0, "has dtype bool"),
        (lambda v: v * torch.inf, "holds NaN or infinite weights"),
    ],
)
def test_weights_that_are_no_finite_floats_are_refused(published, tmp_path, change, words):
    key = "features.0.weight"
    state = {**published.state_dict(), key: change(published.state_dict()[key])}
    with pytest.raises(HashprobeError, match=words) as caught:
        load(saved(state, tmp_path / "weights.pth"))
    assert key in str(caught.value)


def test_weights_in_half_precision_are_read(published, tmp_path):
    state = {k: v.half() for k, v in published.state_dict().items()}
    assert load(saved(state, tmp_path / "weights.pth")).network.training
