"""Every public entry with values that it does not want: it raises HashprobeError, or takes them."""

import inspect
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hashprobe as hp
from hashprobe import attacks, codes, evaluation, optim, victims, workflow
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement


SIGNS = np.where(np.arange(24 * 12).reshape(24, 12) % 5 % 2, 1, -1).astype(np.int8)
LABELS = np.eye(2, dtype=bool)[np.arange(24) % 2]

HOSTILE = {
    "None": None,
    "text": "text",
    "a null byte": "\0",
    "-1": -1,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "10^5000": 10**5000,
    "a dict": {"a": 1},
    "an empty list": [],
    "a ragged list": [[1, 2], [3]],
    "objects": np.array([None, "a"], object),
    "no rows": np.zeros((0, 12), np.int8),
    "a NaN tensor": torch.full((4, 3, 8, 8), torch.nan),
    "meta": torch.zeros(4, 3, 8, 8, device="meta"),
    "sparse": torch.zeros(4, 12).to_sparse(),
}


class Net(nn.Module):
    """A linear network of 12 bits."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(192, 12)

    def forward(self, images):
        """Logits."""
        return self.layer(images.flatten(1))


@cache
def good():
    """One of each noun."""
    rng = torch.Generator().manual_seed(0)
    victim = hp.Victim(Net(), bits=12, size=8)
    pixels = torch.rand((24, 3, 8, 8), generator=rng)
    database = victim.encode(pixels[4:], labels=[0, 1] * 10)
    goal = hp.targets(database, avoid=[0, 1, 0, 1], n_t=3)
    packed = codes.PackedCodes.from_signs(SIGNS)
    queries = hp.Queries(pixels[:4])
    budget = hp.Budget(0.1)
    attacked = hp.attack(victim, pixels[:4], goal, "dhta", eps=0.1, steps=2)
    return {
        "victim": victim, "pixels": pixels[:4], "database": database, "goal": goal,
        "packed": packed, "queries": queries, "budget": budget, "attacked": attacked,
        "queries8": hp.Queries((pixels[:4] * 255).to(torch.uint8)),
        "measurement": Measurement.of(np.linspace(0, 1, 20), "P@2|v:0.1"),
    }  # fmt: skip


def spread_of(z, b, step):
    return -(b * z).mean(1)


def entries():
    """Each public entry, and keywords with which it works."""
    g = good()
    victim, goal, queries, budget = g["victim"], g["goal"], g["queries"], g["budget"]
    packed, database, contract = g["packed"], g["database"], victim.contract
    four, target = packed[:4], torch.ones(4, 12)

    def ranking_without(**k):
        return evaluation.Ranking(**measure, exclusion=evaluation.Exclusion(**k))

    run = {"victim": victim, "queries": queries, "goal": goal, "budget": budget}
    measure = {
        "query_codes": four,
        "database_codes": packed,
        "query_labels": LABELS[:4],
        "database_labels": LABELS,
    }
    rule = {"objective": spread_of, "step": optim.UnitL2Step(0.1), "steps": 2}
    file = evaluation.CodeFile(packed, four, LABELS, LABELS[:4], LABELS[:4])
    m = g["measurement"]
    pictures = (g["pixels"].numpy(), g["pixels"].numpy())
    video = victims.VideoHasher("small", 8, size=16, frames=4, hidden=4)
    clips8, lengths = torch.zeros(1, 2, 3, 16, 16, dtype=torch.uint8), torch.tensor([2])
    result = {
        f: getattr(g["attacked"], f)
        for f in (
            "query_ids",
            "images",
            "images8",
            "codes_float",
            "codes",
            "clean_codes",
            "forwards",
            "backwards",
            "seconds",
            "target_labels",
            "target_codes",
            "spec",
            "recipe",
            "clean",
            "own_labels",
        )
    }
    index = codes.FakeIndex(12)
    index.add(packed)
    flat = codes.FlatIndex(12)
    flat.add(packed)
    sized = {"backbone": "small", "bits": 8, "size": 16, "batch_norm": True, "weights": "none"}
    some_options = {
        "bit_margin": attacks.BitMarginOptions(steps=2),
        "dhta": attacks.DhtaOptions(steps=2),
        "hag": attacks.HagOptions(steps=2),
        "noise": attacks.NoiseOptions(),
        "p2p": attacks.P2pOptions(steps=2),
    }
    yield (
        "Victim",
        hp.Victim,
        {
            "network": Net(),
            "bits": 12,
            "size": 8,
            "mean": 0.5,
            "std": 0.5,
            "output": None,
            "activation": "none",
            "filter": "bilinear",
            "fit": "squash",
            "frames": 0,
            "range": "0..255",
            "bgr": True,
            "layout": "nchw",
            "resize_to": 9,
            "zero_bit": 1,
        },
    )
    yield "Budget", hp.Budget, {"eps": 0.1, "space": "pixel", "frames": 1, "shared": False}
    yield "Budget.both_readings", budget.both_readings, {"std": (0.5, 0.5, 0.5)}
    yield (
        "InputContract",
        hp.InputContract,
        {
            "size": 8,
            "mean": (0.5,) * 3,
            "std": (0.5,) * 3,
            "filter": "bilinear",
            "fit": "squash",
            "frames": 0,
            "bgr": False,
            "layout": "nchw",
            "resize_to": 0,
        },
    )
    yield (
        "Runtime",
        hp.Runtime,
        {
            "device": "cpu",
            "precision": "float32",
            "batch_size": 2,
            "workers": 0,
            "skip_bad": False,
            "cache": None,
            "progress": hp.Runtime().progress,
            "deterministic": False,
            "watch": None,
        },
    )
    yield (
        "Queries",
        hp.Queries,
        {"pixels": g["pixels"], "ids": (0, 1, 2, 3), "lengths": None, "labels": LABELS[:4]},
    )
    yield (
        "Queries of clips",
        hp.Queries,
        {"pixels": torch.zeros(2, 3, 3, 8, 8), "lengths": torch.tensor([2, 3])},
    )
    yield "PackedCodes", hp.PackedCodes, {"data": packed.data, "bits": 12}
    yield "PackedCodes.empty", hp.PackedCodes.empty, {"bits": 12}
    yield "PackedCodes.from_signs", hp.PackedCodes.from_signs, {"values": SIGNS}
    yield "PackedCodes.from_logits", hp.PackedCodes.from_logits, {"logits": SIGNS}
    yield "PackedCodes.concatenate", hp.PackedCodes.concatenate, {"parts": [packed, packed]}

    yield "Codes", hp.Codes, {"packed": packed, "labels": LABELS, "pictures": None}
    yield (
        "Codes.of",
        hp.Codes.of,
        {"codes": SIGNS, "labels": [0, 1] * 12, "bits": 12, "pictures": None},
    )
    yield "FakeIndex", codes.FakeIndex, {"bits": 12}
    yield "FlatIndex", codes.FlatIndex, {"bits": 12}
    for name, one in (("FakeIndex", index), ("FlatIndex", flat)):
        yield f"{name}.search", one.search, {"queries": four, "k": 3}
        yield f"{name}.add", type(one)(12).add, {"codes": packed}
        yield f"{name}.load", type(one).load, {"path": "no/such/file.npz"}
    yield "as_codes", codes.as_codes, {"values": SIGNS, "bits": 12}
    yield "as_labels", codes.as_labels, {"values": [0, 1], "classes": 2}
    yield "hamming", codes.hamming, {"a": four, "b": packed}
    yield "paired_hamming", codes.paired_hamming, {"a": four, "b": four}
    yield "load_codes", codes.load_codes, {"path": "no/such/file.npz"}
    yield "save_codes", codes.save_codes, {"path": "/proc/no.npz", "codes": packed}
    yield (
        "Goal",
        hp.Goal,
        {
            "codes": SIGNS,
            "labels": LABELS,
            "members": np.zeros((24, 2), np.int64),
            "images": None,
            "own_labels": LABELS,
        },
    )
    yield "Goal.targeted", hp.Goal.targeted, {"codes": SIGNS, "labels": LABELS}
    yield "Goal.codes_for", goal.codes_for, {"pixels": g["pixels"], "bits": 12}
    yield "Goal.take", goal.take, {"rows": [0, 1]}
    yield (
        "AttackSpec",
        hp.AttackSpec,
        {"name": "dhta", "options": None, "budget": budget, "seed": 0, "function": None},
    )
    yield (
        "AttackSpec.of",
        hp.AttackSpec.of,
        {"attack": "dhta", "options": None, "budget": budget, "seed": 0},
    )
    yield (
        "targets",
        hp.targets,
        {
            "database": database,
            "avoid": [0, 1],
            "n_t": 3,
            "tie": "plus",
            "pool": "differs",
            "target": None,
            "minimum": 3,
            "seed": 0,
            "ids": [0, 1],
        },
    )
    yield (
        "attack",
        hp.attack,
        {
            "victim": victim,
            "queries": g["pixels"],
            "goal": goal,
            "attack": "dhta",
            "eps": 0.1,
            "seed": 0,
            "steps": 2,
            "runtime": hp.Runtime(),
        },
    )
    yield (
        "attack(steps)",
        hp.attack,
        {
            "victim": victim,
            "queries": g["pixels"],
            "goal": goal,
            "attack": "dhta",
            "steps": 2,
            "n_t": 3,
            "alpha": 0.1,
            "step_size": 1.0,
            "step": "unit",
        },
    )
    yield (
        "evaluate",
        hp.evaluate,
        {
            "attacked": g["attacked"],
            "database": database,
            "labels": [0, 1, 0, 1],
            "top": 5,
            "ties": "stable",
            "normaliser": "hits",
            "empty": "zero",
            "bootstrap": evaluation.Bootstrap(resamples=20),
        },
    )
    yield "AttackResult", hp.AttackResult, result
    yield "AttackResult.load", hp.AttackResult.load, {"folder": "no/such/folder"}
    yield "AttackResult.save", g["attacked"].save, {"folder": "/proc/no/such"}
    yield "load_victim", hp.load_victim, {"source": "no/such/file.pt2", "bits": 12}
    yield "Hasher", hp.Hasher, {"bits": 12, "contract": contract}
    yield (
        "Hasher.encode",
        victim.encode,
        {"images": g["pixels"], "labels": [0, 1, 0, 1], "batch_size": 2},
    )
    yield (
        "BitMarginOptions",
        attacks.BitMarginOptions,
        {"n_t": 3, "steps": 2, "step_size": 1.0, "restarts": 0, "tie": "plus"},
    )
    yield (
        "DhtaOptions",
        attacks.DhtaOptions,
        {"n_t": 3, "steps": 2, "step_size": 1.0, "alpha": 0.1, "tie": "plus", "step": "unit"},
    )
    yield (
        "FeatureOptions",
        attacks.FeatureOptions,
        {"rule": "pgd", "steps": 2, "step_size": 1.0, "momentum": 0.5, "step": "unit"},
    )
    yield "HagOptions", attacks.HagOptions, dict(vars(attacks.HagOptions(steps=2)))
    yield (
        "P2pOptions",
        attacks.P2pOptions,
        {"steps": 2, "step_size": 1.0, "alpha": 0.1, "step": "unit"},
    )
    yield "Preset", attacks.Preset, dict(vars(attacks.PRESETS["paper"]))
    yield "Attack", attacks.Attack, dict(vars(attacks.ATTACKS["dhta"]))
    yield "register", attacks.register, {"attack": attacks.ATTACKS["dhta"]}
    yield "alpha_at", attacks.alpha_at, {"step": 0, "steps": 10}
    for name, options in some_options.items():
        yield (
            name,
            getattr(attacks, name),
            {**run, "options": options, "seed": 0, "runtime": hp.Runtime()},
        )
    yield (
        "feature",
        attacks.feature,
        {
            **run,
            "goal": goal_with_images(goal, queries),
            "options": attacks.FeatureOptions(steps=2),
            "seed": 0,
            "runtime": hp.Runtime(),
        },
    )
    yield (
        "bit_margin_loss",
        attacks.bit_margin_loss,
        {"logits": target, "targets": target, "sharpness": 1.0},
    )
    yield (
        "inner_product_loss",
        attacks.inner_product_loss,
        {"logits": target, "targets": target, "alpha": 1.0},
    )
    yield (
        "hag_loss",
        attacks.hag_loss,
        {"logits": target, "clean": target, "alpha": 1.0, "margin": 0.5, "balance": 1.0},
    )
    yield "vote", attacks.vote, {"signs": SIGNS.reshape(4, 6, 12), "tie": "plus"}
    yield "anchor_code", attacks.anchor_code, {"codes": packed, "tie": "plus"}
    yield (
        "draw_target_labels",
        attacks.draw_target_labels,
        {
            "query_labels": LABELS[:4],
            "database_labels": LABELS,
            "pool": "differs",
            "target": None,
            "among": np.ones(2, bool),
            "minimum": 3,
            "seed": 0,
            "query_ids": [0, 1, 2, 3],
        },
    )
    yield (
        "draw_target_codes",
        attacks.draw_target_codes,
        {
            "database_codes": packed,
            "database_labels": LABELS,
            "target_labels": LABELS[:4],
            "n_t": 3,
            "tie": "plus",
            "seed": 0,
            "query_ids": [0, 1, 2, 3],
        },
    )
    small = evaluation.Bootstrap(resamples=20)
    shared = {"bootstrap": small, "rounding": None}
    for name in ("mean_average_precision", "targeted_mean_average_precision"):
        given = dict(measure)
        if name.startswith("targeted"):
            names = list(inspect.signature(getattr(evaluation, name)).parameters)[:4]
            given = dict(zip(names, measure.values(), strict=True))
        yield (
            name,
            getattr(evaluation, name),
            {**given, **shared, "top": 5, "normaliser": "hits", "ties": "stable", "empty": "zero"},
        )
    yield "precision_at", evaluation.precision_at, {"n": 3, **measure, **shared, "ties": "stable"}
    yield (
        "precision_curve",
        evaluation.precision_curve,
        {"lengths": [1, 3], **measure, **shared, "ties": "stable"},
    )
    yield (
        "recall_curve",
        evaluation.recall_curve,
        {"lengths": [1, 3], **measure, **shared, "ties": "stable", "empty": "zero"},
    )
    yield (
        "precision_within_radius",
        evaluation.precision_within_radius,
        {**measure, **shared, "radius": 2, "empty": "zero"},
    )
    yield (
        "precision_recall_curve",
        evaluation.precision_recall_curve,
        {**measure, "empty": "zero", "rounding": None},
    )
    yield "Ranking", evaluation.Ranking, {**measure, "asked": "query", "exclusion": None}
    yield (
        "Exclusion",
        lambda **k: evaluation.Ranking(**measure, exclusion=evaluation.Exclusion(**k)),
        {"voters": np.zeros((4, 2), np.int64), "training": np.arange(24) < 3},
    )
    yield (
        "MeasureOptions",
        evaluation.MeasureOptions,
        {"top": 5, "normaliser": "hits", "ties": "stable", "empty": "zero", "bootstrap": small},
    )
    yield (
        "Bootstrap",
        evaluation.Bootstrap,
        {"resamples": 20, "confidence": 0.9, "seed": 0, "method": "gaffke"},
    )
    yield (
        "Bootstrap.interval",
        small.interval,
        {"per_query": np.ones((12, 2)), "bounds": (0.0, 1.0)},
    )
    yield (
        "Bootstrap.doubts",
        small.doubts,
        {"per_query": np.ones(12), "at": 0.5, "bounds": (0.0, 1.0)},
    )
    yield "Measurement", evaluation.Measurement, {**vars(m)}
    yield (
        "Measurement.of",
        Measurement.of,
        {
            "per_query": np.ones(12),
            "signature": "P@2|v:0.1",
            "bootstrap": small,
            "bounds": (0.0, 1.0),
        },
    )
    yield (
        "Curve.of",
        evaluation.Curve.of,
        {
            "at": np.arange(2),
            "per_query": np.ones((12, 2)),
            "signature": "P@2|v:0.1",
            "bootstrap": small,
        },
    )
    yield "paired_difference", evaluation.paired_difference, {"a": m, "b": m, "bootstrap": small}
    yield "between_runs", evaluation.between_runs, {"runs": [m, m]}
    yield "wrong_bits", evaluation.wrong_bits, {"codes": four, "target_codes": four, **shared}
    yield (
        "AttackCodes",
        evaluation.AttackCodes,
        {
            "query": four,
            "attacked": four,
            "target": four,
            "attacked_float": four,
            "after_codec": None,
        },
    )
    yield "AfterCodec", evaluation.AfterCodec, {"name": "h264", "attacked": four, "query": four}
    yield (
        "evaluate_attack",
        evaluation.evaluate_attack,
        {
            "codes": evaluation.AttackCodes(four, four, four),
            "database": database,
            "query_labels": [0, 1, 0, 1],
            "target_labels": [0, 1, 0, 1],
            "options": evaluation.MeasureOptions(bootstrap=small),
            "perceptibility": None,
            "perceptibility_float": None,
            "exclusion": None,
        },
    )
    yield "Evaluation", evaluation.Evaluation, {"map_clean": m, "map_attacked": m}
    yield (
        "compare_pixels",
        evaluation.compare_pixels,
        {"images": pictures[0], "attacked": pictures[1], "lengths": None},
    )
    yield (
        "Perceptibility",
        evaluation.Perceptibility,
        {"rmse": 0.1, "linf_255": 3.0, "psnr": 30.0, "ssim": 0.9, "rmse_frames": None},
    )
    yield "CodeFile", evaluation.CodeFile, {**vars(file)}
    yield "load_code_file", evaluation.load_code_file, {"path": "no/such/file.npz"}
    yield (
        "score_codes",
        evaluation.score_codes,
        {
            "file": file,
            "top": 5,
            "normaliser": "hits",
            "ties": "stable",
            "empty": "zero",
            "exclude_voters": False,
            "exclude_training": False,
            "bootstrap": small,
        },
    )
    yield (
        "Box.around",
        optim.Box.around,
        {"images": g["pixels"], "budget": budget, "contract": contract, "eight_bit": False},
    )
    yield (
        "project",
        optim.project,
        {
            "adversarial": g["pixels"],
            "clean": g["pixels"],
            "budget": budget,
            "contract": contract,
            "lengths": None,
        },
    )
    yield (
        "round_to_bytes",
        optim.round_to_bytes,
        {
            "adversarial": g["pixels"],
            "clean": g["queries8"].pixels,
            "budget": budget,
            "contract": contract,
            "lengths": None,
        },
    )
    yield (
        "outputs_of",
        optim.outputs_of,
        {"victim": victim, "queries": queries, "runtime": hp.Runtime(), "compared": "logits"},
    )
    yield (
        "UpdateRule",
        optim.UpdateRule,
        {**rule, "momentum": 0.0, "raw": False, "compared": "codes", "eight_bit": False},
    )
    yield "SignStep", optim.SignStep, {"length": spread_of}
    yield "UnitL2Step", optim.UnitL2Step, {"size": 1.0}
    solving = {k: v for k, v in run.items() if k != "goal"}
    yield (
        "solve",
        optim.solve,
        {
            **solving,
            "targets": target,
            "rule": optim.UpdateRule(**rule),
            "quick": None,
            "restarts": 0,
            "seed": 0,
            "runtime": hp.Runtime(),
        },
    )
    yield "encode", victims.encode, {"victim": victim, "queries": queries}
    yield (
        "encode_both",
        victims.encode_both,
        {"victim": victim, "queries": queries, "moved": g["pixels"]},
    )
    yield (
        "preflight",
        victims.preflight,
        {"victim": victim, "queries": queries, "gradients": False, "batch_size": 2},
    )
    yield (
        "hash_layer_input",
        lambda **k: victims.hash_layer_input(**k).__enter__(),
        {"hasher": victim},
    )
    yield "load_checkpoint", victims.load_checkpoint, {"folder": Path("no/such/folder")}
    yield (
        "ModelCard",
        victims.ModelCard,
        {
            "backbone": "small",
            "bits": 8,
            "contract": contract,
            "batch_norm": True,
            "label_names": ("a",),
            "training": {},
            "data": {},
            "hidden": 0,
        },
    )
    yield (
        "VictimOptions",
        victims.VictimOptions,
        {
            "bits": 8,
            "size": 8,
            "mean": 0.5,
            "std": 0.5,
            "range": "0..1",
            "bgr": True,
            "layout": "nhwc",
            "fit": "shorter",
            "resize_to": 9,
            "filter": "box",
            "frames": 0,
            "output": 0,
            "activation": "none",
            "zero_bit": 0,
            "backbone": None,
            "binarise": "sign",
        },
    )
    binariser = victims.Binariser(mean=np.zeros(12))
    yield (
        "Binariser",
        victims.Binariser,
        {"mean": np.zeros(3), "matrix": np.ones((3, 2)), "thresholds": np.zeros(2), "zero_bit": 0},
    )
    yield (
        "fit_binariser",
        victims.fit_binariser,
        {"features": np.eye(9), "method": "itq", "bits": 4, "seed": 0, "zero_bit": 1},
    )
    yield (
        "Embedding",
        victims.Embedding,
        {"victim": victim, "binariser": binariser, "zero_bit": 1},
    )
    yield (
        "check_codes",
        workflow.check_codes,
        {"victim": victim, "stored": packed[:4], "pictures": list(g["queries8"].pixels[:4])},
    )
    yield "ImageHasher", victims.ImageHasher, sized
    yield "VideoHasher", victims.VideoHasher, {**sized, "frames": 4, "hidden": 4, "chunk": 2}
    yield "clip_hasher", victims.clip_hasher, {**sized, "frames": 4, "hidden": 4}
    yield "FeatureHasher", victims.FeatureHasher, {"hasher": video}
    yield (
        "clip_features",
        victims.clip_features,
        {"hasher": video, "clips8": clips8, "lengths": lengths},
    )


def goal_with_images(goal, queries):
    return hp.Goal(codes=goal.codes, labels=goal.labels, images=queries)


@cache
def known():
    """The entries by name."""
    return {name: (call, keywords) for name, call, keywords in entries()}


NAMES = re.findall(r'^    yield \(?\s*"([^"]+)"', inspect.getsource(entries), re.MULTILINE)
KINDS = ("FakeIndex", "FlatIndex")
NAMES += [f"{kind}.{what}" for kind in KINDS for what in ("search", "add", "load")]
NAMES += ["bit_margin", "dhta", "hag", "noise", "p2p"]
NAMES += ["mean_average_precision", "targeted_mean_average_precision"]


def test_every_entry_is_tried():
    assert sorted(NAMES) == sorted(known())


@pytest.mark.parametrize("name", NAMES)
def test_no_entry_raises_anything_but_our_own_error(name, as_for_users, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, keywords = known()[name]
    refused = 0
    for argument in keywords:
        for value in HOSTILE.values():
            try:
                call(**{**keywords, argument: value})
            except HashprobeError as error:
                refused += 1
                assert len(str(error).splitlines()) == 1
                assert len(str(error)) < 500
    assert refused


def test_a_good_value_of_another_kind_is_taken_as_before():
    assert hp.Budget(np.float32(0.5)) == hp.Budget(torch.tensor(0.5)) == hp.Budget(0.5)
    assert type(attacks.DhtaOptions(steps=np.int64(3)).steps) is int
    assert hp.InputContract(mean=[0.5, 0.5, 0.5]).mean == (0.5, 0.5, 0.5)
    assert hp.Queries(torch.zeros(2, 3, 8, 8), ids=np.array([4, 7])).ids == (4, 7)
    assert hp.Victim(Net(), bits=np.int64(12), size=np.int32(8), std=np.float32(0.5)).bits == 12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hp.Budget("0.1"), "eps must be a number; got '0.1'"),
        (lambda: hp.Budget(frames=True), "frames must be a whole number or None; got True"),
        (lambda: hp.Budget(space="cm"), "space must be pixel or normalised; got 'cm'"),
        (lambda: hp.Runtime(device=None), "device must be text; got None"),
        (lambda: hp.Runtime(progress=7), "progress must be a Progress; got 7"),
        (lambda: hp.InputContract(std=(1, 0, 1)), "std must be above 0"),
        (lambda: hp.InputContract(fit="cut"), "fit must be one of squash, crop, pad; got 'cut'"),
        (lambda: codes.hamming(7, 7), "a must be a PackedCodes; got 7"),
    ],
)
def test_an_error_names_the_argument_and_what_is_accepted(make, message, as_for_users):
    with pytest.raises(HashprobeError, match=message):
        make()
