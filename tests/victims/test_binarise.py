"""Bits of embeddings against their definitions; fitted ones against what they are fitted for."""

import textwrap

import numpy as np
import pytest
import torch
from torch import nn

import hashprobe as hp
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import write_npz
from hashprobe.victims.binarise import Binariser, directions, fit_binariser
from hashprobe.victims.embedding import Embedding


D, K = 48, 12


@pytest.fixture(scope="module")
def floats():
    """Post-ReLU embeddings of pictures in four groups."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(4, D)) * 2
    return np.maximum(centres[rng.integers(4, size=300)] + rng.normal(size=(300, D)), 0)


@pytest.fixture
def pixels():
    return torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def victim():
    return hp.Victim(nn.Flatten(), bits=D, size=4)


@pytest.mark.parametrize(
    "given", [("mean",), ("matrix",), ("thresholds",), ("mean", "matrix", "thresholds")]
)
def test_logits_are_the_formula(given, pixels, tmp_path):
    rng = np.random.default_rng(1)
    width = K if "matrix" in given else D
    arrays = {
        "mean": rng.random(D),
        "matrix": rng.normal(size=(D, K)),
        "thresholds": rng.random(width),
    }
    known = {name: arrays[name] for name in given}
    binariser = Binariser(**known)
    wanted = pixels.flatten(1).double().numpy() - known.get("mean", 0)
    wanted = (wanted @ known["matrix"] if "matrix" in known else wanted) - known.get(
        "thresholds", 0
    )
    np.testing.assert_allclose(binariser(pixels.flatten(1)), wanted, atol=1e-5)
    binariser.save(tmp_path / "b.npz")
    again = Binariser.load(tmp_path / "b.npz")
    assert (again.bits, again.floats, again.zero_bit) == (width, D, 1)
    for each in (binariser, again):
        embedding = Embedding(victim(), each)
        np.testing.assert_allclose(embedding(pixels), wanted, atol=1e-4)
    assert (again(pixels.flatten(1)) == binariser(pixels.flatten(1))).all()


def test_the_rule_for_zero():
    flat = torch.full((1, 3, 4, 4), 0.5)
    for bit in (0, 1):
        binariser = Binariser(mean=np.full(D, 0.5), zero_bit=bit)
        codes = Embedding(victim(), binariser).eval()(flat) >= 0
        assert codes.all() if bit else not codes.any()


def test_the_median_of_a_pictures_own_floats(pixels):
    embedding = Embedding(victim(), "median")
    own = pixels.flatten(1).numpy()
    wanted = own - np.median(own, axis=1, keepdims=True)
    np.testing.assert_allclose(embedding(pixels), wanted, atol=1e-6)
    assert (embedding(pixels) > 0).sum(1).tolist() == [D // 2] * 5


def test_mean_and_median_balance_what_they_are_fitted_to(floats):
    mean = fit_binariser(floats, "mean")
    np.testing.assert_allclose(mean(floats).mean(0), 0, atol=1e-5)
    noise = np.random.default_rng(2).normal(size=(100, D))
    assert ((fit_binariser(noise, "median")(noise) >= 0).mean(0) == 0.5).all()


def test_principal_components_against_another_implementation(floats):
    from sklearn.decomposition import PCA

    for some in (floats, floats[:30]):  # more pictures than floats, and fewer
        own = fit_binariser(some, "pca", K)(some)
        other = PCA(K, svd_solver="full").fit_transform(some)
        np.testing.assert_allclose(np.abs(own), np.abs(other), atol=1e-3)


def test_the_rotation_of_itq_loses_least(floats):
    """The distance to the signs, which ITQ makes small, and a rotation that keeps distances."""

    def loss(binariser):
        logits = binariser(floats)
        return ((np.where(logits >= 0, 1, -1) - logits) ** 2).sum()

    pca, itq = (fit_binariser(floats, method, K) for method in ("pca", "itq"))
    turned = [fit_binariser(floats, "itq", K, seed=seed) for seed in range(3)]
    assert max(map(loss, turned)) < loss(pca)
    rotation = np.linalg.lstsq(pca.matrix, itq.matrix, rcond=None)[0]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(K), atol=1e-4)
    assert (fit_binariser(floats, "itq", K).matrix == itq.matrix).all()


def test_itq_against_a_naive_loop(floats):
    """Signs and the best rotation to them, in turns, by the solver of scipy."""
    from scipy.linalg import orthogonal_procrustes

    projected = fit_binariser(floats, "pca", K)(floats)
    rotation = directions(K, K, np.random.default_rng(5))
    for _ in range(50):
        rotation = orthogonal_procrustes(projected, np.where(projected @ rotation >= 0, 1, -1))[0]
    own = fit_binariser(floats, "itq", K, seed=5)(floats)
    np.testing.assert_allclose(own, projected @ rotation, atol=1e-3)


def test_random_directions_are_orthogonal_as_far_as_they_can_be(floats):
    few = fit_binariser(floats, "random", K, seed=3).matrix
    np.testing.assert_allclose(few.T @ few, np.eye(K), atol=1e-5)
    many = fit_binariser(floats, "random", 3 * D).matrix
    assert many.shape == (D, 3 * D)
    np.testing.assert_allclose(many @ many.T, 3 * np.eye(D), atol=1e-5)
    other = fit_binariser(floats, "random", K, seed=4).matrix
    assert not np.allclose(few, other)


def test_an_embedding_is_attacked(floats, pixels):
    embedding = Embedding(victim(), fit_binariser(floats, "itq", K)).eval()
    clean = embedding.encode(pixels).packed
    done = hp.attack(embedding, pixels, hp.Goal.targeted(-clean.signs()), eps=0.5, steps=5)
    assert (done.codes.signs() == -clean.signs()).sum() > 0
    assert done.recipe["reading"] == {"binarise": "file"}
    assert "binariser_matrix" in embedding.state_dict()


def test_an_embedding_that_is_never_negative_is_said(pixels):
    rectified = hp.Victim(nn.Sequential(nn.Flatten(), nn.Linear(D, D), nn.ReLU()), bits=D, size=4)
    with pytest.raises(HashprobeError, match=r"every bit is \+1.* fit a binariser"):
        rectified.encode(pixels)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_load_victim_takes_a_binariser(floats, pixels, tmp_path):
    torch.jit.trace(nn.Flatten(), pixels).save(tmp_path / "net.ts")
    fitted = fit_binariser(floats, "itq", K, zero_bit=0)
    fitted.save(tmp_path / "itq.npz")
    given = {"size": 4, "binarise": tmp_path / "itq.npz"}
    loaded = hp.load_victim(tmp_path / "net.ts", **given)
    assert (loaded.bits, loaded.zero_bit, loaded.training) == (K, 0, False)
    assert hp.load_victim(tmp_path / "net.ts", **given, bits=K).bits == K
    with pytest.raises(HashprobeError, match=r"gives 12 bits; asked for were 8"):
        hp.load_victim(tmp_path / "net.ts", **given, bits=8)
    with pytest.raises(HashprobeError, match="the bit of 0 is 0"):
        hp.load_victim(tmp_path / "net.ts", **given, zero_bit=1)
    with pytest.raises(HashprobeError, match="of 48 floats and the network gives 12"):
        Embedding(loaded, fitted)
    assert hp.load_victim(tmp_path / "net.ts", size=4, binarise="median", zero_bit=0).zero_bit == 0
    assert isinstance(hp.load_victim(tmp_path / "net.ts", size=4, binarise="sign"), hp.Victim)


def test_a_victim_that_knows_its_input_takes_a_binariser(floats, tmp_path, monkeypatch):
    code = """
        import hashprobe, torch

        def make():
            return hashprobe.Victim(torch.nn.Flatten(), bits=48, size=4)
    """
    (tmp_path / "factory_of_floats.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(tmp_path)
    fit_binariser(floats, "itq", K).save(tmp_path / "itq.npz")
    loaded = hp.load_victim("factory_of_floats:make", binarise=tmp_path / "itq.npz")
    assert (loaded.bits, loaded.training, loaded.victim.training) == (K, False, False)
    with pytest.raises(HashprobeError, match="knows its own contract: leave out size"):
        hp.load_victim("factory_of_floats:make", size=4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"codes": np.zeros(3)}, "needs mean, matrix and thresholds; it holds codes"),
        ({"mean": np.zeros((2, 2))}, "mean must have shape one axis"),
        ({"mean": np.array([np.nan])}, "mean must be finite"),
        (
            {"mean": np.zeros(3), "matrix": np.zeros((4, 2))},
            "of 4 floats and 2 bits has 3 values of mean",
        ),
        ({"thresholds": np.zeros(3), "matrix": np.zeros((4, 2))}, "has 3 values of thresholds"),
        ({"matrix": np.zeros((2, 5000))}, "1 to 4096 bits"),
        ({"mean": np.zeros(3), "zero_bit": np.array(2)}, "zero_bit must be 0 or 1"),
        ({"zero_bit": np.array(1)}, "needs mean, matrix or thresholds"),
        ({"mean": np.array(["a"])}, "must be numbers"),
        (None, "is no binariser"),
    ],
)
def test_files_that_are_no_binarisers_are_refused_in_one_line(arrays, message, tmp_path):
    path = tmp_path / "b.npz"
    if arrays is None:
        path.write_text("no archive")
    else:
        write_npz(path, arrays)
    with pytest.raises(HashprobeError, match=message) as error:
        Binariser.load(path)
    assert str(error.value).startswith(str(path)) and len(str(error.value).splitlines()) == 1
    with pytest.raises(HashprobeError, match="none"):
        Binariser.load(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((np.zeros((1, 4)), "itq", 2), "N at least 2"),
        ((np.zeros((5, 4)), "itq", 2), "are the same"),
        ((np.full((5, 4), np.inf), "itq", 2), "finite"),
        ((np.eye(5), "mean", 4), "gives a bit for each of 5 floats; got 4 bits"),
        ((np.eye(5), "pca", 5), "at most 4 bits"),
        ((np.eye(5), "random", 0), "1 to 4096 bits"),
        ((np.eye(5), "lsh", 4), "method must be one of"),
    ],
)
def test_what_cannot_be_fitted_is_refused(given, message):
    with pytest.raises(HashprobeError, match=message):
        fit_binariser(*given)
