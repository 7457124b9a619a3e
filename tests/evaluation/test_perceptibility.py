import json
from dataclasses import replace

import numpy as np
import pytest

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.perceptibility import Perceptibility, compare_pixels, compare_twins, ssim


def pictures(n=3, h=20, w=17, seed=0):
    return np.random.default_rng(seed).random((n, 3, h, w))


def naive_ssim(x, y, side):
    """One channel; the window placed by loops, weights from the two-dimensional formula."""
    half = side // 2
    window = np.array(
        [
            [np.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-half, half + 1)]
            for i in range(-half, half + 1)
        ]
    )
    window /= window.sum()
    values = []
    for top in range(x.shape[0] - side + 1):
        for left in range(x.shape[1] - side + 1):
            place = np.s_[top : top + side, left : left + side]
            a, b = x[place], y[place]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            both = (window * (a - mean_a) * (b - mean_b)).sum()
            above = (2 * mean_a * mean_b + 1e-4) * (2 * both + 9e-4)
            values.append(above / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
    return np.mean(values)


@pytest.mark.parametrize(("h", "w", "side"), [(20, 17, 11), (11, 11, 11), (8, 30, 7), (1, 2, 1)])
def test_ssim_is_a_loop_over_windows(h, w, side):
    x = pictures(2, h, w)
    y = np.clip(x + np.random.default_rng(1).normal(0, 0.2, x.shape), 0, 1)
    expected = [
        np.mean([naive_ssim(a, b, side) for a, b in zip(p, q, strict=True)])
        for p, q in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(ssim(x, y), expected, atol=1e-10)


def test_rmse_is_per_image_before_the_mean():
    x = np.full((2, 3, 12, 12), 0.5)
    y = x.copy()
    y[0] += 0.1
    y[1] += 0.3
    found = compare_pixels(x, y)
    assert found.rmse == pytest.approx(0.2)
    assert found.linf_255 == pytest.approx(0.3 * 255)
    assert found.psnr == pytest.approx((20 - 20 * np.log10(0.3)) / 2)


def test_eight_bits_and_floats_say_the_same():
    x = np.random.default_rng(0).integers(0, 247, (3, 3, 16, 16), dtype=np.uint8)
    y = x + np.random.default_rng(1).integers(0, 9, x.shape, dtype=np.uint8)
    whole = compare_pixels(x, y)
    assert whole.linf_255 == pytest.approx(8)
    mixed = compare_pixels((x / 255).astype(np.float64), y)
    assert mixed.rmse == pytest.approx(whole.rmse)
    single = compare_pixels((x / 255).astype(np.float32), (y / 255).astype(np.float32))
    assert single.ssim == pytest.approx(whole.ssim, abs=1e-6)
    assert compare_pixels(y, x).linf_255 == pytest.approx(8)


def test_identical_images():
    x = pictures()
    found = compare_pixels(x, x)
    assert (found.rmse, found.linf_255, found.psnr) == (0, 0, np.inf)
    assert found.ssim == pytest.approx(1)
    assert found.to_json()["psnr"] is None
    assert Perceptibility.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_an_image_that_did_not_change_leaves_psnr_finite():
    x = pictures(2)
    y = x.copy()
    y[0] = np.clip(y[0] + 0.05, 0, 1)
    assert compare_pixels(x, y).psnr == pytest.approx(compare_pixels(x[:1], y[:1]).psnr)


def test_values_do_not_depend_on_the_block(monkeypatch):
    x, y = pictures(5), pictures(5, seed=1)
    whole = compare_pixels(x, y)
    monkeypatch.setattr("hashprobe.evaluation.perceptibility.BLOCK_PIXELS", 2000)
    parts = compare_pixels(x, y)
    assert parts.to_json() == pytest.approx(whole.to_json())


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (pictures(2), pictures(3), r"shape \(2, 3, 20, 17\), attacked ones \(3"),
        (pictures()[0], pictures()[0], r"\(N, 3, H, W\), N > 0; got \(3, 20, 17\)"),
        (pictures()[:0], pictures()[:0], r"got \(0, 3, 20, 17\)"),
        (np.ones((1, 1, 8, 8)), np.ones((1, 1, 8, 8)), r"got \(1, 1, 8, 8\)"),
        (np.ones((1, 3, 8, 8), int), np.ones((1, 3, 8, 8)), "uint8 or floating .*; got int64"),
        (pictures(), pictures() * 2.64, "attacked images must lie.*max 2.6.*already normalised"),
        (pictures() - 1, pictures(), "^images must lie"),
        (np.full((1, 3, 8, 8), np.nan), np.ones((1, 3, 8, 8)), "min nan"),
    ],
)
def test_values_that_are_not_pixels_are_refused(x, y, words):
    with pytest.raises(HashprobeError, match=words):
        compare_pixels(x, y)


