"""Weights in a file with the name of their network, against the network itself."""

import sys

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

import hashprobe as hp
from hashprobe.errors import HashprobeError
from hashprobe.victims.weights import NESTED


SIZE = 32


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.squeezenet1_1(num_classes=20).eval()


@pytest.fixture(scope="module")
def mobile():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return models.mobilenet_v3_small(num_classes=20).eval()


@pytest.fixture
def pixels():
    return torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def normalised(pixels):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_the_whole_network_with_the_input_that_its_name_says(mobile, pixels, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(mobile.state_dict(), path)
    victim = hp.load_victim(path, backbone="mobilenet_v3_small", size=SIZE)
    assert (victim.bits, victim.training, victim.contract.size) == (20, False, SIZE)
    torch.testing.assert_close(victim(pixels), mobile(normalised(pixels)))
    assert hp.load_victim(path, backbone="mobilenet_v3_small").contract.size == 224
    plain = hp.load_victim(path, backbone="mobilenet_v3_small", size=SIZE, mean=0, std=1)
    torch.testing.assert_close(plain(pixels), mobile(pixels))


def test_what_the_last_layer_is_given(mobile, pixels, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(mobile.state_dict(), path)
    victim = hp.load_victim(path, backbone="mobilenet_v3_small", size=SIZE, output="features")
    head = mobile.classifier[3]
    assert victim.bits == head.in_features
    torch.testing.assert_close(head(victim(pixels)), mobile(normalised(pixels)))
    rest = {k: v for k, v in mobile.state_dict().items() if not k.startswith("classifier.3")}
    torch.save(rest, path)  # saved without its last layer
    again = hp.load_victim(path, backbone="mobilenet_v3_small", size=SIZE)
    torch.testing.assert_close(again(pixels), victim(pixels))
    with pytest.raises(HashprobeError, match=r"is features, .* got 'logits'"):
        hp.load_victim(path, backbone="mobilenet_v3_small", output="logits")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model."])
@pytest.mark.parametrize("entry", [None, *NESTED])
def test_files_of_training_are_taken_as_they_are(prefix, entry, tmp_path):
    from hashprobe.victims.state_dict import without_prefix
    from hashprobe.victims.weights import read_state_dict

    inner = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
    state = {prefix + name: value for name, value in inner.items()}
    torch.save(state if entry is None else {entry: state, "epoch": 3}, tmp_path / "w.pth")
    found = without_prefix(read_state_dict(tmp_path / "w.pth", nested=True))
    assert found.keys() == inner.keys() and all(torch.equal(found[k], inner[k]) for k in inner)
    if entry is not None:
        with pytest.raises(HashprobeError, match=f"save the entry '{entry}' by itself"):
            read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.0.weight"), r"lacks features\.0\.weight"),
        (lambda s: s.update(more=torch.zeros(1)), "holds more, which the network does not know"),
        (lambda s: s.update({"features.0.weight": torch.zeros(1)}), "has shape"),
        (lambda s: s.update({"features.0.bias": torch.full((64,), torch.nan)}), "NaN"),
    ],
)
def test_weights_of_another_network_are_one_line(change, message, net, tmp_path):
    state = dict(net.state_dict())
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(HashprobeError, match=message) as error:
        hp.load_victim(tmp_path / "w.pth", backbone="squeezenet1_1")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_file_of_weights_needs_the_name_of_its_network(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "w.pth")
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(HashprobeError, match="say backbone=NAME"):
            hp.load_victim(tmp_path / name)
    with pytest.raises(
        HashprobeError, match=r"unknown backbone 'squeezenet1_2': did you mean .*1_1"
    ):
        hp.load_victim(tmp_path / "w.pth", backbone="squeezenet1_2")


def test_networks_of_timm(pixels, tmp_path):
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = timm.create_model("lcnet_035", num_classes=24).eval()
    torch.save(net.state_dict(), tmp_path / "w.pth")
    victim = hp.load_victim(tmp_path / "w.pth", backbone="timm/lcnet_035", size=SIZE)
    torch.testing.assert_close(victim(pixels), net(normalised(pixels)))
    assert victim.contract.filter == timm.get_pretrained_cfg("lcnet_035").interpolation
    features = hp.load_victim(
        tmp_path / "w.pth", backbone="lcnet_035", size=SIZE, output="features"
    )
    torch.testing.assert_close(
        features(pixels),
        net.forward_head(net.forward_features(normalised(pixels)), pre_logits=True),
    )


def test_without_timm_its_names_are_said_to_need_it(net, tmp_path, monkeypatch):
    torch.save(net.state_dict(), tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(HashprobeError, match=r"pip install 'hashprobe\[timm\]'"):
        hp.load_victim(tmp_path / "w.pth", backbone="lcnet_035")


def test_a_factory_in_the_current_folder(tmp_path, monkeypatch):
    code = "import torch\n\n\ndef make():\n    return torch.nn.Flatten()\n"
    (tmp_path / "factory_of_this_folder.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", ".")])
    before = list(sys.path)
    assert hp.load_victim("factory_of_this_folder:make", size=4).bits == 48
    assert sys.path == before
    with pytest.raises(HashprobeError, match="holds a whole network: leave backbone out"):
        hp.load_victim("factory_of_this_folder:make", backbone="resnet18")
