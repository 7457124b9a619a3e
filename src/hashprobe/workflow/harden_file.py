"""Harden a network in a file of weights on a folder of pictures, without labels."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from hashprobe.data.loader import decode
from hashprobe.data.picture_folder import picture_folder
from hashprobe.data.retrieval import checksum
from hashprobe.data.sources import Split
from hashprobe.defenses.trainers.base import Trainer
from hashprobe.defenses.trainers.hardener import hardening
from hashprobe.errors import HashprobeError
from hashprobe.storage.differences import differences
from hashprobe.storage.files import (
    jsonable,
    read_json,
    remove,
    sha256_file,
    write_bytes,
    write_json,
)
from hashprobe.storage.lock import hold, refuse_held
from hashprobe.tensors import Images8
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
CUT = "cut_at_minutes"
"""What the record says of a training that a limit ended."""
NO_WEIGHTS = (
    "has no weights that can be trained (a perceptual hash has none): put a remedy in front of it "
    "instead, see hashprobe audit --mitigate"
)
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
        out: the folder of the result, new or of the same hardening. One that `minutes` cut short
            goes on when it is given more minutes, or none.
        victim: how the network is used.
        runtime: `workers`, `skip_bad`, and who is told.

    Returns:
        The file of the new weights: with the YAML file and the binariser beside it, it is a victim
        for every command.

    Raises:
        HashprobeError: a defence that needs labels, another kind of victim, one without weights,
            too few pictures, or a folder that holds something else.

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
    if source.is_dir():
        kind = "a run" if (source / "run.json").exists() else "a folder"
        raise HashprobeError(
            f"{source} is {kind}: a run is hardened on its own data, so leave out --pictures; "
            "another network is a file of weights"
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
    split = picture_folder(pictures)
    there = record_in(out)
    if isinstance(begun := there.get("defence"), dict):
        defence = defence.as_begun(begun)
    record = record_of(source, split, defence, given, asked)
    check_folder(out, record, there)
    if finished(out, given.minutes):
        runtime.progress.log(f"{out} is hardened already")
        return out / WEIGHTS
    refuse_held(out)
    # What these refuse leaves no folder behind.
    pixels = pixels_of(hasher, split, runtime)
    out.mkdir(parents=True, exist_ok=True)
    with hold(out):
        if finished(out, given.minutes):
            runtime.progress.log(f"{out} was hardened by another process")
            return out / WEIGHTS
        if not there:
            write_json(out / RECORD, record)
        whole = train_file(hasher, pixels, defence, given, (out, runtime))
        if not whole:  # before the weights, which would count as finished without it
            write_json(out / RECORD, record | {CUT: given.minutes})
        write_bytes(out / WEIGHTS, save(network.state_dict()))
        keep_options(out, asked)
        if whole:
            write_json(out / RECORD, record)
            remove(out / STATE)
    runtime.progress.log(f"hardened: {out / WEIGHTS}")
    return out / WEIGHTS


def record_of(
    source: Path, split: Split, defence: Trainer, given: TrainOptions, asked: VictimOptions
) -> dict[str, Any]:
    """What tells one hardening from another, as JSON."""
    names = ("epochs", "lr", "batch_size", "schedule", "augment", "precision", "seed")
    record: dict[str, Any] = jsonable(
        {
            "source": sha256_file(source),
            "pictures": checksum({"pictures": split}, {"pictures": split.digests()}),
            "defence": defence.to_json(),
            **{name: getattr(given, name) for name in names},
            "said": {k: str(v) for k, v in asked.said().items()},
        }
    )
    return record


def finished(out: Path, minutes: float | None) -> bool:
    """Whether a hardening is done, or was cut short by no fewer minutes than there are now."""
    if not all((out / name).exists() for name in (WEIGHTS, SAID, RECORD)):
        return False
    cut = record_in(out).get(CUT)
    if not isinstance(cut, int | float):
        return True
    return minutes is not None and minutes <= cut


def record_in(out: Path) -> dict[str, Any]:
    """The record of a hardening; empty where there is none."""
    if not (out / RECORD).exists():
        return {}
    there = read_json(out / RECORD)
    if not isinstance(there, dict) or not there:
        raise HashprobeError(f"{out / RECORD} is damaged: remove {out}, or choose another folder")
    return there


def training_options(options: HardenOptions) -> TrainOptions:
    """How a fine-tuning is done."""
    given = options.over(TUNING)
    return given if options.lr is not None else replace(given, lr=TUNING.lr)


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
        raise HashprobeError(f"{source} {NO_WEIGHTS}")
    return inner.network


def check_folder(out: Path, record: dict[str, Any], there: dict[str, Any]) -> None:
    """Refuses a folder of something else; `there` is its record, empty where it has none."""
    if there:
        # Earlier versions did not write down which pictures they saw.
        here = {n: value for n, value in record.items() if n != "pictures" or n in there}
        begun = {name: value for name, value in there.items() if name != CUT}
        if other := differences(begun, here, {"pictures": "the pictures"}):
            raise HashprobeError(
                f"{out} holds another hardening ({other[0]}): choose another folder or remove "
                "that one"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HashprobeError(f"{out} holds other files: choose a new folder")


def pixels_of(hasher: Hasher, split: Split, runtime: Runtime) -> Images8:
    """Decodes the pictures that a network is trained on.

    Raises:
        HashprobeError: fewer than two, or the network does not take them or is said to have another
            number of bits.
    """
    with runtime.progress.bar("decoding pictures") as tick:
        pixels = decode(split, hasher.contract, runtime, on_progress=tick)
    say_bad(runtime.progress, "training", pixels.bad)
    if len(pixels.images) < 2:
        raise HashprobeError(
            "a network is hardened on two pictures or more, better on hundreds; there is "
            f"{len(pixels.images)} that can be read"
        )
    with torch.no_grad():
        hasher(pixels.images[:2].float() / 255)
    return pixels.images


def train_file(
    hasher: Hasher,
    images: Images8,
    defence: Trainer,
    options: TrainOptions,
    where: tuple[Path, Runtime],
) -> bool:
    """Trains a victim in place on pictures; whether to the end, and not to a limit in minutes."""
    out, runtime = where
    hasher.requires_grad_(True)
    made = hardening(defence)
    made.tell = runtime.progress.log
    with runtime.progress.bar("training") as tick:
        history = train(
            hasher,
            images,
            np.zeros((len(images), 0), bool),
            options,
            state=out / STATE,
            hardening=made,
            on_step=lambda done, total, loss: tick(done, total),
            on_epoch=lambda e: runtime.progress.log(
                f"epoch {e.number}/{e.epochs}: loss {e.loss:.4f}, {e.seconds:.0f} s"
            ),
        )
    whole = bool(history) and history[-1].whole and history[-1].number == options.epochs
    if not whole:
        runtime.progress.log(
            f"cut short by {options.minutes:g} minutes, in epoch {max(1, len(history))} of "
            f"{options.epochs}: the same command with more minutes, or without a limit, goes on"
        )
    return whole


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
