"""Harden a network in a file of weights on a folder of pictures, without labels."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save

from hashprobe.data.loader import decode
from hashprobe.data.picture_folder import picture_folder
from hashprobe.data.sources import Split
from hashprobe.defenses.trainers.base import Trainer
from hashprobe.defenses.trainers.hardener import hardening
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import (
    jsonable,
    read_json,
    remove,
    sha256_file,
    write_bytes,
    write_json,
)
from hashprobe.storage.lock import hold
from hashprobe.training.loop import train
from hashprobe.training.options import TrainOptions
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.embedding import Embedding
from hashprobe.victims.foreign import VictimOptions, beside
from hashprobe.victims.loading import load_victim
from hashprobe.victims.wrap import Victim
from hashprobe.workflow.hardening_options import HardenOptions
from hashprobe.workflow.run_io import say_bad


WEIGHTS, SAID, BINARISER = "weights.safetensors", "weights.yaml", "binariser.npz"
"""What a hardened network is saved as; the YAML file says how it is used."""
RECORD, STATE = "hardened.json", "training.pt"
TUNING = TrainOptions(
    loss="dph", lr=3e-5, weight_decay=1e-4, batch_size=16, augment="none", held_out=0
)
"""Options of a fine-tuning that are not given: DinoHash's, with a rate for few pictures."""


def harden_file(
    source: Path,
    pictures: Path,
    defence: Trainer,
    options: HardenOptions = HardenOptions(),
    *,
    out: Path,
    victim: VictimOptions | None = None,
    runtime: Runtime = Runtime(),
) -> Path:
    """Fine-tune a network of one's own against attacks, without labels; resumes after a kill.

    Args:
        source: a file of weights, with `backbone` among its options or in a YAML file beside it.
        pictures: a folder of pictures like those that will be asked for, at any depth.
        defence: one that needs no labels, such as `hashprobe.defenses.LabelFree()`.
        options: how it is trained; a learning rate that is not given is 3e-5.
        out: the folder of the result, new or of the same hardening.
        victim: how the network is used.
        runtime: `workers`, `skip_bad`, and who is told.

    Returns:
        The file of the new weights: with the YAML file and the binariser beside it, it is a victim
        for every command.

    Raises:
        HashprobeError: a defence that needs labels, another kind of victim, one without weights, or
            a folder that holds something else.

    Example:
        >>> from hashprobe.defenses import P2s
        >>> harden_file(Path("net.pth"), Path("photos"), P2s(), out=Path("hard"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: defence p2s needs labels, and a folder of pictures has \
none: take label-free or crdat
    """
    if defence.needs_labels:
        raise HashprobeError(
            f"defence {defence.name} needs labels, and a folder of pictures has none: take "
            "label-free or crdat"
        )
    if defence.most_loss is not None:
        raise HashprobeError(
            "most_loss is a bound on MAP by labels, and a folder of pictures has none: leave it "
            "out, and compare both networks by hashprobe audit --hardened"
        )
    hasher = load_victim(source, victim)
    network = weights_of(hasher, source)
    asked = (victim or VictimOptions()).over(beside(Path(source)))
    if asked.backbone is None:
        raise HashprobeError(
            f"{source} is no file of weights with a backbone, which hardened weights are saved as: "
            "harden a module of your own by hashprobe.training.train(..., hardening=...)"
        )
    given = training_options(options)
    record = jsonable(
        {
            "source": sha256_file(Path(source)),
            "defence": defence.to_json(),
            "epochs": given.epochs,
            "lr": given.lr,
            "batch_size": given.batch_size,
            "schedule": given.schedule,
            "augment": given.augment,
            "precision": given.precision,
            "seed": given.seed,
            "said": {k: str(v) for k, v in asked.said().items()},
        }
    )
    split = picture_folder(pictures)
    check_folder(out, record)
    with hold(out):
        if (out / WEIGHTS).exists() and (out / SAID).exists():
            runtime.progress.log(f"{out} is hardened already")
            return out / WEIGHTS
        write_json(out / RECORD, record)
        train_file(hasher, split, defence, given, (out, runtime))
        write_bytes(out / WEIGHTS, save(network.state_dict()))
        keep_options(out, asked)
        remove(out / STATE)
    runtime.progress.log(f"hardened: {out / WEIGHTS}")
    return out / WEIGHTS


def training_options(options: HardenOptions) -> TrainOptions:
    """How a fine-tuning is done."""
    lr = TUNING.lr if options.lr is None else options.lr
    return options.over(replace(TUNING, lr=3 * lr)) if options.lr is None else options.over(TUNING)


def weights_of(hasher: Hasher, source: Path) -> Any:
    """The network inside a victim, whose weights are trained.

    Raises:
        HashprobeError: the victim is of another kind, or has no weights to train.
    """
    inner = hasher.victim if isinstance(hasher, Embedding) else hasher
    if hasher.query_only:
        raise HashprobeError(
            f"{hasher.query_only}: it gives no gradients, so it cannot be hardened"
        )
    if not isinstance(inner, Victim) or not any(p.requires_grad for p in inner.parameters()):
        raise HashprobeError(
            f"{source} has no weights that can be trained (a perceptual hash has none): put a "
            "remedy in front of it instead, see hashprobe audit --mitigate"
        )
    return inner.network


def check_folder(out: Path, record: dict[str, Any]) -> None:
    """Refuses a folder of something else."""
    if (out / RECORD).exists():
        there = read_json(out / RECORD)
        if there != record:
            raise HashprobeError(
                f"{out} holds another hardening: choose another folder or remove that one"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HashprobeError(f"{out} holds other files: choose a new folder")
    out.mkdir(parents=True, exist_ok=True)


def train_file(
    hasher: Hasher,
    split: Split,
    defence: Trainer,
    options: TrainOptions,
    where: tuple[Path, Runtime],
) -> None:
    """Trains a victim in place on pictures."""
    out, runtime = where
    with runtime.progress.bar("decoding pictures") as tick:
        pixels = decode(split, hasher.contract, runtime, on_progress=tick)
    say_bad(runtime.progress, "training", pixels.bad)
    hasher.requires_grad_(True)
    made = hardening(defence)
    made.tell = runtime.progress.log
    with runtime.progress.bar("training") as tick:
        train(
            hasher,
            pixels.images,
            np.zeros((len(pixels.images), 0), bool),
            options,
            state=out / STATE,
            hardening=made,
            on_step=lambda done, total, loss: tick(done, total),
            on_epoch=lambda e: runtime.progress.log(
                f"epoch {e.number}/{e.epochs}: loss {e.loss:.4f}, {e.seconds:.0f} s"
            ),
        )


def keep_options(out: Path, asked: VictimOptions) -> None:
    """Writes how the network is used beside its weights."""
    said = asked.said()
    if isinstance(asked.binarise, Path):
        shutil.copyfile(asked.binarise, out / BINARISER)
        said["binarise"] = BINARISER
    lines = [f"{name}: {yaml_value(value)}\n" for name, value in said.items()]
    write_bytes(out / SAID, "".join(lines).encode())


def yaml_value(value: Any) -> str:
    """A plain option as YAML."""
    return json.dumps(jsonable(value))
