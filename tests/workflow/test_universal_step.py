"""One change a label for all queries of a run: what is learnt, judged, kept and refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from hashprobe.attacks._target_codes import target_codes
from hashprobe.attacks._universal import perturbed
from hashprobe.attacks._universal_patch import Patch
from hashprobe.attacks.registry import AttackSpec
from hashprobe.cli.app import main
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_npz
from hashprobe.types import Budget
from hashprobe.victims.encoding import encode
from hashprobe.workflow import exclusions, universal_kept, universal_step
from hashprobe.workflow.drawing import draw_goal, draw_queries
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import open_run
from hashprobe.workflow.universal_options import UniversalOptions
from hashprobe.workflow.universal_step import Learner, universal_run


FAR = Budget(96 / 255)
QUICK = UniversalOptions(epochs=3, pictures=40, batch=8)
SOME = Protocol(queries=6)


def judged_again(encoded, kept, show):
    """Wrong bits of the protocol's own queries with the changes that a file holds."""
    run = open_run(encoded)
    rows = draw_queries(len(run.query), SOME)
    goal = draw_goal(run, rows, AttackSpec(), dataclasses.replace(SOME, target_code="vote-all"))
    ids = run.query.positions[rows]
    pixels = decode(run.data.query.take(ids), run.hasher.contract).images
    clean = Queries(torch.as_tensor(pixels).float() / 255, ids=tuple(map(int, ids)))
    where = [int((kept["labels"] == label).all(1).argmax()) for label in goal.labels]
    changes = torch.from_numpy(kept["changes"])
    moved = [show(clean.take(slice(at, at + 1)), changes[kind]) for at, kind in enumerate(where)]
    codes = encode(run.hasher, Queries(torch.cat(moved)))
    return paired_hamming(codes, PackedCodes.from_signs(goal.codes))


def test_a_change_a_label_steers_queries_that_it_never_saw(encoded):
    done = universal_run(encoded, budget=FAR, options=QUICK, protocol=SOME)
    assert "|code:vote-all.L2|" in done.achieved.signature
    assert done.wrong.value < done.wrong_clean.value - 1
    assert done.perceptibility.linf_255 <= 96
    kept = read_npz(encoded / "universal" / "96of255-seed0" / "changes.npz")
    assert len(kept["changes"]) == len(kept["labels"]) == len(np.unique(kept["labels"], axis=0))
    assert np.abs(kept["changes"]).max() <= FAR.eps + 1e-6
    wrong = judged_again(encoded, kept, lambda one, pixels: perturbed(one.pixels, pixels))
    np.testing.assert_array_equal(done.wrong.per_query, wrong)
    again = universal_run(encoded, budget=FAR, options=QUICK, protocol=SOME, name="again")
    np.testing.assert_array_equal(again.wrong.per_query, done.wrong.per_query)


@pytest.mark.parametrize("place", ["fixed", "random"])
def test_a_patch_changes_its_share_of_the_picture_alone(encoded, place):
    options = dataclasses.replace(QUICK, patch=0.2, place=place)
    done = universal_run(encoded, options=options, protocol=SOME)
    folder = encoded / "universal" / f"patch-0.2-{place}-seed0"
    kept = read_npz(folder / "changes.npz")
    patches = kept["changes"]
    assert patches.shape[1:] == (3, 4, 4)  # of 8 x 8 pixels
    assert patches.min() >= 0 and patches.max() <= 1 and patches.std() > 0.1
    assert done.perceptibility.linf_255 > 96
    assert (folder / "evaluation.json").is_file()
    wrong = judged_again(encoded, kept, lambda one, it: Patch(it, (8, 8), place, SOME.seed).on(one))
    np.testing.assert_array_equal(done.wrong.per_query, wrong)


def test_a_change_is_learnt_from_all_pictures_without_its_label(encoded, monkeypatch):
    seen = []

    def learn(victim, pictures, codes, *, epochs, batch_size, seed, budget):
        seen.append((len(pictures), codes))
        return torch.zeros(3, 8, 8)

    monkeypatch.setattr(universal_step, "universal_perturbation", learn)
    done = universal_run(encoded, options=UniversalOptions(pictures=10**6), protocol=SOME)
    database = open_run(encoded).database
    labels = database.labels
    kept = read_npz(encoded / "universal" / "8of255-seed0" / "changes.npz")
    assert len(seen) == len(kept["labels"])
    wanted = target_codes(database.labelled, kept["labels"], "vote-all")
    np.testing.assert_array_equal(kept["codes"], wanted)
    for (count, codes), label, code in zip(seen, kept["labels"], kept["codes"], strict=True):
        assert count == (~(labels & label).any(1)).sum() and (codes == code).all()
    assert done.wrong.value == done.wrong_clean.value


