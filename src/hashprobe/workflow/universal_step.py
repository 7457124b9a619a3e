"""One change a target label for all queries of a run: learnt on its database, judged on queries."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashprobe.attacks._bit_margin import BitMarginOptions
from hashprobe.attacks._universal import perturbed, universal_perturbation
from hashprobe.attacks._universal_patch import Patch, universal_patch
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import TargetCode
from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AttackCodes, Evaluation
from hashprobe.evaluation.perceptibility import compare_twins
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.storage.files import jsonable
from hashprobe.storage.lock import hold, refuse_held
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.digest import sha256_weights
from hashprobe.victims.encoding import device_of, encode
from hashprobe.victims.precision import in_precision
from hashprobe.workflow.attack_step import check_codec, check_stored, checked_name, size_name
from hashprobe.workflow.drawing import draw_goal, draw_queries, known_rows
from hashprobe.workflow.exclusions import exclusion_of
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.reading import Drawn, Reader
from hashprobe.workflow.results import RESULT
from hashprobe.workflow.run_io import EncodedRun, open_run, pick_device, say_precision
from hashprobe.workflow.universal_kept import Change, KeptChanges
from hashprobe.workflow.universal_options import UniversalOptions


OPTIONS = UniversalOptions()
CODE: TargetCode = "vote-all"
"""One code a label, where the protocol names none."""
PICTURES_STREAM = 3
"""Which random numbers of the protocol's seed draw the pictures that are learnt from."""
VERSION = 1
"""Changes when the same learning gives other changes."""


