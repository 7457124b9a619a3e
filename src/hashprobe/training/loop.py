"""The training loop for every hashing loss, on one device or many; it resumes after a kill."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int8, Int64
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images8
from hashprobe.training.hardening import Batch, Hardening
from hashprobe.training.losses.csq import csq_targets
from hashprobe.training.losses.registry import LOSSES, distinct
from hashprobe.training.options import TrainOptions
from hashprobe.training.plateau import LEAST_STEPS, PATIENCE, must_fall_below
from hashprobe.training.processes import Relay, open_fabric
from hashprobe.training.sampling import augmented, draw_batch, hold_out, step_seed
from hashprobe.training.saved_state import key_of, read_state, write_state
from hashprobe.training.schedule import build_optimiser, rate
from hashprobe.types import Labels
from hashprobe.victims.base import Hasher, lay_channels_last


if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any  # a second to load: only where a training begins


Signs = Int8[np.ndarray, "n k"]
Measure = Callable[[Signs, Signs, Labels, Labels], float]
"""MAP of (query signs, database signs, query labels, database labels)."""

WARM_UP = 0.3
"""Share of a training in which similar and other pairs have the same total weight; in as long a
time after it their weights become those of the paper."""


@dataclass(frozen=True)
class Epoch:
    """The result of one pass over the training items.

    Example:
        >>> Epoch(number=1, epochs=2, loss=0.5, lr=0.01, seconds=3.0).held_out_map is None
        True
    """

    number: int
    """From 1."""
    epochs: int
    """Passes planned."""
    loss: float
    """Mean over the steps."""
    lr: float
    """At the last step."""
    seconds: float
    """Seconds of training so far, without interruptions."""
    held_out_map: float | None = None
    """MAP of the held-out items against the code memory of the others."""
    whole: bool = True
    """Whether all its steps were taken; False of one that a limit in minutes ended."""


OnStep = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, loss)."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The training items: pixels or features, their labels and, for clips, their lengths."""

    pixels: Images8 | Tensor
    labels: Labels
    lengths: Int64[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass
class Listeners:
    """The functions of the caller that are called during a training."""

    on_step: OnStep | None = None
    on_epoch: Callable[[Epoch], None] | None = None


@dataclass(frozen=True, eq=False)
class Extras:
    """What a training may have besides: a file of its state, a measure, a defence."""

    state: Path | None = None
    measure: Measure | None = None
    hardening: Hardening | None = None


def train(
    hasher: Hasher,
    images: Images8 | Tensor,
    labels: Labels,
    options: TrainOptions,
    *,
    lengths: Int64[Tensor, " n"] | None = None,
    state: Path | None = None,
    measure: Measure | None = None,
    on_step: OnStep | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    hardening: Hardening | None = None,
) -> list[Epoch]:
    """Train a hasher in place; with a state file, resume a training that was killed.

    All randomness is drawn from (seed, epoch, step), so a resumed training ends in the same weights
    as an uninterrupted one on the same machine.

    Args:
        hasher: the network; it is trained in place and left in eval mode.
        images: (N, 3, size, size) 8-bit pixels, in memory or mapped from a file; or clips; or
            floating features, which are passed to the network unchanged.
        labels: (N, C) bool.
        options: see `TrainOptions`.
        lengths: (N,) frames of each clip; None for images.
        state: file of the saved state; the caller removes it when it is no longer needed.
        measure: the function that computes MAP on the held-out items; None for no MAP. With several
            devices it must be a function that can be pickled.
        on_step: called after each step.
        on_epoch: called after each epoch, and for the epochs before a kill.
        hardening: a defence that takes the steps, see `hashprobe.defenses.hardening`; None for the
            loss alone.

    Returns:
        One record an epoch.

    Raises:
        HashprobeError: too few items, a state of another training, a loss that is not finite, or
            one that after ten epochs is still what codes give that do not depend on the labels.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
        >>> labels = np.arange(2) == np.arange(40)[:, None] % 2
        >>> hasher = ImageHasher("small", 16, size=8)
        >>> options = TrainOptions(epochs=2, batch_size=20, held_out=0)
        >>> [e.number for e in train(hasher, images, labels, options)]
        [1, 2]
    """
    if len(images) < 2 or len(images) != len(labels):
        raise HashprobeError(
            f"training needs two or more images with a label each; got {len(images)} images and "
            f"{len(labels)} labels"
        )
    examples = Examples(images, labels, lengths)
    extras = Extras(state, measure, hardening)
    work = Training(hasher, examples, options, extras, Listeners(on_step, on_epoch))
    fabric = open_fabric(options)
    if options.devices == 1:
        return work.run(fabric)
    history: list[Epoch] = []

    def finished(epochs: list[Epoch], weights: dict[str, np.ndarray], kept: Any) -> None:
        history.extend(epochs)
        hasher.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
        if hardening is not None:
            hardening.kept = kept

    tell = None if hardening is None else hardening.tell
    receivers = {"on_step": on_step, "on_epoch": on_epoch, "finished": finished, "tell": tell}
    relay = Relay({name: call for name, call in receivers.items() if call is not None})
    work.listeners = Listeners(
        relay.sender("on_step") if on_step else None,
        relay.sender("on_epoch") if on_epoch else None,
    )
    with told_through(hardening, relay):
        senders = relay.sender("finished"), relay.sender("error")
        relay.launch(fabric, partial(work.run_spawned, *senders))
    hasher.eval()
    return history


@contextmanager
def told_through(hardening: Hardening | None, relay: Relay) -> Iterator[None]:
    """Has a defence in other processes tell the caller's function by a relay."""
    if hardening is None or (tell := hardening.tell) is None:
        yield
        return
    hardening.tell = relay.sender("tell")
    try:
        yield
    finally:
        hardening.tell = tell


class Training:
    """The state of one training: network, optimiser, code memory, position."""

    def __init__(
        self,
        hasher: Hasher,
        examples: Examples,
        options: TrainOptions,
        extras: Extras,
        listeners: Listeners,
    ) -> None:
        images, labels = examples.pixels, examples.labels
        self.hasher = hasher
        self.images = images
        self.options = options
        self.lengths = examples.lengths
        self.state, self.measure, self.hardening = extras.state, extras.measure, extras.hardening
        self.listeners = listeners
        self.kept, self.held = hold_out(len(images), options)
        self.labels = torch.from_numpy(labels.astype(np.float32))
        self.chosen = LOSSES[options.loss]
        self.centres: Tensor | None = None
        self.distinct: Tensor | None = None
        if self.chosen.centres:
            self.centres = torch.from_numpy(csq_targets(labels, hasher.bits, options.seed))
        self.key = key_of(hasher, examples.labels, images, options, self.hardening)

    def run_spawned(
        self, finished: Callable[..., None], error: Callable[..., None], fabric: Fabric
    ) -> None:
        """`run` in one of several processes, which sends its result to the caller."""
        # Tensors on the CPU are shared memory of all processes: each needs its own weights.
        for tensor in (*self.hasher.parameters(), *self.hasher.buffers()):
            tensor.data = tensor.data.clone()
        try:
            history = self.run(fabric)
        except HashprobeError as mistake:
            error(str(mistake))
            raise
        if fabric.is_global_zero:
            weights = {k: v.cpu().numpy() for k, v in self.hasher.state_dict().items()}
            kept = None if self.hardening is None else self.hardening.kept
            finished(history, weights, kept)

    def run(self, fabric: Fabric) -> list[Epoch]:
        """All epochs, from the start or from the saved state."""
        options = self.options
        if len(self.kept) < 2 * fabric.world_size:
            raise HashprobeError(
                f"{len(self.kept)} training items are too few for {fabric.world_size} devices: "
                "each needs two"
            )
        # Convolutions are faster in the channels-last layout, on CPUs and on GPUs.
        lay_channels_last(self.hasher)
        optimiser = build_optimiser(self.hasher, options)
        model, optimiser = fabric.setup(self.hasher, optimiser)
        self.memory = torch.zeros(len(self.kept), self.hasher.bits, device=fabric.device)
        self.kept_labels = self.labels[self.kept].to(fabric.device)
        if self.centres is not None:
            self.kept_centres = self.centres[self.kept].float().to(fabric.device)
            self.distinct = distinct(self.kept_centres)
        self.position, self.seconds, self.history = 0, 0.0, list[Epoch]()
        self.losses: list[float] = []
        # What a defence adds to the loss makes it incomparable with the trivial value.
        self.started = self.hardening is not None
        if self.hardening is not None:
            self.hardening.begin(self, fabric)
        self.restore(optimiser)
        self.saved = time.monotonic()
        started = self.saved - self.seconds
        for done in self.history:
            self.report(fabric, done)
        per_epoch = math.ceil(len(self.kept) / options.batch_size)
        total = options.epochs * per_epoch
        late = self.out_of_time(fabric)
        self.check_started(fabric)
        while self.position < total and not late:
            epoch, step = divmod(self.position, per_epoch)
            self.losses.append(self.step(fabric, model, optimiser, epoch, step, per_epoch))
            self.position += 1
            self.seconds = time.monotonic() - started
            if self.listeners.on_step and fabric.is_global_zero:
                self.listeners.on_step(self.position, total, self.losses[-1])
            late = self.out_of_time(fabric)
            if step + 1 == per_epoch or late:
                # The update of the last step changes no loss any more.
                weights = sum(float(p.detach().abs().max()) for p in self.hasher.parameters())
                self.check_finite("weights", weights, epoch, step)
                if self.hardening is not None and step + 1 == per_epoch:
                    self.hardening.end_epoch(self, fabric, epoch)
                lr = optimiser.param_groups[-1]["lr"]
                self.end_epoch(fabric, epoch, lr, whole=step + 1 == per_epoch)
                if step + 1 == per_epoch:
                    self.losses = []
                self.save(fabric, optimiser)
                self.check_started(fabric)
            elif time.monotonic() - self.saved > options.save_seconds:
                self.save(fabric, optimiser)
        if self.hardening is not None:
            self.hardening.finish(self, fabric)
        self.hasher.to(memory_format=torch.contiguous_format).eval()
        return self.history

    def check_started(self, fabric: Fabric) -> None:
        """Ends a training whose loss has not left its trivial value, with the remedy."""
        options = self.options
        if self.started or len(self.history) < PATIENCE or self.position < LEAST_STEPS:
            return
        limit = must_fall_below(
            self.chosen,
            self.labels[self.kept].bool().numpy(),
            None if self.centres is None else self.centres[self.kept],
            self.hasher.bits,
            0.0 if options.pair_weights == "none" else 1.0,
        )
        lowest = min(epoch.loss for epoch in self.history)
        self.started = bool(fabric.broadcast(lowest <= limit))
        if self.started:
            return
        remedies = ["loss csq"] if options.loss != "csq" else []
        if self.chosen.weighs and options.pair_weights == "none":
            remedies.insert(0, "pair_weights warm-up")
        raise HashprobeError(
            f"the training does not start: after {len(self.history)} epochs the loss is "
            f"{lowest:.3f} at best, what codes give that do not depend on the labels; take "
            f"{', '.join([*remedies, 'another lr'])} (now {options.lr}), in a new folder"
        )

    def out_of_time(self, fabric: Fabric) -> bool:
        """Whether the limit in minutes is reached, by the clock of the first process."""
        if self.options.minutes is None:
            return False
        return bool(fabric.broadcast(self.seconds >= self.options.minutes * 60))

    def step(
        self, fabric: Fabric, model: Any, optimiser: Any, epoch: int, step: int, per_epoch: int
    ) -> float:
        """One step on one batch; every random draw comes from (seed, epoch, step, rank)."""
        options, rank = self.options, fabric.global_rank
        mine = draw_batch(len(self.kept), options, epoch, step, rank, fabric.world_size)
        draws = torch.Generator().manual_seed(step_seed(options.seed, epoch, step, rank))
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=draws)))
        rows = torch.from_numpy(self.kept[mine])
        pixels, crops = augmented(self.images[rows], options.augment, draws)
        scale = rate(options, epoch + step / per_epoch)
        for group in optimiser.param_groups:
            group["lr"] = options.lr * scale * group["factor"]
        where = torch.from_numpy(mine).to(fabric.device)
        given = self.inputs(pixels, rows, fabric.device)
        if self.hardening is not None:
            batch = Batch(given, where, epoch, draws, crops)
            value = self.hardening.step(self, fabric, model, optimiser, batch)
            self.check_finite("loss", value, epoch, step)
            return value
        model.train()
        optimiser.zero_grad()
        codes = self.codes_of(model(*given))
        # Some losses refuse NaN with an error of their own: codes are checked before any of them.
        self.check_finite("loss", float(codes.detach().sum()), epoch, step)
        self.remember(fabric, where, codes.detach())
        loss = self.loss(codes, where)
        value = float(loss.detach())
        self.check_finite("loss", value, epoch, step)
        fabric.backward(loss)
        optimiser.step()
        return value

    def codes_of(self, logits: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """The relaxed codes of logits: u = tanh(beta z)."""
        return (self.chosen.slope_at(self.position) * logits.float()).tanh()

    def check_finite(self, what: str, value: float, epoch: int, step: int) -> None:
        """Ends a training that diverged: in one line, the same for every loss."""
        if not math.isfinite(value):
            raise HashprobeError(
                f"the {what} became {value} in epoch {epoch + 1}, step {step + 1}: lower lr "
                f"(now {self.options.lr}) or train in float32"
            )

    def loss(self, codes: Float[Tensor, "b k"], where: Int64[Tensor, " b"]) -> Float[Tensor, ""]:
        """The loss of a batch's codes, by its centres or by its pairs with all training items."""
        function = self.chosen.load(self.balance(), self.distinct)
        value: Tensor
        if self.chosen.centres:
            value = function(codes, self.kept_centres[where])
        else:
            similar = self.kept_labels[where] @ self.kept_labels.T > 0
            value = function(codes, self.memory, similar)
        return value

    def balance(self) -> float:
        """How far similar and other pairs have the same total weight: 1 at first, later 0."""
        if self.options.pair_weights == "none":
            return 0.0
        steps = self.options.epochs * math.ceil(len(self.kept) / self.options.batch_size)
        return min(1.0, max(0.0, 2 - self.position / (WARM_UP * steps)))

    def inputs(
        self, pixels: Tensor, rows: Int64[Tensor, " n"], device: torch.device
    ) -> tuple[Tensor, ...]:
        """The inputs of the network: pixels in [0, 1] or features, and the lengths of clips."""
        given = pixels.to(device)
        given = given.float() / 255 if given.dtype == torch.uint8 else given
        return (given,) if self.lengths is None else (given, self.lengths[rows].to(device))

    def remember(self, fabric: Fabric, where: Tensor, codes: Tensor) -> None:
        """Store the codes of the batch, of all devices, at their positions."""
        if fabric.world_size > 1:
            where, codes = gather(where), gather(codes)
        self.memory[where] = codes

    def end_epoch(self, fabric: Fabric, epoch: int, lr: float, *, whole: bool) -> None:
        """Measures and reports an epoch in the first process."""
        score = self.held_out_map(fabric) if fabric.is_global_zero else None
        loss = sum(self.losses) / len(self.losses)
        if self.history and self.history[-1].number == epoch + 1:
            self.history.pop()  # the same epoch, which the limit in minutes had ended early
        done = Epoch(epoch + 1, self.options.epochs, loss, lr, self.seconds, score, whole)
        self.history.append(done)
        self.report(fabric, done)
        fabric.barrier()

    def report(self, fabric: Fabric, done: Epoch) -> None:
        """Reports an epoch to the caller."""
        if self.listeners.on_epoch and fabric.is_global_zero:
            self.listeners.on_epoch(done)

    @torch.no_grad()
    def held_out_map(self, fabric: Fabric) -> float | None:
        """MAP of the held-out items against the code memory."""
        if self.measure is None or not len(self.held):
            return None
        self.hasher.eval()
        parts = np.array_split(self.held, max(1, len(self.held) // 100))
        logits = [
            self.hasher(*self.inputs(self.images[rows], rows, fabric.device))
            for rows in map(torch.from_numpy, parts)
        ]
        queries = signs(torch.cat(logits))
        labels = self.labels.bool().numpy()
        # A plain number: saved states hold no numpy scalars.
        return float(
            self.measure(queries, signs(self.memory), labels[self.held], labels[self.kept])
        )

    def save(self, fabric: Fabric, optimiser: Any) -> None:
        """Saves the whole state in one step."""
        self.saved = time.monotonic()
        if self.state is None or not fabric.is_global_zero:
            return
        content = {
            "key": self.key,
            "position": self.position,
            "seconds": self.seconds,
            "losses": self.losses,
            "history": [asdict(done) for done in self.history],
            "memory": self.memory,
            "hasher": self.hasher.state_dict(),
            "optimiser": optimiser.state_dict(),
            **({} if self.hardening is None else {"hardening": self.hardening.state()}),
        }
        write_state(self.state, content)

    def restore(self, optimiser: Any) -> None:
        """Restores the saved state if there is one."""
        if self.state is None or not self.state.is_file():
            return
        saved = read_state(self.state, self.key, self.memory.device)
        self.hasher.load_state_dict(saved["hasher"])
        optimiser.load_state_dict(saved["optimiser"])
        self.memory.copy_(saved["memory"])
        if self.hardening is not None:
            self.hardening.restore(saved["hardening"])
        self.position, self.seconds = saved["position"], saved["seconds"]
        self.losses = saved["losses"]
        self.history = [Epoch(**done) for done in saved["history"]]


def gather(values: Tensor) -> Tensor:
    """The rows of all processes, in order and without gradients."""
    parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, values.contiguous())
    return torch.cat(parts)


def signs(logits: Float[Tensor, "n k"]) -> Signs:
    """Codes -1 and +1 as numpy; sign(0) = +1."""
    return torch.where(logits >= 0, 1, -1).to(torch.int8).cpu().numpy()