def test_learning_goes_on_from_the_labels_that_are_learnt(encoded, monkeypatch):
    whole = universal_run(encoded, budget=FAR, options=QUICK, protocol=SOME, name="whole")
    monkeypatch.setattr(universal_kept, "OFTEN", 0.0)
    real, taken = Learner.learn, []

    def stopped(self, victim, pictures, label, code):
        taken.append(label.tobytes())
        if len(taken) == 3:
            raise KeyboardInterrupt
        return real(self, victim, pictures, label, code)

    monkeypatch.setattr(Learner, "learn", stopped)
    more = {"budget": FAR, "options": QUICK, "name": "cut"}
    with pytest.raises(KeyboardInterrupt):
        universal_run(encoded, protocol=SOME, **more)
    folder = encoded / "universal" / "cut"
    assert not (folder / "evaluation.json").exists()
    again = universal_run(encoded, protocol=SOME, **more)
    assert again.to_json() == whole.to_json()
    kinds = len(read_npz(folder / "changes.npz")["labels"])
    assert kinds > 2 and len(taken) == kinds + 1 and taken[2] == taken[3]
    # Measured otherwise, nothing is learnt again; other settings are learnt anew.
    other = dataclasses.replace(SOME, top=5)
    with pytest.raises(HashprobeError, match=r"cut holds other changes \(protocol\.top: null th"):
        universal_run(encoded, protocol=other, **more)
    done = universal_run(encoded, protocol=other, overwrite=True, **more)
    assert "tMAP@5|" in done.achieved.signature and len(taken) == kinds + 1
    (folder / "changes.npz").write_bytes(b"PK cut off")
    universal_run(encoded, protocol=other, **more)
    asked = (folder / "universal.json").read_bytes()
    (folder / "universal.json").write_bytes(asked[:-9])
    with pytest.raises(HashprobeError, match=r"universal\.json is no JSON .*replace it by --over"):
        universal_run(encoded, protocol=other, **more)
    (folder / "universal.json").write_bytes(asked)
    assert len(taken) == 2 * kinds + 1
    with pytest.raises(HashprobeError, match=r"holds other changes \(learnt\.budget\.eps: 0\."):
        universal_run(encoded, protocol=other, **{**more, "budget": Budget(4 / 255)})
    near = universal_run(
        encoded, protocol=other, overwrite=True, **{**more, "budget": Budget(0.02)}
    )
    assert len(taken) == 3 * kinds + 1 and near.perceptibility.linf_255 < 6


def test_training_items_are_left_out_of_the_search(encoded, monkeypatch):
    size = len(open_run(encoded).database)
    half = np.arange(size) % 2 == 0
    monkeypatch.setattr(exclusions, "training_items", lambda data, positions: half)
    asked = dataclasses.replace(SOME, exclude_training=True)
    done = universal_run(encoded, options=QUICK, protocol=asked)
    assert "|without:training" in done.achieved.signature


def test_what_a_universal_change_cannot_be_is_refused(encoded):
    with pytest.raises(HashprobeError, match="codec h264 is for videos"):
        universal_run(encoded, protocol=Protocol(queries=3, codec="h264"))
    with pytest.raises(HashprobeError, match="a patch has no budget"):
        universal_run(encoded, budget=FAR, options=UniversalOptions(patch=0.1))
    with pytest.raises(HashprobeError, match=r"that of one folder; got '\.\./esc'"):
        universal_run(encoded, protocol=SOME, name="../esc")
    with pytest.raises(HashprobeError, match="vote is another one for each query"):
        universal_run(encoded, protocol=Protocol(queries=3, target_code="vote"))
    with pytest.raises(HashprobeError, match="share must be above 0 and at most 1; got 2"):
        UniversalOptions(patch=2.0)
    with pytest.raises(HashprobeError, match="place is that of a patch"):
        UniversalOptions(place="random")
    with pytest.raises(HashprobeError, match="epochs must be"):
        UniversalOptions(epochs=0)
    assert not (Path(encoded) / "universal").exists()


def test_the_command_prints_what_was_reached(encoded, capsys):
    asked = ["--queries", "3", "--epochs", "1", "--pictures", "20", "--eps", "32/255"]
    main(["attack", "universal", str(encoded), *asked])
    assert "t-MAP after 8 bits" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["attack", "universal", str(encoded), "--patch", "0"])
    assert "share must be above 0" in capsys.readouterr().err
