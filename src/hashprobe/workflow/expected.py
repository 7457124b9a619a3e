"""How long work will take, from a small piece of it, said before the work starts."""

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashprobe.attacks.contract import most_steps
from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.data.sources import ArraySource, Split
from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress
from hashprobe.storage.environment import cores
from hashprobe.training.options import TrainOptions
from hashprobe.types import InputContract, Runtime
from hashprobe.victims.base import Hasher, frozen_eval
from hashprobe.victims.encoding import device_of
from hashprobe.workflow.run_io import pick_device


WORTH_SAYING = 60.0
"""Seconds above which an expected time is said."""
FEW = 16
"""Items of a piece."""
BESIDE = 1.15
"""What steps take beside the network: crops, the update of the weights, losses."""


def say_expected(progress: Progress, what: str, seconds: float, hint: str = "") -> None:
    """Logs how long something takes, if it takes more than a minute.

    Args:
        progress: who is told.
        what: the work, as the subject of a sentence.
        seconds: as expected.
        hint: a sentence about what is faster; may be empty.
    """
    if seconds > WORTH_SAYING:
        progress.log(f"{what} takes about {in_words(seconds)} here{'; ' * bool(hint)}{hint}")


def in_words(seconds: float) -> str:
    """A time in words, as exact as such an estimate is.

    Example:
        >>> in_words(70), in_words(1500), in_words(20_000), in_words(400_000)
        ('1 minute', '25 minutes', '5.6 hours', '4.6 days')
    """
    for unit, length in (("day", 86_400), ("hour", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}s"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' * (minutes > 1)}"


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the second of two calls: the first one warms up."""
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
    return seconds


def training_seconds(
    part: Hasher, given: Tensor, lengths: Tensor | None, options: TrainOptions
) -> tuple[float, float]:
    """Seconds of a whole training, and of one pass forward over its items; (0, 0) if it is short.

    Args:
        part: what is trained; a copy of it takes two steps.
        given: N inputs.
        lengths: (N,) frames of clips.
        options: epochs, batch size, and where.
    """
    steps = options.epochs * -(-len(given) // options.batch_size)
    if steps < FEW:
        return 0.0, 0.0
    device = pick_device("cpu" if options.accelerator == "cpu" else "auto")
    rows = slice(0, max(2, options.batch_size // options.devices))
    twin = deepcopy(part).to(device).train()
    inputs = [given[rows].to(device)]
    if inputs[0].dtype == torch.uint8:
        inputs[0] = inputs[0].float().div_(255)
    if lengths is not None:
        inputs.append(lengths[rows].to(device))
    lower = torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bfloat16")

    def step() -> None:
        with lower:
            logits = twin(*inputs)
        torch.autograd.backward(logits.float().square().mean())

    with torch.random.fork_rng(), torch.enable_grad():
        each = timed(step, device) * BESIDE
    with torch.no_grad(), frozen_eval(twin):
        forward = timed(lambda: twin(*inputs), device) / len(inputs[0])
    limit = float("inf") if options.minutes is None else 60 * options.minutes
    return min(steps * each, limit), forward * len(given)


def decoding_seconds(split: Split, contract: InputContract, runtime: Runtime) -> float:
    """Seconds that a split takes to decode; 0 if it is small.

    Args:
        split: the items.
        contract: what they are decoded to.
        runtime: how many processes decode.
    """
    if len(split) < 8 * FEW:
        return 0.0
    some, alone = sample(split), Runtime(workers=0, skip_bad=True)
    try:
        seconds = timed(lambda: decode(some, contract, alone), torch.device("cpu"))
    except HashprobeError:
        return 0.0  # all of them are bad: the work itself will say so
    workers = runtime.workers
    if workers is None:
        workers = 0 if isinstance(split.source, ArraySource | ClipArraySource) else cores()
    return seconds / FEW * len(split) / max(1, workers)


def sample(split: Split) -> Split:
    """A few items from everywhere in a split."""
    return split.take(np.linspace(0, len(split) - 1, FEW).astype(int))


def forward_seconds(hasher: Hasher, items: int, images8: Tensor, lengths: Tensor | None) -> float:
    """Seconds that a number of items takes through a network, from some of them.

    Args:
        hasher: the network, on its device.
        items: how many there are.
        images8: some of them, 8-bit pixels.
        lengths: their frames, of clips.
    """
    device = next(hasher.parameters()).device
    given = Queries(images8, lengths=lengths).on(device).given
    with torch.no_grad(), frozen_eval(hasher):
        return items * timed(lambda: hasher(*given), device) / len(images8)


def encoding_seconds(hasher: Hasher, split: Split, runtime: Runtime) -> float:
    """Seconds that a split takes to decode and to encode; 0 if it is small.

    Args:
        hasher: the network, on its device.
        split: the items.
        runtime: how many processes decode.
    """
    decoding = decoding_seconds(split, hasher.contract, runtime)
    if not decoding:
        return 0.0
    pixels = decode(sample(split), hasher.contract, Runtime(workers=0, skip_bad=True))
    lengths = None if pixels.lengths is None else torch.from_numpy(pixels.lengths)
    network = forward_seconds(hasher, len(split), pixels.images, lengths)
    beside = runtime.workers != 0 and not isinstance(split.source, ArraySource | ClipArraySource)
    return max(network, decoding) if beside else network + decoding


def attack_seconds(hasher: Hasher, clean: Queries, options: Any, finished: int = 0) -> float:
    """Seconds that an attack takes at most: its steps on all queries that are not finished yet.

    Args:
        hasher: the victim, on its device.
        clean: the queries, uint8.
        options: of the attack; one without `steps` takes none.
        finished: queries that an earlier call has finished.
    """
    steps = most_steps(options) * (1 + int(getattr(options, "restarts", 0)))
    left = len(clean) - finished
    if steps * left < 8 * FEW:
        return 0.0
    device = device_of(hasher)
    some = clean.take(slice(FEW)).on(device)

    def step() -> None:
        pixels = some.given[0].detach().clone().requires_grad_()
        logits: Tensor = hasher(pixels, *some.given[1:])
        torch.autograd.backward(logits.sum())

    with torch.enable_grad(), frozen_eval(hasher):
        return steps * left * timed(step, device) / len(some)
