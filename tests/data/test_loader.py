import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.data.fitting import fit_image
from hashprobe.data.loader import decode, stream
from hashprobe.data.sources import FileSource, Split
from hashprobe.errors import HashprobeError
from hashprobe.storage.environment import cores
from hashprobe.types import InputContract, Runtime


# The package exports the function of the same name.
MODULE = sys.modules[stream.__module__]


@pytest.fixture
def files(tmp_path):
    """Builds a split of the files below tmp_path, all of one class."""

    def build(names):
        labels = np.ones((len(names), 1), dtype=bool)
        return Split(tuple(names), FileSource(tmp_path, tuple(names)), labels)

    return build


PIL_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_the_filter_of_the_contract_is_the_one_that_pillow_calls_so(picture, name):
    """With antialiasing, both libraries agree up to rounding; the other filter is far away."""
    pixels = picture(4, 40, 24)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    fitted = fit_image(image, InputContract(size=10, filter=name))
    assert (fitted.dtype, fitted.shape) == (torch.uint8, (3, 10, 10))
    differences = {}
    for other, method in PIL_FILTERS.items():
        expected = np.asarray(Image.fromarray(pixels).resize((10, 10), method)).astype(int)
        difference = np.abs(fitted.permute(1, 2, 0).numpy().astype(int) - expected)
        differences[other] = difference.max()
    assert differences[name] <= 1
    assert max(differences.values()) > 5


@pytest.mark.parametrize("name", ["lanczos", "box"])
def test_filters_that_pillow_alone_has_are_pillows(picture, name):
    pixels = picture(4, 40, 24)
    method = {"lanczos": Image.Resampling.LANCZOS, "box": Image.Resampling.BOX}[name]
    expected = np.asarray(Image.fromarray(pixels).resize((10, 10), method))
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    contract = InputContract(size=10, filter=name)
    assert (fit_image(image, contract).permute(1, 2, 0).numpy() == expected).all()
    clip = torch.stack([image, 255 - image])
    frames = fit_image(clip, contract)
    assert torch.equal(frames[0], fit_image(image, contract)) and frames.shape == (2, 3, 10, 10)


@pytest.mark.parametrize("name", ["bilinear", "lanczos"])
@pytest.mark.parametrize("shape", [(31, 20), (20, 31), (20, 400), (12, 12)])
def test_padding_keeps_the_whole_picture_between_black_borders(name, shape):
    image = torch.full((3, *shape), 200, dtype=torch.uint8)
    padded = fit_image(image, InputContract(size=12, filter=name, fit="pad"))
    assert padded.shape == (3, 12, 12)
    short = max(1, round(12 * min(shape) / max(shape)))
    first = (12 - short) // 2
    lit = padded[0] == 200
    rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
    tall = (rows, columns) if shape[0] >= shape[1] else (columns, rows)
    assert tall[0].tolist() == list(range(12))
    assert tall[1].tolist() == list(range(first, first + short))
    assert set(padded.unique().tolist()) <= {0, 200}


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_the_centre_of_a_larger_resize_is_cut_out(picture, fit):
    image = torch.from_numpy(picture(4, 40, 24)).permute(2, 0, 1)
    larger = fit_image(image, InputContract(size=14, fit=fit))
    cut = fit_image(image, InputContract(size=10, fit=fit, resize_to=14))
    assert torch.equal(cut, larger[:, 2:12, 2:12])
    # A picture of the size itself is resized, too.
    whole = fit_image(larger[:, :10, :10], InputContract(size=10, fit=fit, resize_to=14))
    assert not torch.equal(whole, larger[:, :10, :10])


def test_nearest_invents_no_values(picture):
    image = torch.from_numpy(picture(4, 40, 24)).permute(2, 0, 1)
    fitted = fit_image(image, InputContract(size=10, filter="nearest"))
    assert set(fitted.unique().tolist()) <= set(image.unique().tolist())
    smooth = fit_image(image, InputContract(size=10, filter="bilinear"))
    assert (fitted.int() - smooth.int()).abs().max() > 20


def test_fit_squashes_or_crops_the_centre():
    image = torch.zeros(3, 10, 30, dtype=torch.uint8)
    image[:, :, 10:20] = 255
    cropped = fit_image(image, InputContract(size=10, fit="crop"))
    assert cropped.min() == 255
    squashed = fit_image(image, InputContract(size=10, fit="squash"))
    assert squashed[0, 5].tolist()[:2] == [0, 0]
    assert squashed[0, 5, 5] == 255


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (3, 9_001)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "nearest"])
def test_a_crop_of_a_long_picture_takes_little_memory(monkeypatch, shape, name):
    """Resized as a whole, a line of 20,000 pixels would have 224 x 4,480,000."""
    import torchvision.transforms.v2.functional as F

    sizes = []
    resize = F.resize
    monkeypatch.setattr(
        F, "resize", lambda *a, **k: sizes.append((out := resize(*a, **k)).numel()) or out
    )
    # Grey levels that rise along the picture: the crop is the middle.
    ramp = torch.linspace(0, 255, max(shape)).round().to(torch.uint8)
    image = ramp.reshape(1, *((-1, 1) if shape[0] > shape[1] else (1, -1))).expand(3, *shape)
    cropped = fit_image(image, InputContract(size=64, fit="crop", filter=name))
    assert cropped.shape == (3, 64, 64)
    assert max(sizes) <= 3 * 64 * 64 * 11
    assert (cropped.float() - 127.5).abs().max() <= 1


