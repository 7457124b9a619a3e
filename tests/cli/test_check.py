"""The commands check and fit-binariser, on a network and pictures in files."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import hashprobe as hp
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.npz import save_codes
from hashprobe.data.loader import decode
from hashprobe.data.picture_folder import picture_folder
from hashprobe.victims.binarise import Binariser


SIZE, BITS = 8, 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve pictures in two folders, a network of floats, and its codes."""
    root = tmp_path_factory.mktemp("check")
    rng = np.random.default_rng(0)
    for number in range(12):
        place = root / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (20 + number, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Flatten(), nn.Linear(3 * SIZE**2, BITS)]
    net = nn.Sequential(*layers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and is still read
        torch.jit.trace(net, torch.zeros(2, 3, SIZE, SIZE)).save(root / "net.ts")
    (root / "net.yaml").write_text(f"size: {SIZE}\nmean: 0.5\nstd: 0.25\n")
    victim = hp.load_victim(root / "net.ts")
    split = picture_folder(root / "photos")
    codes = victim.encode(decode(split, victim.contract, hp.Runtime(workers=0)).images).packed
    save_codes(root / "codes.npz", codes)
    np.save(root / "little.npy", BitConvention("little").read(codes).data)
    rows = [f"{name},{codes.data[row].tobytes().hex()}" for row, name in enumerate(split.ids)]
    (root / "list.csv").write_text("\n".join(["path,hash", *rows[::-1]]))
    return root


pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def words(folder, database="codes.npz", *more):
    return (
        "check", "--victim", folder / "net.ts", "--database", folder / database,
        "--pictures", folder / "photos", *more,
    )  # fmt: skip


@pytest.mark.parametrize("database", ["codes.npz", "list.csv"])
def test_the_same_codes_are_the_same(database, folder, hashprobe):
    said = hashprobe(*words(folder, database))
    assert (said.code, said.out) == (0, "the codes of all 12 pictures are those that are stored\n")


@pytest.mark.parametrize(
    ("database", "more", "flags"),
    [
        ("codes.npz", ("--filter", "box"), "--filter bilinear"),
        ("codes.npz", ("--resize", "shorter"), "--resize squash"),
        ("little.npy", (), "--bit-order little"),
    ],
)
def test_what_differs_is_named_as_an_option(database, more, flags, folder, hashprobe):
    found = json.loads(hashprobe(*words(folder, database, *more, "--json")).out)
    assert " ".join(found["flags"]) == flags and found["pictures"] == 12
    said = hashprobe(*words(folder, database, *flags.split()))
    assert said.code == 0 and "are those that are stored" in said.out


def test_codes_of_other_pictures_are_told(folder, hashprobe, tmp_path):
    save_codes(tmp_path / "other.npz", hp.PackedCodes.from_signs(np.eye(12, BITS)))
    said = hashprobe(*words(folder, tmp_path / "other.npz"))
    assert said.code == 3 and "no option makes them equal" in said.out
    save_codes(tmp_path / "few.npz", hp.PackedCodes.from_signs(np.eye(3, BITS)))
    said = hashprobe(*words(folder, tmp_path / "few.npz"))
    assert "3 codes without ids and 12 pictures" in said.error
    (tmp_path / "list.csv").write_text("id,hash\nx,0011223344556677\n")
    assert "no picture is that of a code" in hashprobe(*words(folder, tmp_path / "list.csv")).error
    (tmp_path / "items.csv").write_text("id,path\nx,/srv/b/03.png\n")
    said = hashprobe(*words(folder, tmp_path / "list.csv", "--items", tmp_path / "items.csv"))
    assert said.code == 3 and "in 1 pictures" in said.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--mean", "0,1"), "must be one number, or three with commas"),
        (("--range", "0..2"), "range"),
        (("--size", "0"), "size must be at least 1"),
        (("--backbone", "resnet18"), "net.ts"),
        (("--binarise", "none.npz"), "none.npz"),
    ],
)
def test_options_that_do_not_fit_are_one_line(more, message, folder, hashprobe):
    assert message in hashprobe(*words(folder, "codes.npz", *more)).error


def test_a_binariser_is_fitted_and_used(folder, hashprobe, tmp_path):
    out = tmp_path / "itq.npz"
    fit = (
        "fit-binariser",
        "--victim",
        folder / "net.ts",
        "--pictures",
        folder / "photos",
        "--out",
        out,
    )
    said = hashprobe(*fit, "--method", "itq", "--bits", 8)
    assert said.code == 0 and "64 floats to 8 bits, fitted to 12 pictures" in said.out
    assert Binariser.load(out).bits == 8
    assert hp.load_victim(folder / "net.ts", binarise=out).bits == 8
    said = json.loads(hashprobe(*fit, "--method", "mean", "--json").out)
    assert said == {"file": str(out), "floats": 64, "bits": 64, "pictures": 12, "constant": 0}
    assert "at most 11 bits" in hashprobe(*fit, "--bits", 12).error
    assert "no such folder" in hashprobe(*fit[:4], tmp_path / "none", *fit[5:]).error
    assert hashprobe(*fit, "--binarise", "sign").code == 2
