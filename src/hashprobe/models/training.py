"""One training loop for every hashing loss, on one device or many, that survives a kill."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int8
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn.functional import pad

from hashprobe.errors import HashprobeError
from hashprobe.files import atomic_path, fingerprint
from hashprobe.models.backbones import last_linear
from hashprobe.models.hasher import Hasher
from hashprobe.models.losses import LOSSES
from hashprobe.models.options import TrainOptions
from hashprobe.tensors import Images8
from hashprobe.types import Labels


Signs = Int8[np.ndarray, "n k"]
Measure = Callable[[Signs, Signs, Labels, Labels], float]
"""MAP of (query signs, database signs, query labels, database labels)."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training items gave.

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
    """Of training in all so far, kills in between not counted."""
    held_out_map: float | None = None
    """MAP of the held-out items against the code memory of the others."""


OnStep = Callable[[int, int, float], None]
"""Called with (steps done, steps in all, loss)."""


def train(
    hasher: Hasher,
    images: Images8,
    labels: Labels,
    options: TrainOptions,
    *,
    state: Path | None = None,
    measure: Measure | None = None,
    on_step: OnStep | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train a hasher in place; with a state file, go on where a killed training stopped.

    All randomness is drawn from (seed, epoch, step), so a resumed training ends in the same weights
    as an uninterrupted one on the same machine.

    Args:
        hasher: the network; it is trained in place and left in eval mode.
        images: (N, 3, size, size) 8-bit pixels, in memory or mapped from a file.
        labels: (N, C) bool.
        options: see `TrainOptions`.
        state: file of the saved state; it is removed by the caller when no longer needed.
        measure: how MAP on the held-out items is computed; None for no MAP.
        on_step: called after each step.
        on_epoch: called after each epoch, epochs of the training before a kill included.

    Returns:
        One record an epoch.

    Raises:
        HashprobeError: too few items, a state of another training, or a loss that is not finite.

    Example:
        >>> from hashprobe.models import ImageHasher
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
    strategy = "auto" if options.devices == 1 else "ddp_spawn"
    precision: Any = "bf16-mixed" if options.precision == "bfloat16" else "32-true"
    fabric = Fabric(
        accelerator=options.accelerator,
        strategy=strategy,
        devices=options.devices,
        precision=precision,
    )
    work = Training(hasher, images, labels, options, state, measure, on_step, on_epoch)
    if options.devices == 1:
        return work.run(fabric)
    # Callbacks and progress stay with the first process; the weights come back from it.
    history, weights = fabric.launch(work.run_and_return)
    hasher.load_state_dict(weights)
    hasher.eval()
    return list(history)


class Training:
    """The state of one training: network, optimiser, code memory, position."""

    def __init__(
        self,
        hasher: Hasher,
        images: Images8,
        labels: Labels,
        options: TrainOptions,
        state: Path | None,
        measure: Measure | None,
        on_step: OnStep | None,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> None:
        self.hasher = hasher
        self.images = images
        self.options = options
        self.state = state
        self.measure = measure
        self.on_step = on_step
        self.on_epoch = on_epoch
        self.kept, self.held = hold_out(len(images), options)
        self.labels = torch.from_numpy(labels.astype(np.float32))
        self.key = fingerprint(
            {
                "options": {k: v for k, v in asdict(options).items() if k not in FREE},
                "labels": labels.tobytes().hex()[:4096],
                "items": len(images),
                "shapes": [list(p.shape) for p in hasher.parameters()],
            }
        )

    def run_and_return(self, fabric: Fabric) -> tuple[list[Epoch], dict[str, Tensor]]:
        """For spawned processes: what the caller cannot see in its own memory."""
        history = self.run(fabric)
        return history, {k: v.cpu() for k, v in self.hasher.state_dict().items()}

    def run(self, fabric: Fabric) -> list[Epoch]:
        """All epochs, from the start or from the saved state."""
        options = self.options
        # Channels last is the faster layout of convolutions on CPUs and GPUs alike.
        self.hasher.to(memory_format=torch.channels_last)
        optimiser = build_optimiser(self.hasher, options)
        model, optimiser = fabric.setup(self.hasher, optimiser)
        self.memory = torch.zeros(len(self.kept), self.hasher.bits, device=fabric.device)
        self.kept_labels = self.labels[self.kept].to(fabric.device)
        self.position, self.seconds, self.history = 0, 0.0, list[Epoch]()
        self.losses: list[float] = []
        self.restore(optimiser)
        per_epoch = max(1, math.ceil(len(self.kept) / options.batch_size))
        self.saved = self.started = time.monotonic() - self.seconds
        for done in self.history:
            self.report(fabric, done)
        while self.position < options.epochs * per_epoch and not self.out_of_time():
            epoch, step = divmod(self.position, per_epoch)
            loss = self.step(fabric, model, optimiser, epoch, step, per_epoch)
            self.losses.append(loss)
            self.position += 1
            self.seconds = time.monotonic() - self.started
            if self.on_step and fabric.is_global_zero:
                self.on_step(self.position, options.epochs * per_epoch, loss)
            if step + 1 == per_epoch or self.out_of_time():
                self.end_epoch(fabric, epoch, optimiser.param_groups[-1]["lr"])
                self.save(fabric, optimiser)
            elif time.monotonic() - self.saved > options.save_seconds:
                self.save(fabric, optimiser)
        self.hasher.to(memory_format=torch.contiguous_format).eval()
        return self.history

    def out_of_time(self) -> bool:
        """Whether the minutes asked for are used up."""
        return self.options.minutes is not None and self.seconds >= self.options.minutes * 60

    def step(
        self, fabric: Fabric, model: Any, optimiser: Any, epoch: int, step: int, per_epoch: int
    ) -> float:
        """One step on one batch; every random draw comes from (seed, epoch, step, rank)."""
        options = self.options
        rng = np.random.default_rng([options.seed, epoch])
        order = rng.permutation(len(self.kept))
        batch = order[step * options.batch_size : (step + 1) * options.batch_size]
        share = len(batch) // fabric.world_size
        if share < 2 and len(order) >= 2 * fabric.world_size:
            # Batch normalisation needs two items: a rest of one borrows from the epoch's start.
            batch, share = order[: 2 * fabric.world_size], 2
        mine = batch[fabric.global_rank * share : (fabric.global_rank + 1) * share]
        draws = torch.Generator().manual_seed(
            step_seed(options.seed, epoch, step, fabric.global_rank)
        )
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=draws)))
        pixels = self.images[torch.from_numpy(self.kept[mine])]
        pixels = augment(pixels, options.augment, draws).to(fabric.device)
        scale = rate(options, epoch + step / per_epoch)
        for group in optimiser.param_groups:
            group["lr"] = options.lr * scale * group["factor"]
        model.train()
        optimiser.zero_grad()
        codes = model(pixels.float() / 255).float().tanh()
        where = torch.from_numpy(mine).to(fabric.device)
        self.remember(fabric, where, codes.detach())
        similar = self.kept_labels[where] @ self.kept_labels.T > 0
        loss = LOSSES[options.loss](codes, self.memory, similar)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise HashprobeError(
                f"the loss became {value} in epoch {epoch + 1}, step {step + 1}: lower lr "
                f"(now {options.lr}) or train in float32"
            )
        fabric.backward(loss)
        optimiser.step()
        return value

    def remember(self, fabric: Fabric, where: Tensor, codes: Tensor) -> None:
        """Store the codes of the batch, of all devices, at their positions."""
        if fabric.world_size > 1:
            where = fabric.all_gather(where).flatten()  # type: ignore[union-attr]
            codes = fabric.all_gather(codes).flatten(0, 1)  # type: ignore[union-attr]
        self.memory[where] = codes

    def end_epoch(self, fabric: Fabric, epoch: int, lr: float) -> None:
        """Measure and report; only the first process."""
        score = self.held_out_map(fabric) if fabric.is_global_zero else None
        loss = sum(self.losses) / max(1, len(self.losses))
        self.losses = []
        done = Epoch(epoch + 1, self.options.epochs, loss, lr, self.seconds, score)
        self.history.append(done)
        self.report(fabric, done)
        fabric.barrier()

    def report(self, fabric: Fabric, done: Epoch) -> None:
        """Tell the caller of an epoch."""
        if self.on_epoch and fabric.is_global_zero:
            self.on_epoch(done)

    @torch.no_grad()
    def held_out_map(self, fabric: Fabric) -> float | None:
        """MAP of the held-out items against the code memory."""
        if self.measure is None or not len(self.held):
            return None
        self.hasher.eval()
        logits = [
            self.hasher(self.images[torch.from_numpy(part)].to(fabric.device).float() / 255)
            for part in np.array_split(self.held, max(1, len(self.held) // 100))
        ]
        queries = signs(torch.cat(logits))
        labels = self.labels.bool().numpy()
        return self.measure(queries, signs(self.memory), labels[self.held], labels[self.kept])

    def save(self, fabric: Fabric, optimiser: Any) -> None:
        """Write the whole state aside, then rename it."""
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
        }
        with atomic_path(self.state) as part:
            torch.save(content, part)

    def restore(self, optimiser: Any) -> None:
        """Go on from the saved state, where there is one."""
        if self.state is None or not self.state.is_file():
            return
        try:
            saved = torch.load(self.state, map_location=self.memory.device, weights_only=True)
        except Exception as error:
            raise HashprobeError(
                f"the saved training state {self.state} cannot be read: delete it to start afresh"
            ) from error
        if saved["key"] != self.key:
            raise HashprobeError(
                f"{self.state} is of a training with other options or data: "
                "use another folder, or delete it to start afresh"
            )
        self.hasher.load_state_dict(saved["hasher"])
        optimiser.load_state_dict(saved["optimiser"])
        self.memory.copy_(saved["memory"])
        self.position, self.seconds = saved["position"], saved["seconds"]
        self.losses = saved["losses"]
        self.history = [Epoch(**done) for done in saved["history"]]


FREE = frozenset({"minutes", "save_seconds", "accelerator", "devices"})
"""Options that a resumed training may change."""


def step_seed(*numbers: int) -> int:
    """One 63-bit seed for some integers, well mixed."""
    return int(np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0] >> 1)


