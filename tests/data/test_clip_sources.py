"""Sources of clips, and splits of them at the size and length that a network expects."""

import numpy as np
import pytest
import torch
from PIL import Image

from hashprobe.data.clip_sources import ClipArraySource, FrameFolderSource, VideoFileSource
from hashprobe.data.fitting import fit_image
from hashprobe.data.loader import decode, stream
from hashprobe.data.sources import ClipSource, Split
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract, Runtime


CONTRACT = InputContract(size=4, frames=6)


@pytest.fixture
def folders(tmp_path):
    """Builds a split of frame folders; picture t of folder i shows 10 i + t in every pixel."""

    def build(lengths, names=lambda t: f"{t:02d}.png", size=8):
        for i, length in enumerate(lengths):
            (tmp_path / f"c{i}").mkdir(exist_ok=True)
            for t in range(length):
                pixels = np.full((size, size, 3), 10 * i + t, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / f"c{i}" / names(t))
        paths = tuple(f"c{i}" for i in range(len(lengths)))
        source = FrameFolderSource(tmp_path, paths)
        return Split(paths, source, np.ones((len(paths), 1), dtype=bool))

    return build


def shown(clip):
    """What each frame shows in its first pixel."""
    return clip[:, 0, 0, 0].tolist()


def test_every_so_many_th_frame_is_read_up_to_the_limit(make_clips, folders):
    (clip,) = make_clips([100]).source.clips
    levels = list(range(1, 101))
    for stride, limit in ((1, 40), (3, 40), (3, 5), (7, 1), (200, 40)):
        expected = levels[::stride][:limit]
        assert shown(ClipArraySource((clip,), stride, limit).read(0)) == expected
        root = folders([100]).source.root
        frames = FrameFolderSource(root, ("c0",), stride, limit).read(0)
        assert [level + 1 for level in shown(frames)] == expected


def test_the_paper_s_forty_frames_are_the_default(make_clips, folders):
    assert len(make_clips([50]).source.read(0)) == 40
    assert len(folders([50]).source.read(0)) == 40
    assert VideoFileSource(folders([1]).source.root, ("c0",)).limit == 40


@pytest.mark.parametrize("rule", [(0, 40), (1, 0), (-1, 3)])
def test_a_rule_that_keeps_nothing_is_refused(tmp_path, rule):
    for build in (
        lambda: ClipArraySource((), *rule),
        lambda: FrameFolderSource(tmp_path, (), *rule),
        lambda: VideoFileSource(tmp_path, (), *rule),
    ):
        with pytest.raises(HashprobeError, match=r"stride and limit .* at least 1; got"):
            build()


def test_clips_without_frames_are_refused():
    with pytest.raises(HashprobeError, match="clip 1 has no frames"):
        ClipArraySource((torch.ones(1, 3, 2, 2).byte(), torch.ones(0, 3, 2, 2).byte()))


def test_padded_clips_end_where_their_lengths_say(make_clips):
    clips = torch.arange(24, dtype=torch.uint8).reshape(2, 4, 3, 1, 1)
    source = ClipArraySource.padded(clips, torch.tensor([4, 2]))
    assert [len(source.read(i)) for i in range(2)] == [4, 2]
    assert torch.equal(source.read(1), clips[1, :2])


def test_numbers_in_the_names_of_frames_count_as_numbers(folders):
    split = folders([12], names=lambda t: f"frame{t}.png")
    assert shown(split.source.read(0)) == list(range(12))


def test_hidden_files_and_other_files_are_no_frames(folders, tmp_path):
    split = folders([3])
    (tmp_path / "c0" / "._00.png").write_bytes(b"no picture")
    (tmp_path / "c0" / "notes.txt").write_text("neither")
    assert shown(split.source.read(0)) == [0, 1, 2]


def test_bad_frame_folders_are_named(folders, tmp_path):
    split = folders([3, 3, 3, 0]).take([0, 1, 2, 3])
    (tmp_path / "c1" / "01.png").write_text("no picture")
    Image.new("RGB", (5, 5)).save(tmp_path / "c2" / "02.png")
    gone = FrameFolderSource(tmp_path, (*split.source.paths, "nowhere"))
    split = Split((*split.ids, "x"), gone, np.ones((5, 1), dtype=bool))
    found = decode(split, CONTRACT, Runtime(workers=0, skip_bad=True))
    assert found.positions.tolist() == [0]
    texts = [text.split(f"{tmp_path}/")[1] for text in found.bad]
    assert texts[0].startswith("c1/01.png: ")
    assert texts[1:] == [
        "c2/02.png: has another size than 00.png",
        "c3: holds no pictures",
        "nowhere: no such folder",
    ]
    with pytest.raises(HashprobeError, match=r"c1/01\.png: .*; 3 other clips are bad too \(--skip"):
        decode(split, CONTRACT, Runtime(workers=0))


