"""One step of a training against attacks: the adversary's items, then the network's update."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.defenses.trainers.base import Aim, Bench, Outputs, Trainer
from hashprobe.defenses.trainers.bounded import (
    Kept,
    back_within,
    check_measured,
    clean_map,
    encode_kept,
)
from hashprobe.defenses.trainers.inner_attack import (
    descended,
    in_mode,
    random_point,
    short_of_eps,
    trainer_rule,
)
from hashprobe.defenses.trainers.registry import trainer_named
from hashprobe.defenses.trainers.warm import WarmStarts
from hashprobe.defenses.trainers.weight_shift import shifted
from hashprobe.errors import HashprobeError
from hashprobe.optim.box import Box
from hashprobe.tensors import Images
from hashprobe.training.hardening import Batch
from hashprobe.training.loop import Training
from hashprobe.types import Budget
from hashprobe.victims.base import frozen_eval
from hashprobe.victims.features import hash_layer_input


if TYPE_CHECKING:
    from lightning_fabric import Fabric
else:
    Fabric = Any  # a second to load: only where a training begins


LOOKED = 64
"""Items on which a defence looks at what an epoch has made."""


class Hardener:
    """A training against attacks as the training loop calls it; made by `hardening`."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.warm: WarmStarts | None = None
        self.tell: Callable[[str], None] | None = None
        """Who is told what the defence finds wrong."""
        self.kept: Kept | None = None
        """How much of the hardening is kept, where its cost has a bound."""
        self.before, self.first = 0.0, dict[str, Tensor]()
        """Held-out MAP and weights at the start, where the cost has a bound."""

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files."""
        return self.trainer.to_json()

    def begin(self, training: Training, fabric: Fabric) -> None:
        """Computes the first code memory, and keeps a teacher where one is needed."""
        trainer = self.trainer
        check_fits(trainer, training)
        self.bench = Bench(training, fabric.device)
        if trainer.most_loss is None:
            encode_kept(training, fabric)
        else:
            check_measured(training)
            self.before = clean_map(training, fabric)
            self.first = {k: v.clone() for k, v in training.hasher.state_dict().items()}
        if trainer.needs_trained:
            self.bench.teacher = copy.deepcopy(training.hasher).requires_grad_(False)
            for module in self.bench.teacher.modules():
                module.training = False
        if trainer.start == "warm":
            self.warm = WarmStarts.of(training, trainer.eps)
        trainer.prepare(self.bench)
        self.say(short_of_eps(trainer), fabric)
        self.bench.networks.to(fabric.device)

    def step(
        self, training: Training, fabric: Fabric, model: Any, optimiser: Any, batch: Batch
    ) -> float:
        """One inner attack and one update of the weights; of free training, several of each."""
        trainer = self.trainer
        with frozen_eval(training.hasher), torch.enable_grad(), fabric.autocast():
            aim = trainer.aim(self.bench, batch)
            box = Box.around(batch.given[0], Budget(trainer.eps), training.hasher.contract)
            attacked = self.started(batch, box)
            if trainer.replays == 1:
                with in_mode(training.hasher, trainer.attack_mode):
                    attacked = self.descended(batch, aim, box, attacked)
        value = 0.0
        for _ in range(trainer.replays):
            attacked = attacked.detach().requires_grad_(trainer.replays > 1)
            self.train_mode(model)
            value = self.update(fabric, model, optimiser, batch, (aim, attacked))
            if attacked.grad is not None:
                attacked = box.clip(attacked.detach() + trainer.eps * attacked.grad.sign())
        if self.warm is not None:
            self.warm.keep(batch, attacked.detach())
        return value

    def update(
        self, fabric: Fabric, model: Any, optimiser: Any, batch: Batch, given: tuple[Aim, Images]
    ) -> float:
        """One update of the weights on the clean and the adversarial items."""
        trainer, training = self.trainer, self.bench.training
        aim, attacked = given

        def loss_through(network: Callable[..., Tensor], remembers: bool) -> Tensor:
            outputs = self.outputs(network, batch, attacked)
            if remembers and outputs.clean is not None:
                codes = training.codes_of(outputs.clean.detach())
                training.remember(fabric, batch.where, codes)
            return trainer.outer(self.bench, batch, aim, outputs)

        def plain() -> Tensor:
            with fabric.autocast():
                return loss_through(training.hasher, True)

        optimiser.zero_grad()
        with shifted(training.hasher, plain, trainer.awp):
            # The memory holds codes of the weights that are kept, not of those that are moved.
            loss = loss_through(model, not trainer.awp)
            value = float(loss.detach())
            fabric.backward(loss)
        optimiser.step()
        return value

    def outputs(self, network: Callable[..., Tensor], batch: Batch, attacked: Images) -> Outputs:
        """What a network gives for clean and adversarial items, in one pass of both."""
        trainer, count = self.trainer, len(batch)
        parts = [(attacked, *batch.given[1:])]
        if trainer.sees_clean:
            parts.insert(0, batch.given)
        given = [torch.cat(each) for each in zip(*parts, strict=True)]
        features = None
        if trainer.sees_features:
            with hash_layer_input(self.bench.hasher) as seen:
                logits = network(*given).float()
            features = seen[-1][-count:].float()
        else:
            logits = network(*given).float()
        clean = logits[:count] if trainer.sees_clean else None
        return Outputs(clean, logits[-count:], features)

    def train_mode(self, model: Any) -> None:
        """Switches to the mode in which the weights are updated."""
        model.train()
        if self.trainer.stays_in_eval:
            for module in self.bench.hasher.modules():
                module.training = False

    def started(self, batch: Batch, box: Box) -> Images:
        """Where the inner attack begins."""
        clean, trainer = batch.given[0], self.trainer
        if trainer.start == "clean":
            return clean
        if self.warm is not None:
            return box.clip(clean + self.warm.of_batch(batch))
        return random_point(batch, box, trainer.eps)

    def descended(self, batch: Batch, aim: Aim, box: Box, start: Images) -> Images:
        """The items after the inner attack."""
        trainer, hasher = self.trainer, self.bench.hasher
        steps, length = trainer.steps_now(self.bench)
        return descended(
            hasher, batch.given, box, start, trainer_rule(trainer, steps, length), aim.towards
        )

    def end_epoch(self, training: Training, fabric: Fabric, epoch: int) -> None:
        """Lets the defence look at what the epoch has made."""
        line = self.trainer.look(self.bench, self.turned)
        self.say(line and f"epoch {epoch + 1}: {line}", fabric)

    def finish(self, training: Training, fabric: Fabric) -> None:
        """Goes back towards the network at the start as far as a bound on the cost asks for."""
        if (most := self.trainer.most_loss) is not None:
            self.kept = back_within(training, fabric, self.first, self.before, most / 100)
            self.say(str(self.kept), fabric)
        if (teacher := self.bench.teacher) is not None:
            given = self.looked_at()
            with frozen_eval(training.hasher), torch.no_grad():
                moved = (training.hasher(*given) >= 0) != (teacher(*given) >= 0)
            self.say(
                f"{float(moved.float().sum(1).mean()):.2f} of {moved.shape[1]} bits of clean items "
                f"changed, a mean over the first {len(moved)} training items",
                fabric,
            )

    def say(self, line: str | None, fabric: Fabric) -> None:
        """Tells the caller a line once, whatever the number of processes."""
        if line is not None and self.tell is not None and fabric.is_global_zero:
            self.tell(line)

    def turned(self, steps: int, length: float | None) -> float:
        """Share of the bits of the first training items that an inner attack turns over."""
        trainer, training, bench = self.trainer, self.bench.training, self.bench
        given = self.looked_at()
        where = torch.arange(len(given[0]), device=bench.device)
        batch = Batch(given, where, 0, torch.Generator().manual_seed(0))
        with frozen_eval(training.hasher), torch.enable_grad():
            aim = trainer.aim(bench, batch)
            box = Box.around(given[0], Budget(trainer.eps), training.hasher.contract)
            start = random_point(batch, box, trainer.eps)
            rule = trainer_rule(trainer, steps, length)
            moved = descended(training.hasher, given, box, start, rule, aim.towards)
            with torch.no_grad():
                before = training.hasher(*given) >= 0
                after = training.hasher(moved, *given[1:]) >= 0
        return float((before != after).float().mean())

    def looked_at(self) -> tuple[Tensor, ...]:
        """The first training items, as the network is given them."""
        training = self.bench.training
        rows = torch.from_numpy(training.kept[:LOOKED])
        return training.inputs(training.images[rows], rows, self.bench.device)

    def state(self) -> dict[str, Any]:
        """What a resumed training needs."""
        bench = self.bench
        kept: dict[str, Any] = {
            "networks": bench.networks.state_dict(),
            "optimisers": {name: o.state_dict() for name, o in bench.optimisers.items()},
            "numbers": dict(bench.numbers),
        }
        return kept if self.warm is None else {**kept, "warm": self.warm.shifts}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes such a state back."""
        bench = self.bench
        bench.networks.load_state_dict(state["networks"])
        for name, content in state["optimisers"].items():
            bench.optimisers[name].load_state_dict(content)
        bench.numbers.update(state["numbers"])
        if self.warm is not None:
            self.warm.shifts.copy_(state["warm"])


