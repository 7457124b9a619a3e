"""One change a target label for all queries of a run: learnt on its database, judged on queries."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks._universal import perturbed, universal_perturbation
from hashprobe.attacks._universal_patch import universal_patch
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.perceptibility import compare_twins
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.storage.files import write_npz
from hashprobe.storage.lock import hold
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.encoding import device_of, encode
from hashprobe.victims.precision import in_precision
from hashprobe.workflow.attack_step import checked_name, size_name
from hashprobe.workflow.drawing import draw_goal, draw_queries, known_rows
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Reader
from hashprobe.workflow.results import RESULT
from hashprobe.workflow.run_io import EncodedRun, open_run, pick_device, say_precision
from hashprobe.workflow.universal_options import UniversalOptions


CHANGES = "changes.npz"
"""What was learnt, below universal/NAME of a run."""
OPTIONS = UniversalOptions()
PICTURES_STREAM = 3
"""Which random numbers of the protocol's seed draw the pictures that are learnt from."""


@checked
def universal_run(
    run: Path,
    *,
    budget: Budget = Budget(),
    options: UniversalOptions = OPTIONS,
    protocol: Protocol = Protocol(),
    name: str | None = None,
    runtime: Runtime = Runtime(),
) -> Evaluation:
    """Learns one change a target label on database pictures of a run, and judges it on queries.

    The change is `universal_perturbation`, or `universal_patch` where the options say a share. It
    never sees a query: the queries of the protocol are steered to their target labels by adding it.
    universal/NAME of the run holds the evaluation and changes.npz, one change a label vector.

    Args:
        run: an encoded run of pictures.
        budget: what the change is held to; a patch has none, and this is not read.
        options: see `UniversalOptions`.
        protocol: queries, target labels and measures; its target code is one a label.
        name: of the folder under universal/; by default from kind, size and seed.
        runtime: device, precision of gradients, who is told.

    Returns:
        The evaluation after 8 bits.

    Raises:
        HashprobeError: a run that is not encoded, or of clips; the target code vote, which is
            another one for each query; no picture without the label.

    Example:
        >>> import tempfile
        >>> from hashprobe.storage.runs import Run
        >>> universal_run(Run.create(Path(tempfile.mkdtemp()), {}).path)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... is not encoded yet: run hashprobe encode first
    """
    victim = open_run(run)
    if victim.hasher.contract.frames:
        raise HashprobeError(f"universal changes are for pictures, and {run} is a run of clips")
    if protocol.target_code == "vote":
        raise HashprobeError(
            "the target code vote is another one for each query, and a universal change has one a "
            "label: leave it out, or choose vote-all, mean-difference, ..."
        )
    device, progress = pick_device(runtime.device), runtime.progress
    say_precision(progress, runtime.precision, device)
    asked = replace(protocol, target_code=protocol.target_code or options.code)
    kind = (
        size_name(budget) if options.patch is None else f"patch-{options.patch:g}-{options.place}"
    )
    default = f"{kind}-seed{protocol.seed}"
    folder = victim.run.path / "universal" / checked_name(default if name is None else name)
    with ExitStack() as scratch:
        scratch.enter_context(hold(victim.run.path))
        reader = Reader(victim, runtime, scratch)
        spec = AttackSpec("bit-margin", BitMarginOptions(), budget, protocol.seed)
        rows = draw_queries(len(victim.query), asked)
        goal = draw_goal(victim, rows, spec, asked)
        ids = victim.query.positions[rows]
        clean = reader.read(victim.data.query, ids)
        clean = replace(clean, ids=tuple(int(i) for i in ids))
        victim.hasher.to(device)
        lay_channels_last(victim.hasher)
        progress.log(f"universal, {kind}; {len(clean)} queries -> {folder}")
        learner = Learner(reader, budget, options, asked)
        shown = learner.steer(clean.on(device), goal)
        result = judged(victim, clean, shown, goal, asked)
        write_npz(folder / CHANGES, learner.learnt(victim.data.label_names))
        result.save(folder / RESULT)
    return result


