"""What detectors find of the queries of a comparison, by who knows them and who does not."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from hashprobe.defenses.detectors.base import Fitted
from hashprobe.defenses.detectors.registry import detector_named
from hashprobe.defenses.detectors.watched import evade_detector
from hashprobe.evaluation.detection import roc
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.victims.encoding import device_of
from hashprobe.workflow.compare_attacks import Bench
from hashprobe.workflow.comparison import ALARMS, Detection
from hashprobe.workflow.reading import Reader
from hashprobe.workflow.run_io import pick_device


FITTED = 200
"""Database items that a detector is fitted on at most."""
WEIGHTS = {"plain": (0.0,), "adaptive": (0.0, 0.1, 1.0, 10.0)}
"""Weights of the detector's penalty in the loss of who does not know it, and of who does."""


def detected(bench: Bench, name: str) -> Iterator[Detection]:
    """A detector against queries that are steered to target codes: plain, and adaptive.

    It is fitted on items of the database; its threshold is that of 5 % false alarms on the clean
    queries.

    Args:
        bench: a run and its queries.
        name: of the detector.
    """
    detector, fitted = detector_named(name), fitted_on_items(bench, name)
    clean = bench.drawn.clean.on(device_of(bench.victim.hasher))
    before = fitted.scores(clean.pixels)
    for attack, weights in WEIGHTS.items():
        found = evade_detector(
            fitted,
            replace(clean, labels=None),
            bench.drawn.goal,
            budget=bench.budget,
            steps=bench.options.steps,
            weights=weights,
        )
        alarm = found.scores >= roc(before, found.scores).threshold_at(ALARMS)
        # The area under the curve is the mean of these over the attacked queries.
        above = (found.scores[:, None] > before) + 0.5 * (found.scores[:, None] == before)
        alarms = f"{100 * ALARMS:g}%"
        shares = {f"found@{alarms}": alarm, f"through@{alarms}": found.reached & ~alarm}
        known = {"detector": name, "attack": attack, "q": len(alarm), "clean": len(before)}
        numbers = [
            Measurement.of(values.astype(np.float64), sign(what, **known))
            for what, values in {**shares, "auc": above.mean(1)}.items()
        ]
        yield Detection(name, detector.title, attack, *numbers)


def fitted_on_items(bench: Bench, name: str) -> Fitted:
    """A detector that knows what items of the database look like to a run."""
    victim, options = bench.victim, bench.options
    victim.hasher.to(pick_device(bench.runtime.device))
    rng = np.random.default_rng([options.seed, 2])
    count = min(FITTED, len(victim.database))
    rows = np.sort(rng.choice(len(victim.database), count, replace=False))
    with ExitStack() as scratch:
        reader = Reader(victim, bench.runtime, scratch)
        items = reader.read(victim.data.database, victim.database.positions[rows])
        pixels = items.on(device_of(victim.hasher)).pixels
        return detector_named(name).fit(victim.hasher, pixels, victim.database.codes)
