"""The file from which a killed training goes on, and what tells one training from another."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import atomic_path, fingerprint, sha256_array
from hashprobe.tensors import Images8
from hashprobe.training.hardening import Hardening
from hashprobe.training.options import TrainOptions
from hashprobe.types import Labels
from hashprobe.victims.base import Hasher


FREE = frozenset({"minutes", "save_seconds", "accelerator", "devices"})
"""Options that may differ when a training is resumed."""
LATER = {"pair_weights": "none"}
"""Options that trainings of earlier versions did not have, with the value that these had."""
SAMPLE = 256
"""How many images are compared to recognise the data of a training."""


def key_of(
    hasher: Hasher,
    labels: Labels,
    images: Images8 | Tensor,
    options: TrainOptions,
    defence: Hardening | None,
) -> str:
    """What is the same for trainings that may go on from each other's state."""
    return fingerprint(
        {
            **({} if defence is None else {"defence": defence.to_json()}),
            "options": {
                k: v
                for k, v in asdict(options).items()
                if k not in FREE and not (k in LATER and v == LATER[k])
            },
            "labels": sha256_array(labels),
            "images": sha256_array(images[:: max(1, len(images) // SAMPLE)].cpu().numpy()),
            "items": len(images),
            "shapes": [list(p.shape) for p in hasher.parameters()],
        }
    )


def write_state(file: Path, content: dict[str, Any]) -> None:
    """Writes a state in one step.

    Raises:
        HashprobeError: the file cannot be written.
    """
    with atomic_path(file) as part:
        try:
            torch.save(content, part)
        except RuntimeError as error:
            raise HashprobeError(
                f"the training state {file} cannot be written: is the disk full?"
            ) from error


def read_state(file: Path, key: str, device: torch.device) -> dict[str, Any]:
    """Reads a state with a key.

    Raises:
        HashprobeError: the file is damaged, or of a training with another key.
    """
    try:
        saved: dict[str, Any] = torch.load(file, map_location=device, weights_only=True)
        there = saved["key"]
    except Exception as error:
        raise HashprobeError(
            f"the saved training state {file} cannot be read: delete it to start again"
        ) from error
    if there != key:
        raise HashprobeError(
            f"{file} belongs to a training with other options or data: use another folder, or "
            "delete it to start again"
        )
    return saved