def check_fits(trainer: Trainer, training: Training) -> None:
    """Refuses a training that a defence cannot harden."""
    name = trainer.name
    if not training.images.dtype == torch.uint8:
        raise HashprobeError(
            f"defence {name} moves pixels, and this training sees features that are computed once: "
            "leave --frozen, or give --tune"
        )
    if training.hasher.query_only:
        raise HashprobeError(
            f"{training.hasher.query_only}: it gives no gradients, so that it cannot be hardened"
        )
    if not any(weight.requires_grad for weight in training.hasher.parameters()):
        raise HashprobeError(
            "the victim has no weights that can be trained (a perceptual hash has none): put a "
            "remedy in front of it instead, see hashprobe audit --mitigate"
        )
    if trainer.needs_labels and not training.kept_labels.any():
        raise HashprobeError(f"defence {name} needs labels, and there are none: take label-free")


@checked
def hardening(defence: str | Trainer, **options: Any) -> Hardener:
    """A training against attacks for `hashprobe.training.train`.

    Args:
        defence: a `Trainer`, or a name from `TRAINERS`.
        options: of the defence of that name.

    Returns:
        What `train(..., hardening=...)` takes, for one training.

    Raises:
        HashprobeError: an unknown name or option, or options beside a defence that has its own.

    Example:
        >>> import numpy as np
        >>> from hashprobe.training import TrainOptions, train
        >>> from hashprobe.victims import ImageHasher
        >>> images = torch.randint(0, 256, (20, 3, 8, 8), dtype=torch.uint8)
        >>> labels = np.arange(2) == np.arange(20)[:, None] % 2
        >>> options = TrainOptions(epochs=1, batch_size=20, held_out=0)
        >>> hasher = ImageHasher("small", 16, size=8)
        >>> len(train(hasher, images, labels, options, hardening=hardening("p2s", steps=1)))
        1
    """
    if isinstance(defence, str):
        return Hardener(trainer_named(defence, **options))
    if options:
        raise HashprobeError(f"{defence} has its options: leave out {', '.join(options)}")
    return Hardener(defence)
