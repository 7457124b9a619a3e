import json
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file

from hashprobe.errors import HashprobeError
from hashprobe.victims.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from hashprobe.victims.image import ImageHasher


def card_of(hasher, **other):
    return ModelCard(
        hasher.backbone,
        hasher.bits,
        hasher.contract,
        batch_norm=hasher.batch_norm,
        label_names=("cat", "dög"),
        training={"lr": 0.01, "epochs": 3, "minutes": None, "seconds": 1.5},
        data={"name": "digits", "checksum": "abc"},
        **other,
    )


@pytest.fixture
def folder(small, tmp_path):
    hasher = small()
    save_checkpoint(tmp_path / "model", hasher, card_of(hasher))
    return tmp_path / "model"


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize(("name", "size"), [("small", 8), ("resnet18", 32), ("squeezenet1_0", 32)])
def test_a_round_trip_keeps_function_and_card(tmp_path, name, size, batch_norm):
    hasher = ImageHasher(name, 24, size=size, batch_norm=batch_norm)
    images = torch.rand(6, 3, size, size)
    for _ in range(3):
        hasher.train()(images)
    card = card_of(hasher)
    save_checkpoint(tmp_path / "model", hasher, card)
    torch.manual_seed(99)
    again, read = load_checkpoint(tmp_path / "model")
    assert read == card
    assert (again.bits, again.contract, again.batch_norm) == (24, hasher.contract, batch_norm)
    assert not again.training
    assert torch.equal(again(images), hasher.eval()(images))


def test_the_folder_holds_nothing_that_runs_code(folder):
    assert sorted(p.name for p in folder.iterdir()) == ["model.json", "model.safetensors"]
    content = json.loads((folder / "model.json").read_text())
    assert content["format"] == 1
    assert content["contract"]["size"] == 8
    assert content["contract"]["filter"] == "bilinear"
    assert content["label_names"] == ["cat", "dög"]
    assert content["data"] == {"name": "digits", "checksum": "abc"}


def test_a_network_in_channels_last_is_saved_too(small, tmp_path):
    hasher = small().to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path, hasher, card_of(hasher))
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(load_checkpoint(tmp_path)[0](images), hasher.eval()(images))


def change(folder, **content):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"format": 2}, r"model\.json has checkpoint format 2; this version reads 1"),
        ({"format": None}, r"model\.json has checkpoint format null"),
        ({"contract": {"size": 8}}, r"model\.json is damaged: contract\.mean is missing"),
        ({"bits": 0}, r"model\.json is damaged: bits must be a whole number >= 1; got 0"),
        ({"backbone": "smal"}, r"model\.json: unknown backbone 'smal'"),
        ({"bits": 16}, r"network\.head\.0\.bias has shape \(8,\) in .*\.safetensors and \(16,\)"),
        ({"batch_norm": False}, r"model\.safetensors holds network\.head\.0\.bias, which"),
    ],
)
def test_a_card_that_does_not_fit_is_one_line_that_names_the_file(folder, content, message):
    change(folder, **content)
    if "batch_norm" in content:
        message = r"model\.safetensors (holds|lacks) network\.head\.(0\.)?bias"
    with pytest.raises(HashprobeError, match=message) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_another_input_than_the_backbone_has_is_refused(folder):
    contract = json.loads((folder / "model.json").read_text())["contract"]
    change(folder, contract=contract | {"mean": [0.1, 0.2, 0.3]})
    with pytest.raises(HashprobeError, match=r"states another input than backbone small has here"):
        load_checkpoint(folder)


def test_a_card_that_was_cut_off_is_refused(folder):
    path = folder / "model.json"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(HashprobeError, match=r"model\.json is no JSON or was cut off"):
        load_checkpoint(folder)
    path.write_text("[1]")
    with pytest.raises(
        HashprobeError, match=r"model\.json is damaged: it must be an object; got a list"
    ):
        load_checkpoint(folder)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_weights_that_were_cut_off_are_refused(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(HashprobeError, match=r"model\.safetensors is no readable") as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["network.features.0.weight"] = torch.zeros(32, 3, 5, 5)
    save_file(weights, path)
    message = r"features\.0\.weight has shape \(32, 3, 5, 5\) in .*model\.safetensors"
    with pytest.raises(HashprobeError, match=message):
        load_checkpoint(folder)


def test_missing_files_are_named(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(HashprobeError, match=r"model/model\.safetensors is missing"):
        load_checkpoint(folder)
    with pytest.raises(HashprobeError, match=r"elsewhere holds no checkpoint"):
        load_checkpoint(tmp_path / "elsewhere")


def test_a_disk_without_space_is_one_line_and_leaves_what_was_there(folder, small):
    before = (folder / "model.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files may not grow beyond 100 kB: the nearest thing to a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        hasher = small(seed=1)
        with pytest.raises(HashprobeError, match=r"model\.safetensors") as caught:
            save_checkpoint(folder, hasher, card_of(hasher))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert (folder / "model.safetensors").read_bytes() == before
    assert len(list(folder.iterdir())) == 2
