"""CIFAR-10 from fake copies in both layouts; the true one is never needed."""

import hashlib
import pickle

import numpy as np
import pytest
import torch
from torchvision import datasets

from hashprobe.data.datasets.cifar10 import load_cifar10
from hashprobe.errors import HashprobeError


CLASSES = [f"class{i}" for i in range(10)]


@pytest.fixture
def folder(write_tree, tmp_path):
    """The folder layout with 6 training and 4 test images in each of 3 classes."""
    root = tmp_path / "cifar10"
    counts = dict.fromkeys(("cat", "dog", "frog"), 6)
    write_tree(counts, root=root / "train")
    write_tree(dict.fromkeys(counts, 4), root=root / "test", seed=1000)
    return root


@pytest.fixture
def scaled(monkeypatch):
    """Draws 2 queries and 3 training images of each class instead of 100 and 500."""
    monkeypatch.setattr("hashprobe.data.datasets.cifar10.QUERIES", 2)
    monkeypatch.setattr("hashprobe.data.datasets.cifar10.TRAINING", 3)


def sizes(data):
    return [len(split) for split in (data.query, data.train, data.database)]


class Published:
    """Stands in for torchvision's reader: the published counts, with pictures of one pixel."""

    def __init__(self, root, train, download):
        count = 50_000 if train else 10_000
        numbers = np.arange(count) + (0 if train else 50_000)
        values = [numbers % 256, numbers // 256 % 256, numbers // 65536]
        self.data = np.stack(values, -1).astype(np.uint8)[:, None, None]
        self.targets = (np.arange(count) % 10).tolist()
        self.classes = CLASSES


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        ("cifar10", [1_000, 5_000, 54_000]),
        ("cifar10-1", [1_000, 5_000, 59_000]),
        ("cifar10-2", [10_000, 50_000, 50_000]),
    ],
)
def test_the_conventions_have_their_published_counts(monkeypatch, tmp_path, convention, expected):
    monkeypatch.setattr(datasets, "CIFAR10", Published)
    (tmp_path / "cifar-10-batches-py").mkdir()
    data = load_cifar10(tmp_path, convention)
    assert sizes(data) == expected
    assert data.name == convention
    for split, count in zip((data.query, data.train, data.database), expected, strict=True):
        np.testing.assert_array_equal(split.labels.sum(0), [count / 10] * 10)
    overlaps = [f for f in data.findings if f.kind == "overlap"]
    assert [f.harmless for f in overlaps] == ([] if convention == "cifar10" else [True])
    assert not [f for f in data.findings if f.kind == "order"]


def test_cifar10_keeps_the_training_images_out(folder, scaled):
    data = load_cifar10(folder, "cifar10")
    assert sizes(data) == [6, 9, 15]
    assert len({*data.query.ids, *data.train.ids, *data.database.ids}) == 30
    assert data.findings == ()


def test_cifar10_1_keeps_the_training_images_in(folder, scaled):
    data = load_cifar10(folder, "cifar10-1")
    assert sizes(data) == [6, 9, 24]
    assert set(data.train.ids) < set(data.database.ids)
    assert not set(data.query.ids) & set(data.database.ids)


def test_cifar10_2_asks_with_the_test_set(folder):
    data = load_cifar10(folder)
    assert sizes(data) == [12, 18, 18]
    assert {name.split("/")[0] for name in data.query.ids} == {"test"}
    assert {name.split("/")[0] for name in data.database.ids} == {"train"}
    assert data.train.ids == data.database.ids
    for split in (data.query, data.database):
        names = [data.label_names[i] for i in split.labels.argmax(1)]
        assert names == [path.split("/")[1] for path in split.ids]


@pytest.mark.parametrize("convention", ["cifar10", "cifar10-1", "cifar10-2"])
def test_the_seed_decides_the_draw(folder, scaled, convention):
    first, again, other = (load_cifar10(folder, convention, seed=s) for s in (0, 0, 1))
    assert (first.query.ids, first.checksum) == (again.query.ids, again.checksum)
    assert first.query.ids != other.query.ids


def write_batches(root, monkeypatch):
    """torchvision's own layout with 2 images a file, and its checksums of these files."""
    base = root / "cifar-10-batches-py"
    base.mkdir()
    rng = np.random.default_rng(0)
    pixels = {}

    def write(name, content):
        data = pickle.dumps(content, protocol=2)
        # As the numpy of the published files did it: flags of a dtype are 0 and 1, not booleans.
        data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        data = data.replace(b"\x89\x88\x87", b"K\x00K\x01\x87")
        (base / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    def batch(name, labels):
        pixels[name] = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        return write(name, {"data": pixels[name], "labels": labels})

    train = [batch(f"data_batch_{i}", [2 * i - 2, 2 * i - 1]) for i in range(1, 6)]
    test = [batch("test_batch", [3, 7])]
    meta = write("batches.meta", {"label_names": CLASSES})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", test)
    entry = {"filename": meta[0], "key": "label_names", "md5": meta[1]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", entry)
    return base, pixels


def test_torchvisions_own_copy_is_read(tmp_path, monkeypatch):
    _, pixels = write_batches(tmp_path, monkeypatch)
    data = load_cifar10(tmp_path)
    assert sizes(data) == [2, 10, 10]
    assert data.label_names == tuple(CLASSES)
    for i, name in enumerate(data.query.ids):
        part, number = name.split("/")
        assert part == "test"
        image = pixels["test_batch"][int(number)].reshape(3, 32, 32)
        np.testing.assert_array_equal(data.query.source.read(i).numpy(), image)
        assert data.query.labels[i].argmax() == [3, 7][int(number)]
    number = int(data.database.ids[0].split("/")[1])
    image = pixels[f"data_batch_{number // 2 + 1}"][number % 2].reshape(3, 32, 32)
    assert torch.equal(data.database.source.read(0), torch.from_numpy(image))
    assert data.database.labels[0].argmax() == number


def test_a_damaged_copy_of_torchvision_is_one_line(tmp_path, monkeypatch):
    base, _ = write_batches(tmp_path, monkeypatch)
    (base / "data_batch_3").write_bytes(b"cut")
    with pytest.raises(HashprobeError, match=r"CIFAR-10 in .*corrupted") as caught:
        load_cifar10(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refuse)
    with pytest.raises(HashprobeError, match=r"CIFAR-10 in .*name resolution"):
        load_cifar10(tmp_path, download=True)


def test_a_folder_without_cifar10_says_what_it_must_hold(tmp_path):
    with pytest.raises(HashprobeError, match=r"no CIFAR-10 in .*train/ and test/.*--download"):
        load_cifar10(tmp_path)


def test_train_and_test_of_different_classes_are_refused(folder):
    (folder / "test" / "frog").rename(folder / "test" / "toad")
    with pytest.raises(HashprobeError, match=r"test and .*train hold different classes"):
        load_cifar10(folder)


def test_an_unknown_convention_names_the_three(folder, as_for_users):
    with pytest.raises(HashprobeError, match=r"'cifar10-3': choose from cifar10, cifar10-1"):
        load_cifar10(folder, "cifar10-3")


def test_a_class_with_too_few_images_is_named(folder):
    with pytest.raises(HashprobeError, match=r"class cat has 10 images, too few to draw 100"):
        load_cifar10(folder, "cifar10")
