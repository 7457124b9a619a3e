"""What an attack takes out of a run: pixels, where each query is steered, what is left out."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.labelled import Codes
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.storage.lock import SCRATCH
from hashprobe.types import Runtime
from hashprobe.victims.base import lay_channels_last
from hashprobe.workflow.drawing import draw_goal, known_rows, trained_parts
from hashprobe.workflow.exclusions import exclusion_of
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import EncodedRun, pick_device


CLEAN_BYTES = 1 << 26
"""Clean queries larger than this are held in a file while they are attacked."""


class Reader:
    """Reads pixels of an encoded run; many go into a file, so that memory does not grow with them.

    Args:
        victim: the run.
        runtime: how they are decoded.
        scratch: removes such files when it ends.
    """

    def __init__(self, victim: EncodedRun, runtime: Runtime, scratch: ExitStack) -> None:
        self.victim, self.runtime, self.scratch = victim, runtime, scratch

    def read(self, split: Split, positions: np.ndarray) -> Queries:
        """Items of a split, uint8."""
        contract, into = self.victim.hasher.contract, None
        some = split.take(positions)
        if len(some) * 3 * max(1, contract.frames) * contract.size**2 > CLEAN_BYTES:
            temporary = TemporaryDirectory(prefix=SCRATCH, dir=self.victim.run.path)
            into = Path(self.scratch.enter_context(temporary)) / "pixels.npy"
        with self.runtime.progress.bar("decoding queries") as tick:
            pixels = decode(some, contract, self.runtime, on_progress=tick, into=into)
        lengths = None if pixels.lengths is None else torch.from_numpy(pixels.lengths)
        return Queries(pixels.images, lengths=lengths)


@dataclass(frozen=True)
class Drawn:
    """What a protocol drew for an attack."""

    rows: np.ndarray
    """Of the encoded queries."""
    clean: Queries
    goal: Goal
    left_out: Exclusion | None
    """Database items that the measures leave out."""


def draw(rows: np.ndarray, spec: AttackSpec, protocol: Protocol, reader: Reader) -> Drawn:
    """The pixels of some encoded queries, where each is steered, and what is not counted."""
    victim = reader.victim
    goal = draw_goal(victim, rows, spec, protocol)
    left_out = exclusion_of(victim, goal.members, protocol)
    if "target images" in spec.attack.needs:
        assert goal.members is not None
        first = victim.database.positions[goal.members[:, 0]]
        goal = replace(goal, images=reader.read(victim.data.database, first))
    if "generator" in spec.attack.needs:
        goal = replace(goal, generator=generator_for(reader, goal, spec, protocol))
    ids = victim.query.positions[rows]
    clean = reader.read(victim.data.query, ids)
    return Drawn(rows, replace(clean, ids=tuple(int(i) for i in ids)), goal, left_out)


def generator_for(reader: Reader, goal: Goal, spec: AttackSpec, protocol: Protocol) -> Any:
    """The generator of an attack, trained on pictures of the run's database, or read if kept."""
    from hashprobe.attacks.generator_training import train_generator

    victim, runtime = reader.victim, reader.runtime
    assert goal.known is not None
    if victim.hasher.contract.frames:
        raise HashprobeError(f"attack {spec.name} is for pictures: {victim.run.path} has clips")
    rows = known_rows(victim.database, protocol)
    rng = np.random.default_rng([protocol.seed, 2])
    rows = np.sort(rng.permutation(rows)[: spec.options.pictures])
    pixels = reader.read(victim.data.database, victim.database.positions[rows]).pixels
    some = victim.database.labelled
    assert some.labels is not None
    victim.hasher.to(pick_device(runtime.device))
    lay_channels_last(victim.hasher)
    return train_generator(
        victim.hasher,
        goal.known,
        budget=spec.budget,
        options=spec.options,
        pictured=Codes(some.packed[rows], some.labels[rows], pixels),
        code=protocol.code_of(spec.options),  # type: ignore[arg-type]
        seed=protocol.seed,
        runtime=runtime,
        keep=trained_parts(victim, runtime.progress),
    )
