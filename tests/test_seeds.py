"""Every entry of the library that takes a seed refuses one that no generator takes."""

import numpy as np
import pytest

from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import targets
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.datasets.digits import load_digits
from hashprobe.data.datasets.folder import load_folder
from hashprobe.data.datasets.moving_digits import load_moving_digits
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.openset import hold_back
from hashprobe.data.queries import seed_of
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Bootstrap
from hashprobe.paper.settings import load_setting
from hashprobe.training.losses.csq import csq_centres
from hashprobe.training.options import TrainOptions
from hashprobe.types import check_seed
from hashprobe.workflow.protocol import Protocol


DATABASE = Codes(PackedCodes.from_signs(np.ones((9, 8))), np.eye(9, dtype=bool))
ENTRIES = {
    "AttackSpec": lambda seed, root: AttackSpec("noise", seed=seed),
    "Protocol": lambda seed, root: Protocol(seed=seed),
    "TrainOptions": lambda seed, root: TrainOptions(seed=seed),
    "DataOptions": lambda seed, root: DataOptions("digits", split_seed=seed),
    "Bootstrap": lambda seed, root: Bootstrap(seed=seed),
    "Setting": lambda seed, root: load_setting("digits", "bench", seed=seed),
    "seed_of": lambda seed, root: seed_of(seed, 0, 0),
    "csq_centres": lambda seed, root: csq_centres(4, 8, seed),
    "targets": lambda seed, root: targets(DATABASE, avoid=np.array([0]), n_t=1, seed=seed),
    "load_digits": lambda seed, root: load_digits(seed),
    "load_moving_digits": lambda seed, root: load_moving_digits(seed),
    "load_folder": lambda seed, root: load_folder(root, queries=1, training=1, seed=seed),
    "hold_back": lambda seed, root: hold_back(load_digits(), 1, seed),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("seed", [-1, 2**63, 2**70, 10**5000], ids=["-1", "63", "70", "5000"])
def test_seeds_out_of_range_are_refused(as_for_users, tmp_path, entry, seed):
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        HashprobeError,
        match=r"seed must be a whole number from 0 to 2\^63 - 1; ",
    ):
        ENTRIES[entry](seed, tmp_path)


@pytest.mark.parametrize("seed", [1.0, 1.5, True, "1", None, np.float64(2)])
def test_what_is_no_whole_number_is_no_seed(as_for_users, seed):
    with pytest.raises(HashprobeError, match="seed must be a whole number"):
        check_seed(seed)


@pytest.mark.parametrize("seed", [0, np.int64(3), np.uint8(3), 2**63 - 1])
def test_seeds_in_range_are_taken(seed):
    assert check_seed(seed) == int(seed)
    assert type(check_seed(seed)) is int
