"""Attacks on clips: what a step of 40 frames at 224 pixels takes, and the default attack against
the recipe of the DHTA paper for videos.

The recipe, from the paper's description: one clip at a time, the gradient of the weights computed
and kept beside that of the pixels, a step of unit l2 length along the gradient, alpha 0.1, 500
iterations, no judgement.

    python benchmarks/video.py                        # minutes; needs no data
    python benchmarks/video.py --full --runs runs/eth80   # an hour
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from attack_engine import (
    Bench,
    OfficialRecipe,
    balanced,
    photo_crops,
    strength,
)
from common import Results, arguments, median, precisions, seconds
from torch import Tensor

from hashprobe.attacks._dhta import PRESETS
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import anchor_code
from hashprobe.crafting.runner import craft
from hashprobe.data.queries import Queries
from hashprobe.paper.recipe import Cell
from hashprobe.paper.settings import load_setting
from hashprobe.types import Budget, Runtime
from hashprobe.victims import clip
from hashprobe.victims.base import lay_channels_last
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.encoding import encode
from hashprobe.victims.memory import room as usual_room
from hashprobe.workflow.encode_step import encode_run
from hashprobe.workflow.train_step import train_run


PAPER = PRESETS["paper-videos"].options
FRAMES, SIZE = 40, 224
KEPT = (("as it comes", None), ("kept whole", 1 << 50))
"""What is kept of activations, and the bytes that they may take."""
PEAK = """
import json, resource, sys
import torch
from hashprobe.attacks import DhtaOptions, Goal, dhta
from hashprobe.data import Queries
from hashprobe.types import Budget, Runtime
from hashprobe.victims import VideoHasher, clip

backbone, precision, room = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
size, frames = int(sys.argv[4]), int(sys.argv[5])
torch.manual_seed(0)
victim = VideoHasher(backbone, 32, size=size, frames=frames).eval()
queries = Queries(torch.rand(1, frames, 3, size, size), lengths=torch.tensor([frames]))
if room:
    clip.room = lambda device: room
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
dhta(victim, queries, Goal.targeted(torch.ones(1, 32)), budget=Budget(8 / 255),
     options=DhtaOptions(steps=2), runtime=Runtime(precision=precision, batch_size=1))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([before / 2**20, after / 2**20]))
"""


def memory(results: Results, backbones: list[str]) -> None:
    """(a) Peak memory of a process that attacks one clip of 40 frames at 224 pixels."""
    rows = []
    for backbone in backbones:
        for precision in precisions():
            for name, room in KEPT[: 1 if SIZE < 224 else 2]:
                words = [sys.executable, "-c", PEAK, backbone, precision, json.dumps(room)]
                words += [str(SIZE), str(FRAMES)]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                before, after = json.loads(done.stdout)
                rows.append(
                    {
                        "backbone": backbone,
                        "precision": precision,
                        "activations": name,
                        "before, GiB": before,
                        "peak of the process, GiB": after,
                    }
                )
    results.table("Memory of an attack step: one clip of 40 frames at 224 px, two steps", rows)


def photo_clips(count: int, seed: int) -> Tensor:
    """8-bit clips: a window that moves over the photographs that come with scikit-learn."""
    wide = photo_crops(count, SIZE + FRAMES, seed)
    moved = [wide[:, :, i : i + SIZE, i : i + SIZE] for i in range(FRAMES)]
    return torch.stack(moved, 1)


def speed(results: Results, backbones: list[str], clips: int) -> None:
    """(b) Seconds per clip of 40 frames at 224 pixels, 32 bits."""
    lengths, rows = torch.full((clips,), FRAMES), []
    for backbone in backbones:
        torch.manual_seed(0)
        hasher = VideoHasher(backbone, 32, size=SIZE, frames=FRAMES)
        others, queries = photo_clips(24, 0), photo_clips(clips, 1)
        balanced(hasher, others)
        whole = torch.full((len(others),), FRAMES)
        codes = encode(hasher, Queries(others.float() / 255, lengths=whole))
        rng = np.random.default_rng(0)
        anchors = np.stack([anchor_code(codes[rng.permutation(24)[:9]]) for _ in range(clips)])
        # As published, all activations kept; and then as `hashprobe attack` has it.
        hasher.chunk, clip.room = FRAMES, lambda device: 1 << 50
        recipe = OfficialRecipe(
            hasher,
            queries[:1].float() / 255,
            torch.from_numpy(anchors[:1]).float(),
            8 / 255,
            PAPER.alpha,
        )  # fmt: skip
        step = median(seconds(recipe.advance, 5))
        recipe.end()
        hasher.chunk, clip.room = None, usual_room
        lay_channels_last(hasher)
        for precision in precisions():
            start = time.perf_counter()
            done = craft(
                hasher,
                Queries(queries, lengths=lengths),
                Goal.targeted(anchors),
                AttackSpec(budget=Budget(8 / 255)),
                runtime=Runtime(precision=precision),
            )
            ours = (time.perf_counter() - start) / clips
            wrong = (done.codes.signs() != anchors).sum(1)
            rows.append(
                {
                    "backbone": backbone,
                    "official, s/step": step,
                    "official, s/clip": step * PAPER.steps,
                    "precision": precision,
                    "default, s/clip": ours,
                    "times less": step * PAPER.steps / ours,
                    "steps a clip": float(done.backwards.mean()),
                    "bits wrong": float(wrong.mean()),
                    "clips": clips,
                }
            )
    results.table(
        "LSTM networks with random weights, clips of 40 frames at 224 px, 32 bits, 8/255, "
        "judgement included",
        rows,
    )


def moving_digits(folder: Path) -> Bench:
    """A small network on the bundled clips, as the paper's experiments have it."""
    setting, cell = load_setting("moving-digits", "bench"), Cell(bits=32)
    train_run(folder, setting.data_of(cell), setting.network_of(cell), setting.train_of(cell))
    encode_run(folder)
    return Bench(folder, 40, None)


def main() -> None:
    """All tables."""
    global FRAMES, SIZE
    given = arguments(
        (__doc__ or "").splitlines()[0],
        runs={"nargs": "*", "type": Path, "default": [], "help": "run folders of victims"},
        queries={"type": int, "default": 40, "help": "clips of these runs that are attacked"},
        eps={"nargs": "*", "type": float, "default": [2, 8], "help": "in 1/255, for these runs"},
    )
    results = Results("video")
    if given.tiny:
        FRAMES, SIZE = 3, 32
    memory(results, ["small"] if given.tiny else ["alexnet", "vgg11"])
    clips = 2 if given.tiny else 16 if given.full else 4
    speed(results, ["small"] if given.tiny else ["alexnet"], clips)
    if given.runs:
        victims = [Bench(path, given.queries, None) for path in given.runs]
        strength(results, victims, given.eps, PAPER, 20)
    elif not given.tiny:  # which trains no network
        with tempfile.TemporaryDirectory() as temporary:
            strength(results, [moving_digits(Path(temporary) / "moving-digits")], [64], PAPER, 20)
    results.write(given.json)


if __name__ == "__main__":
    main()