def test_a_clip_counts_by_its_own_frames():
    """All values of its frames alike, what lies beyond not at all; SSIM is the mean over frames."""
    rng = np.random.default_rng(3)
    clips = rng.random((3, 4, 3, 12, 12))
    moved = np.clip(clips + rng.normal(0, 0.05, clips.shape), 0, 1)
    lengths = np.array([4, 1, 3])
    moved[1, 1:], moved[2, 3:] = 1 - clips[1, 1:], 0.5  # never seen
    found = compare_pixels(clips, moved, lengths)
    roots, similarities, peaks, levels = [], [], [], []
    for clip, twin, length in zip(clips, moved, lengths, strict=True):
        x, y = clip[:length], twin[:length]
        roots.append(np.sqrt(((y - x) ** 2).mean()))
        alone = [compare_pixels(x[i : i + 1], y[i : i + 1]) for i in range(length)]
        similarities.append(np.mean([one.ssim for one in alone]))
        levels.append(-10 * np.log10(((y - x) ** 2).mean()))
        peaks.append(np.abs(y - x).max())
    assert found.rmse == pytest.approx(np.mean(roots), rel=1e-12)
    assert found.ssim == pytest.approx(np.mean(similarities), rel=1e-12)
    assert found.psnr == pytest.approx(np.mean(levels), rel=1e-12)
    assert found.linf_255 == pytest.approx(255 * max(peaks), rel=1e-12)
    whole = compare_pixels(clips, moved)
    assert whole.rmse > found.rmse
    first = compare_pixels(clips[:, 0], moved[:, 0])
    assert replace(compare_pixels(clips[:, :1], moved[:, :1]), rmse_frames=None) == first


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_what_a_viewer_sees_in_a_changed_frame(kind):
    """Frames left alone and frames of the padding count nothing, nor does float32's rounding."""
    rng = np.random.default_rng(4)
    clips = rng.integers(10, 240, (4, 5, 3, 12, 12), dtype=np.uint8)
    moved = clips.copy()
    moved[0, 1] += 3
    moved[0, 4, 0] += 9  # a third of the values of this frame
    moved[1, :2] += 5
    moved[2] += 2
    moved[1, 3:] = 0  # never seen
    lengths = np.array([5, 3, 5, 4])
    seen = moved if kind == np.uint8 else (moved / 255).astype(np.float32)
    found = compare_pixels(clips, seen, lengths)
    per_clip = np.sqrt([(9 + 81 / 3) / 2, 25, 4, 0]) / 255
    assert found.rmse_frames == pytest.approx(per_clip.mean(), rel=1e-5)
    of_all = np.sqrt([(9 + 81 / 3) / 5, 25 * 2 / 3, 4, 0]) / 255
    assert found.rmse == pytest.approx(of_all.mean(), rel=1e-5)
    assert found.psnr == pytest.approx((-20 * np.log10(of_all[:3])).mean(), rel=1e-5)
    assert compare_pixels(clips, clips).rmse_frames == 0


def test_records_of_clips_keep_the_number_and_older_ones_are_read():
    clips = np.random.default_rng(5).random((1, 2, 3, 12, 12))
    found = compare_pixels(clips, 1 - clips)
    record = json.loads(json.dumps(found.to_json()))
    assert Perceptibility.from_json(record) == found
    del record["rmse_frames"]
    assert Perceptibility.from_json(record) == replace(found, rmse_frames=None)
    assert "rmse_frames" not in compare_pixels(clips[0], clips[0]).to_json()


def test_it_prints_its_numbers():
    images = Perceptibility(0.0081, 7.96, 41.82, 0.97123)
    text = "RMSE 8.10e-03, largest change 8/255, PSNR 41.8 dB, SSIM 0.9712"
    assert str(images) == text
    assert str(replace(images, rmse_frames=0.02)) == text + ", RMSE of changed frames 2.00e-02"


def test_twins_that_are_equal_are_compared_once(monkeypatch):
    """8-bit pictures and the same as floats have the same numbers; others have their own."""
    rng = np.random.default_rng(5)
    clean, moved = rng.integers(0, 256, (2, 3, 3, 12, 12), dtype=np.uint8)
    same = moved.astype(np.float32) / 255
    other = np.clip(same + 0.001, 0, 1).astype(np.float32)
    calls = []
    monkeypatch.setattr(
        "hashprobe.evaluation.perceptibility.ssim", lambda x, y: calls.append(0) or ssim(x, y)
    )
    rounded, exact, away = compare_twins(clean, (moved, same, other))
    assert len(calls) == 2
    assert rounded == exact == compare_pixels(clean, moved)
    assert away == compare_pixels(clean, other) != exact
    assert exact.rmse == pytest.approx(compare_pixels(clean, same).rmse, rel=1e-7)