@pytest.mark.parametrize("shape", [(40, 329), (323, 40), (20, 997)])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_cutting_the_ends_changes_no_pixel_of_the_crop(shape, name):
    """The same as the middle of the whole picture resized, up to where its sides are rounded."""
    import torchvision.transforms.v2.functional as F
    from torchvision.transforms import InterpolationMode

    wave = 127 + 120 * torch.sin(torch.arange(max(shape)) / 9)
    image = wave.to(torch.uint8).reshape((-1, 1) if shape[0] > shape[1] else (1, -1))
    image = image.expand(3, *shape)
    for size in (10, 40, 80):
        whole = F.resize(image, [size], InterpolationMode(name), antialias=True)
        cropped = fit_image(image, InputContract(size=size, fit="crop", filter=name))
        difference = (cropped.int() - F.center_crop(whole, [size, size]).int()).abs()
        assert difference.max() <= 6


def test_pictures_of_the_right_size_stay_as_they_are(picture):
    image = torch.from_numpy(picture(5)).permute(2, 0, 1)
    assert torch.equal(fit_image(image, InputContract(size=8, filter="bicubic")), image)


def test_batches_come_in_order_and_whole(make_split):
    split = make_split(range(10), np.ones((10, 1)))
    seen, progress = [], []
    for batch in stream(
        split,
        InputContract(size=4),
        Runtime(batch_size=4),
        on_progress=lambda done, total: progress.append((done, total)),
    ):
        assert batch.images.dtype == torch.uint8
        assert batch.images[:, 0, 0, 0].tolist() == batch.positions.tolist()
        seen.append(len(batch.positions))
    assert seen == [4, 4, 2]
    assert progress == [(4, 10), (8, 10), (10, 10)]