@checked
def universal_run(
    run: Path,
    *,
    budget: Budget = Budget(),
    options: UniversalOptions = OPTIONS,
    protocol: Protocol = Protocol(),
    name: str | None = None,
    runtime: Runtime = Runtime(),
    overwrite: bool = False,
) -> Evaluation:
    """Learns one change a target label on database pictures of a run, and judges it on queries.

    The change is `universal_perturbation`, or `universal_patch` where the options say a share. It
    never sees a query: the queries of the protocol are steered to their target labels by adding it.
    universal/NAME of the run holds what was asked, the evaluation and changes.npz, one change a
    label vector. The same call goes on after a kill, from the labels that are learnt.

    Args:
        run: an encoded run of pictures.
        budget: what the change is held to; a patch has none.
        options: see `UniversalOptions`.
        protocol: queries, target labels and measures; its target code is one a label.
        name: of the folder under universal/; by default from kind, size, seed and target code.
        runtime: device, precision of gradients, who is told.
        overwrite: whether to replace what the folder holds of other settings.

    Returns:
        The evaluation after 8 bits.

    Raises:
        HashprobeError: a run that is not encoded, or of clips; the target code vote, which is
            another one for each query; a patch with a budget; a codec; no picture without the
            label; a folder of other settings.

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
    asked = replace(protocol, target_code=protocol.target_code or CODE)
    check_asked(budget, options, asked)
    check_codec(asked, victim.hasher, run)
    refuse_held(run)
    device, progress = pick_device(runtime.device), runtime.progress
    say_precision(progress, runtime.precision, device)
    name = checked_name(default_name(budget, options, protocol) if name is None else name)
    folder = victim.run.path / "universal" / name
    kept = KeptChanges(folder, victim.data.label_names)
    with ExitStack() as scratch:
        scratch.enter_context(hold(victim.run.path))
        reader = Reader(victim, runtime, scratch)
        # n_t is of a vote, which no change has.
        spec = AttackSpec("bit-margin", BitMarginOptions(n_t=1), budget, protocol.seed)
        rows = draw_queries(len(victim.query), asked)
        goal = draw_goal(victim, rows, spec, asked)
        kept.claim(recipe(victim.hasher, budget, options, asked, runtime), overwrite, progress)
        progress.log(f"universal; {len(rows)} queries -> {folder}")
        progress.log(f"known of the database: {asked.knowledge(None)}+pictures")
        ids = victim.query.positions[rows]
        clean = reader.read(victim.data.query, ids)
        clean = replace(clean, ids=tuple(int(i) for i in ids))
        victim.hasher.to(device)
        lay_channels_last(victim.hasher)
        check_stored(victim.hasher, clean, victim.query.codes[rows], run)
        shown = Learner(reader, budget, options, asked, kept).steer(clean.on(device), goal)
        result = judged(
            victim, Drawn(rows, clean, goal, exclusion_of(victim, None, asked)), shown, asked
        )
        kept.write()
        result.save(folder / RESULT)
    return result


def check_asked(budget: Budget, options: UniversalOptions, protocol: Protocol) -> None:
    """Refuses what a change that many queries share cannot be."""
    if protocol.target_code == "vote":
        raise HashprobeError(
            "the target code vote is another one for each query, and a universal change has one a "
            "label: leave it out, or choose vote-all, mean-difference, ..."
        )
    if options.patch is not None and budget != Budget():
        raise HashprobeError(
            "a patch has no budget, its share of the picture bounds it: leave out eps, space, "
            "frames and shared, or patch"
        )


def default_name(budget: Budget, options: UniversalOptions, protocol: Protocol) -> str:
    """Folder name of universal changes.

    Example:
        >>> default_name(Budget(), UniversalOptions(patch=0.05), Protocol(target_code="best"))
        'patch-0.05-fixed-seed0-best'
    """
    kind = size_name(budget)
    if options.patch is not None:
        kind = f"patch-{options.patch:g}-{options.place}"
    aimed = "".join(f"-{part}" for part in (protocol.target_code, protocol.knows) if part)
    return f"{kind}-seed{protocol.seed}{aimed}"


def recipe(
    victim: Hasher,
    budget: Budget,
    options: UniversalOptions,
    protocol: Protocol,
    runtime: Runtime,
) -> dict[str, Any]:
    """What was asked, and apart what decides on the changes."""
    learnt = {
        "version": VERSION,
        "weights": sha256_weights(victim),
        "budget": None if options.patch is not None else budget.to_json(),
        "options": asdict(options),
        "seed": protocol.seed,
        "knows": protocol.knows,
        "precision": runtime.precision,
    }
    asked: dict[str, Any] = jsonable({"learnt": learnt, "protocol": protocol.to_json()})
    return asked


class Learner:
    """Learns a change for each label vector that is asked for, where none is kept."""

    def __init__(
        self,
        reader: Reader,
        budget: Budget,
        options: UniversalOptions,
        protocol: Protocol,
        kept: KeptChanges,
    ) -> None:
        self.reader, self.budget, self.options = reader, budget, options
        self.protocol, self.kept, victim = protocol, kept, reader.victim
        rng = np.random.default_rng([protocol.seed, PICTURES_STREAM])
        rows = rng.permutation(known_rows(victim.database, protocol))[: options.pictures]
        self.rows = np.sort(rows)

    def steer(self, clean: Queries, goal: Goal) -> Tensor:
        """Queries with the changes of their target labels, in whole 255ths."""
        victim, runtime = self.reader.victim, self.reader.runtime
        pixels = self.reader.read(victim.data.database, victim.database.positions[self.rows])
        pictures = pixels.on(device_of(victim.hasher))
        assert goal.labels is not None and goal.codes is not None
        kinds, which = np.unique(goal.labels, axis=0, return_inverse=True)
        fast, shown = in_precision(victim.hasher, runtime.precision), clean.pixels.clone()
        with runtime.progress.bar("learning a change a label") as tick:
            for number, label in enumerate(kinds):
                rows = np.flatnonzero(which.reshape(-1) == number)
                code = goal.codes[rows[0]]
                change = self.kept.of(label, code)
                if change is None:
                    change = Change(label, code, self.learn(fast, pictures, label, code))
                    self.kept.add(change)
                shown[rows] = self.changed(clean.take(rows), change)
                tick(number + 1, len(kinds))
        return shown

    def learn(
        self, victim: Hasher, pictures: Queries, label: np.ndarray, code: np.ndarray
    ) -> np.ndarray:
        """A change that steers pictures without a label to its code."""
        others = ~(self.reader.victim.database.labels[self.rows] & label).any(axis=1)
        if not others.any():
            raise HashprobeError(
                "none of the pictures that are learnt from lacks the target label: give more "
                "pictures"
            )
        some = pictures.take(np.flatnonzero(others))
        codes = np.repeat(code[None], len(some), axis=0)
        options, seed = self.options, self.protocol.seed
        how = {"epochs": options.epochs, "batch_size": options.batch, "seed": seed}
        if options.patch is None:
            made = universal_perturbation(victim, some, codes, budget=self.budget, **how)
        else:
            more = {"share": options.patch, "place": options.place}
            made = universal_patch(victim, some, codes, **more, **how).pixels  # type: ignore[arg-type]
        learnt: np.ndarray = made.cpu().numpy()
        return learnt

    def changed(self, queries: Queries, change: Change) -> Tensor:
        """Queries with a change, in whole 255ths."""
        pixels = torch.from_numpy(change.pixels).to(queries.pixels)
        if self.options.patch is None:
            return perturbed(queries.pixels, pixels)
        height, width = queries.pixels.shape[-2:]
        patch = Patch(pixels, (height, width), self.options.place, self.protocol.seed)
        return patch.on(queries)


def judged(victim: EncodedRun, drawn: Drawn, shown: Tensor, protocol: Protocol) -> Evaluation:
    """The measures of queries that were changed."""
    hasher, goal = victim.hasher, drawn.goal
    whole = (255 * shown).round().to(torch.uint8).cpu()
    visible = compare_twins(drawn.clean.pixels, (whole,))[0]
    assert goal.codes is not None
    return evaluate_attack(
        AttackCodes(
            query=victim.query.codes[drawn.rows],
            attacked=encode(hasher, Queries(whole).on(device_of(hasher))),
            target=PackedCodes.from_logits(goal.codes),
        ),
        victim.database.labelled,
        query_labels=victim.query.labels[drawn.rows],
        target_labels=goal.labels,
        options=protocol.measures(),
        perceptibility=visible,
        exclusion=drawn.left_out,
        knowledge=protocol.knowledge(None),
    )