class Learner:
    """Learns a change for each label vector that is asked for."""

    def __init__(
        self, reader: Reader, budget: Budget, options: UniversalOptions, protocol: Protocol
    ) -> None:
        self.reader, self.budget, self.options = reader, budget, options
        self.protocol, victim = protocol, reader.victim
        rng = np.random.default_rng([protocol.seed, PICTURES_STREAM])
        rows = rng.permutation(known_rows(victim.database, protocol))[: options.pictures]
        self.rows = np.sort(rows)
        self.changes: dict[bytes, tuple[np.ndarray, Tensor]] = {}

    def steer(self, clean: Queries, goal: Goal) -> Tensor:
        """Queries with the changes of their target labels, in whole 255ths."""
        victim, runtime = self.reader.victim, self.reader.runtime
        pixels = self.reader.read(victim.data.database, victim.database.positions[self.rows])
        pictures = pixels.on(device_of(victim.hasher))
        assert goal.labels is not None and goal.codes is not None
        kinds, which = np.unique(goal.labels, axis=0, return_inverse=True)
        fast, shown = in_precision(victim.hasher, runtime.precision), clean.pixels.clone()
        with runtime.progress.bar("learning a change a label") as tick:
            for number, kind in enumerate(kinds):
                rows = np.flatnonzero(which.reshape(-1) == number)
                others = ~(victim.database.labels[self.rows] & kind).any(axis=1)
                if not others.any():
                    raise HashprobeError(
                        "none of the pictures that are learnt from lacks the target label: give "
                        "more pictures"
                    )
                some = pictures.take(np.flatnonzero(others))
                codes = np.repeat(goal.codes[rows[:1]], len(some), axis=0)
                part, change = self.learn(fast, some, codes, clean.take(rows))
                shown[rows] = part
                self.changes[kind.tobytes()] = kind, change
                tick(number + 1, len(kinds))
        return shown

    def learn(
        self, victim: Hasher, pictures: Queries, codes: np.ndarray, queries: Queries
    ) -> tuple[Tensor, Tensor]:
        """Queries with a change that was learnt on pictures, and the change."""
        options, seed = self.options, self.protocol.seed
        how = {"epochs": options.epochs, "batch_size": options.batch, "seed": seed}
        if options.patch is None:
            delta = universal_perturbation(victim, pictures, codes, budget=self.budget, **how)
            return perturbed(queries.pixels, delta), delta
        patch = universal_patch(
            victim, pictures, codes, share=options.patch, place=options.place, **how
        )
        return patch.on(queries), patch.pixels

    def learnt(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """What was learnt, as arrays: U label vectors with the names of their labels, U changes."""
        kinds, changes = zip(*self.changes.values(), strict=True)
        return {
            "labels": np.stack(kinds),
            "names": np.array(names),
            "changes": torch.stack(changes).cpu().numpy(),
        }


def judged(
    victim: EncodedRun, clean: Queries, shown: Tensor, goal: Goal, protocol: Protocol
) -> Evaluation:
    """The measures of queries that were changed."""
    hasher = victim.hasher
    place = {int(position): row for row, position in enumerate(victim.query.positions)}
    rows = np.array([place[each] for each in clean.ids])
    whole = (255 * shown).round().to(torch.uint8).cpu()
    visible = compare_twins(clean.pixels, (whole,))[0]
    assert goal.codes is not None
    return evaluate_attack(
        AttackCodes(
            query=victim.query.codes[rows],
            attacked=encode(hasher, Queries(whole).on(device_of(hasher))),
            target=PackedCodes.from_logits(goal.codes),
        ),
        victim.database.labelled,
        query_labels=victim.query.labels[rows],
        target_labels=goal.labels,
        options=protocol.measures(),
        perceptibility=visible,
        knowledge=protocol.knowledge(None),
    )