@pytest.fixture
def mixed(write_tree, files, tmp_path):
    """Twelve files: a cut one, one that is no picture, one that is missing, nine good ones."""
    write_tree({"x": 12}, root=tmp_path)
    names = [f"x/{i:04d}.png" for i in range(12)]
    data = (tmp_path / names[2]).read_bytes()
    (tmp_path / names[2]).write_bytes(data[: len(data) // 2])
    (tmp_path / names[5]).write_text("hello")
    (tmp_path / names[9]).unlink()
    return files(names)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_images_are_one_line_that_names_the_first_and_counts_the_others(mixed, workers):
    message = r"x/0002\.png: .*; 2 other images are bad too \(--skip-bad goes on without them\)$"
    with pytest.raises(HashprobeError, match=message) as caught:
        decode(mixed, InputContract(size=8), Runtime(workers=workers))
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_skip_bad_goes_on_without_them(mixed, workers):
    progress = []
    pixels = decode(
        mixed,
        InputContract(size=8),
        Runtime(workers=workers, skip_bad=True),
        on_progress=lambda done, total: progress.append(done),
    )
    good = [0, 1, 3, 4, 6, 7, 8, 10, 11]
    assert pixels.positions.tolist() == good
    assert progress[-1] == 12
    for row, position in enumerate(good):
        assert torch.equal(pixels.images[row], mixed.source.read(position))
    assert [text.split(": ")[0].rsplit("/")[-1] for text in pixels.bad] == [
        "0002.png",
        "0005.png",
        "0009.png",
    ]
    assert pixels.bad[2].endswith("x/0009.png: no such file")


def test_one_bad_image_is_said_to_be_the_only_one(mixed):
    with pytest.raises(HashprobeError, match=r"x/0002\.png: .*; no other image is bad \(--skip"):
        decode(mixed.take([0, 1, 2, 3]), InputContract(size=8), Runtime(workers=0))


@pytest.mark.parametrize("skip", [False, True])
def test_nothing_but_bad_images_is_an_error_that_skipping_does_not_mend(mixed, skip):
    with pytest.raises(HashprobeError, match=r"x/0005\.png: .*; 1 other images are bad too$"):
        decode(mixed.take([5, 9]), InputContract(size=8), Runtime(workers=0, skip_bad=skip))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_worker_processes_give_what_none_gives(write_tree, files, tmp_path):
    write_tree({"x": 30}, root=tmp_path)
    split = files([f"x/{i:04d}.png" for i in range(30)])
    contract = InputContract(size=5)
    alone = decode(split, contract, Runtime(workers=0))
    batches = list(stream(split, contract, Runtime(batch_size=4, workers=2)))
    assert torch.equal(torch.cat([batch.images for batch in batches]), alone.images)
    assert np.concatenate([b.positions for b in batches]).tolist() == list(range(30))


def test_pixels_can_be_mapped_from_a_file(mixed, tmp_path):
    path = tmp_path / "cache" / "pixels.npy"
    mapped = decode(mixed, InputContract(size=8), Runtime(workers=0, skip_bad=True), into=path)
    memory = decode(mixed, InputContract(size=8), Runtime(workers=0, skip_bad=True))
    assert torch.equal(mapped.images, memory.images)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r")[:9], memory.images.numpy())


def test_workers_are_the_cores_that_this_process_may_use(monkeypatch, files, write_tree, tmp_path):
    write_tree({"x": 4}, root=tmp_path)
    split = files([f"x/{i:04d}.png" for i in range(4)])
    asked = []

    class Loader:
        def __init__(self, data, *, num_workers, **options):
            asked.append(num_workers)

        def __iter__(self):
            return iter(())

    monkeypatch.setattr(MODULE, "DataLoader", Loader)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    for cpus in ({0}, {1, 5, 7}):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid, cpus=cpus: cpus, raising=False)
        list(stream(split, InputContract(size=8), Runtime(batch_size=1)))
    assert asked == [1, 3]
    # Where the system has no notion of it (macOS, Windows), the machine's cores.
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == 64


def test_more_workers_than_batches_are_not_started(monkeypatch, files, write_tree, tmp_path):
    write_tree({"x": 2}, root=tmp_path)
    split = files(["x/0000.png", "x/0001.png"])
    asked = []
    monkeypatch.setattr(
        MODULE,
        "DataLoader",
        lambda data, *, num_workers, **options: asked.append(num_workers) or [],
    )
    list(stream(split, InputContract(size=8), Runtime(workers=16)))
    assert asked == [1]


def test_arrays_need_no_workers(monkeypatch, make_split):
    asked = []
    monkeypatch.setattr(
        MODULE,
        "DataLoader",
        lambda data, *, num_workers, **options: asked.append(num_workers) or [],
    )
    list(stream(make_split([1], [[1]]), InputContract(size=4)))
    assert asked == [0]


def test_decoding_whole_splits_ignores_the_batch_size_of_a_network(monkeypatch, make_split):
    asked = []
    monkeypatch.setattr(
        MODULE,
        "Decoded",
        lambda split, *rest, real=MODULE.Decoded: asked.append(len(split)) or real(split, *rest),
    )
    sizes = []
    split = make_split(range(10), np.ones((10, 1)))
    decode(
        split,
        InputContract(size=4),
        Runtime(batch_size=1),
        on_progress=lambda done, total: sizes.append(done),
    )
    assert (asked, sizes) == ([10], [10])


def test_an_empty_split_is_refused(make_split):
    with pytest.raises(HashprobeError, match="without items"):
        list(stream(make_split([1], [[1]]).take([]), InputContract(size=4)))


@pytest.fixture
def several_sizes(files, tmp_path):
    """Seven pictures of two sizes, each of one grey level: 0, 10, 20, ..."""
    sizes = [(6, 9), (6, 9), (8, 4), (8, 4), (6, 9), (8, 4), (8, 4)]
    for i, size in enumerate(sizes):
        Image.new("RGB", size, (10 * i,) * 3).save(tmp_path / f"{i}.png")
    return files([f"{i}.png" for i in range(len(sizes))])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_contract_without_a_size_leaves_pictures_as_they_are(several_sizes, workers):
    runtime, progress = Runtime(batch_size=4, workers=workers), []
    batches = list(
        stream(
            several_sizes,
            InputContract(size=0),
            runtime,
            on_progress=lambda done, total: progress.append((done, total)),
        )
    )
    shapes = [tuple(batch.images.shape) for batch in batches]
    assert shapes == [(2, 3, 9, 6), (2, 3, 4, 8), (1, 3, 9, 6), (2, 3, 4, 8)]
    levels = torch.cat([batch.images[:, 0, 0, 0] for batch in batches]).tolist()
    assert levels == [10 * i for i in range(7)]
    assert np.concatenate([batch.positions for batch in batches]).tolist() == list(range(7))
    assert progress == [(4, 7), (7, 7)]


def test_pictures_that_are_kept_together_have_one_size(several_sizes, tmp_path):
    contract, alone = InputContract(size=0), Runtime(workers=0)
    with pytest.raises(HashprobeError, match="must have one size; got 9x6 and 4x8"):
        decode(several_sizes, contract, alone)
    kept = decode(several_sizes.take([2, 3, 5]), contract, alone, into=tmp_path / "pixels.npy")
    assert kept.images[:, 0, 0, 0].tolist() == [20, 30, 50]
    assert kept.images.shape == (3, 3, 4, 8)