def hold_out(items: int, options: TrainOptions) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train on, and positions kept out to measure on."""
    count = min(options.held_out, items // 10)
    order = np.random.default_rng([options.seed, 2**31]).permutation(items)
    return np.sort(order[count:]), np.sort(order[:count])


def build_optimiser(hasher: Hasher, options: TrainOptions) -> torch.optim.Optimizer:
    """Two groups: the hash layer, and the backbone at its own rate."""
    head = list(last_linear(hasher)[1].parameters())
    ids = {id(p) for p in head}
    body = [p for p in hasher.parameters() if id(p) not in ids]
    groups: list[dict[str, Any]] = [
        {"params": params, "factor": factor, "lr": options.lr * factor}
        for params, factor in ((body, options.backbone_lr), (head, 1.0))
        if params
    ]
    if options.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=options.lr, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        groups, lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )


def rate(options: TrainOptions, epoch: float) -> float:
    """The learning rate at a point of the training, as a multiple of `lr`.

    Example:
        >>> [rate(TrainOptions(epochs=30, schedule="step"), e) for e in (0, 10, 20)]
        [1.0, 0.1, 0.01]
    """
    if epoch < options.warmup:
        return (epoch + 1e-3) / options.warmup
    share = min(1.0, (epoch - options.warmup) / max(1e-9, options.epochs - options.warmup))
    if options.schedule == "step":
        return float(0.1 ** min(2, int(share * 3 + 1e-9)))
    if options.schedule == "cosine":
        return (1 + math.cos(math.pi * share)) / 2
    return 1.0


def augment(images: Images8, kind: str, draws: torch.Generator) -> Images8:
    """Random crops out of the picture reflected by an eighth, and mirror images.

    Args:
        images: (N, 3, H, W) 8-bit pixels.
        kind: `none`, `crop` or `crop-flip`.
        draws: where the randomness comes from.

    Returns:
        Images of the same shape.
    """
    if kind == "none":
        return images
    count, _, height, width = images.shape
    margin = max(1, height // 8)
    padded = pad(images.float(), (margin,) * 4, mode="reflect").to(torch.uint8)
    offsets = torch.randint(2 * margin + 1, (2, count), generator=draws)
    rows = (offsets[0][:, None] + torch.arange(height))[:, None, :, None]
    columns = (offsets[1][:, None] + torch.arange(width))[:, None, None, :]
    if kind == "crop-flip":
        flip = torch.rand(count, generator=draws) < 0.5
        columns = torch.where(flip[:, None, None, None], columns.flip(-1), columns)
    items = torch.arange(count)[:, None, None, None]
    channels = torch.arange(3)[None, :, None, None]
    return padded[items, channels, rows, columns]


def signs(logits: Float[Tensor, "n k"]) -> Signs:
    """Codes -1 and +1 as numpy; sign(0) = +1."""
    return torch.where(logits >= 0, 1, -1).to(torch.int8).cpu().numpy()