@pytest.mark.parametrize("kind", ["array", "folders"])
def test_a_split_of_clips_is_taken_apart_by_position(make_clips, folders, kind):
    split = make_clips([2, 3, 4]) if kind == "array" else folders([2, 3, 4])
    part = split.take([2, 0])
    assert split.video and part.video
    assert isinstance(part.source, type(split.source))
    assert [len(part.source.read(i)) for i in range(2)] == [4, 2]
    assert part.digests() == [split.digests()[2], split.digests()[0]]
    assert len(set(split.digests())) == 3


def test_the_rule_outlives_taking(tmp_path):
    for source in (
        ClipArraySource((torch.ones(9, 3, 2, 2).byte(),) * 2, 2, 3),
        FrameFolderSource(tmp_path, ("a", "b"), 2, 3),
        VideoFileSource(tmp_path, ("a", "b"), 2, 3),
    ):
        assert isinstance(source, ClipSource)
        part = source.take((1,))
        assert (part.stride, part.limit, len(part)) == (2, 3, 1)


def test_fingerprints_see_frames_their_order_and_their_number(folders, tmp_path):
    first = folders([4, 4]).source
    same = [first.fingerprint(0), first.fingerprint(0)]
    assert same[0] == same[1] != first.fingerprint(1)
    (tmp_path / "c0" / "03.png").unlink()
    assert first.fingerprint(0) != same[0]
    flat = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    source = ClipArraySource((flat, flat.reshape(1, 3, 8, 4), flat.reshape(1, 3, 4, 8), flat + 1))
    assert len({source.fingerprint(i) for i in range(4)}) == 4


def test_clips_are_filled_up_with_zeros_and_say_how_long_they_are(make_clips):
    split = make_clips([3, 6, 9, 1])
    pixels = decode(split, CONTRACT)
    assert pixels.images.shape == (4, 6, 3, 4, 4)
    assert pixels.images.dtype == torch.uint8
    assert pixels.lengths.tolist() == [3, 6, 6, 1]
    assert pixels.lengths.dtype == np.int64
    for i, length in enumerate([3, 6, 6, 1]):
        expected = [10 * i + t + 1 for t in range(length)] + [0] * (6 - length)
        assert shown(pixels.images[i]) == expected
        assert (pixels.images[i, length:] == 0).all()


def test_images_have_no_lengths(make_split):
    assert decode(make_split([1, 2], np.ones((2, 1))), InputContract(size=4)).lengths is None


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("name", ["bilinear", "bicubic", "nearest"])
def test_frames_are_fitted_as_pictures_are(picture, name, fit):
    frames = np.stack([picture(i, 20, 12) for i in range(3)])
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    contract = InputContract(size=7, filter=name, fit=fit, frames=3)
    fitted = fit_image(clip, contract)
    assert fitted.shape == (3, 3, 7, 7)
    for t in range(3):
        assert torch.equal(fitted[t], fit_image(clip[t], contract))
    split = Split(("a",), ClipArraySource((clip,)), np.ones((1, 1), dtype=bool))
    assert torch.equal(decode(split, contract).images[0], fitted)


def test_batches_of_clips_hold_as_many_frames_as_batches_of_images(make_clips):
    split = make_clips([2] * 20)
    sizes = [len(batch.positions) for batch in stream(split, InputContract(size=4, frames=40))]
    assert sizes == [6, 6, 6, 2]
    sizes = [len(b.positions) for b in stream(split, InputContract(size=4, frames=999))]
    assert sizes == [1] * 20


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_worker_processes_give_what_none_gives(folders, tmp_path):
    split = folders([3, 5, 1, 8, 2])
    (tmp_path / "c2" / "00.png").write_text("no picture")
    alone = decode(split, CONTRACT, Runtime(workers=0, skip_bad=True))
    batches = list(stream(split, CONTRACT, Runtime(batch_size=2, workers=2, skip_bad=True)))
    assert torch.equal(torch.cat([batch.images for batch in batches]), alone.images)
    assert np.concatenate([b.lengths for b in batches]).tolist() == [3, 5, 6, 2]
    assert alone.lengths.tolist() == [3, 5, 6, 2]
    assert alone.positions.tolist() == [0, 1, 3, 4]


def test_clips_can_be_mapped_from_a_file(make_clips, tmp_path):
    split, path = make_clips([3, 2]), tmp_path / "clips.npy"
    mapped = decode(split, CONTRACT, into=path)
    assert torch.equal(mapped.images, decode(split, CONTRACT).images)
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), mapped.images.numpy())


def test_clips_need_a_network_of_clips_and_images_one_of_images(make_clips, make_split):
    for run in (decode, lambda *given: next(stream(*given))):
        with pytest.raises(HashprobeError, match="the data are clips, but the network sees images"):
            run(make_clips([2]), InputContract(size=4))
        with pytest.raises(HashprobeError, match="are images, but the network sees clips of up to"):
            run(make_split([1], [[1]]), CONTRACT)
        with pytest.raises(HashprobeError, match="frames must be 0 to 65536; got -1"):
            run(make_clips([2]), InputContract(size=4, frames=-1))
