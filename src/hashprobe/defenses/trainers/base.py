"""What every training against attacks looks like, and what it knows of the training."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hashprobe.defenses.trainers.anchors import Anchors
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Logits
from hashprobe.training.hardening import Batch
from hashprobe.training.loop import Training
from hashprobe.types import check_whole
from hashprobe.victims.base import Hasher


FIRST_EPS = 8 / 255
"""The eps that published step lengths belong to."""
Mode: TypeAlias = Literal["eval", "train"]
Start: TypeAlias = Literal["clean", "random", "warm"]
Turned: TypeAlias = Callable[[int, float | None], float]
"""(inner steps, their length) -> share of the bits of some training items that they turn over."""


@dataclass(frozen=True, eq=False)
class Aim:
    """Where the adversary of one step drives its items, and where the defender wants them.

    Example:
        >>> Aim(torch.ones(2, 8), -torch.ones(2, 8)).own.shape
        torch.Size([2, 8])
    """

    towards: Float[Tensor, "b k"]
    """What the inner objective is given: codes to reach, or the logits of the clean items."""
    own: Float[Tensor, "b k"]
    """Codes that the adversarial items should have."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What the network in training gives for the items of one step.

    Example:
        >>> Outputs(None, torch.ones(2, 8)).features is None
        True
    """

    clean: Logits | None
    """Of the clean items; None for a defence that does not look at them."""
    attacked: Logits
    """Of the adversarial ones."""
    features: Float[Tensor, "b f"] | None = None
    """What the hash layer is given for the adversarial ones, for a defence that asks for it."""


@dataclass(eq=False)
class Bench:
    """What a defence knows of the training that it is part of, and what it keeps there."""

    training: Training
    device: torch.device
    teacher: Hasher | None = None
    """The network as it was at the start, in evaluation mode."""
    networks: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    """Networks of the defence's own."""
    optimisers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    """Their optimisers."""
    numbers: dict[str, float] = field(default_factory=dict)
    """Numbers that the defence keeps from step to step."""

    def __post_init__(self) -> None:
        self.labels: Tensor = self.training.kept_labels
        self.anchors = Anchors(self.labels)

    @property
    def hasher(self) -> Hasher:
        """The network in training."""
        return self.training.hasher

    @property
    def memory(self) -> Float[Tensor, "n k"]:
        """The latest relaxed codes of all training items."""
        return self.training.memory

    def hash_loss(self, logits: Logits, batch: Batch) -> Tensor:
        """The hashing loss of the training on the items of a batch."""
        return self.training.loss(self.training.codes_of(logits), batch.where)

    def teacher_logits(self, batch: Batch) -> Logits:
        """What the network at the start gives for the clean items."""
        assert self.teacher is not None
        with torch.no_grad():
            logits: Tensor = self.teacher(*batch.given)
        return logits.float()


@dataclass(frozen=True)
class Trainer(ABC):
    """A training against attacks, with its options as fields.

    At each step an adversary moves the items of the batch within eps, by steps down `inner`, with
    the network in evaluation mode unless `attack_mode` says train; then the network takes one step
    down `outer`.

    Example:
        >>> from hashprobe.defenses import P2s
        >>> P2s(n_t=1).to_json()["n_t"]
        1
    """

    name: ClassVar[str]
    """What it is called in options and files."""
    title: ClassVar[str]
    """What it is called in tables."""
    needs_labels: ClassVar[bool] = True
    """Whether it cannot do without labels."""
    needs_trained: ClassVar[bool] = False
    """Whether it starts from a trained network, which it takes for its teacher."""
    sees_clean: ClassVar[bool] = True
    """Whether the network also looks at the clean items at each step."""
    sees_features: ClassVar[bool] = False
    """Whether `outer` is given what the hash layer is given."""
    stays_in_eval: ClassVar[bool] = False
    """Whether the network is trained in evaluation mode: without dropout, and with the statistics
    of batch normalisation that it brought."""
    replays: ClassVar[int] = 1
    """Updates of the weights on each batch."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Options that have no effect and are refused."""
    step_share: ClassVar[float | None] = 0.25
    """Length of an inner step that is not given, in units of eps: 2/255 at 8/255. None: all of eps
    first, falling evenly to 0."""
    tuned_lr: ClassVar[float | None] = None
    """Learning rate at which a trained network is hardened where none is given; None: a third of
    that of its training."""
    later: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"most_loss": None, "attack_mode": "eval"}
    )
    """Options that the defence did not have at first, with the value that is as before."""
    first: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """Options whose defaults were others at first, with these first defaults."""

    eps: float = FIRST_EPS
    """Largest change of a pixel value in training, above 0 and at most 1."""
    steps: int = 7
    """Forward and backward passes of the inner attack."""
    step_size: float | None = None
    """Length of an inner step in pixels; none: a quarter of eps."""
    momentum: float = 0.0
    """What an inner step keeps of earlier gradients, from 0 to below 1."""
    start: Start = "random"
    """Where the inner attack begins: clean, random (a point within eps), or warm (where the item's
    last attack ended)."""
    weight: float = 1.0
    """Weight of the adversarial term, 0 or above."""
    awp: float = 0.0
    """Adversarial weight perturbation (Wu et al., NeurIPS 2020): by which share of its norm each
    weight is moved up the loss before the update, from 0 (off) to 0.1; 0.005 is published."""
    most_loss: float | None = None
    """Largest fall of held-out MAP in points, 0 to 100: where the training costs more, its weights
    go back towards those at the start until it does not. None: no bound."""
    attack_mode: Mode = "eval"
    """Mode of the network during the inner attack: eval, or train, with dropout and the statistics
    of the batch, as the released code of ATRDH and CgAT has it."""

    def __post_init__(self) -> None:
        for name, low, high in (("eps", 1e-4, 1.0), ("weight", 0, 1e6), ("awp", 0, 0.1)):
            self.within(name, low, high)
        self.within("momentum", 0, 0.999)
        if self.most_loss is not None:
            self.within("most_loss", 0, 100)
        if self.step_size is not None:
            self.within("step_size", 1e-5, 2.0)
        check_whole("steps", self.steps, 1, 1000)
        if self.start not in ("clean", "random", "warm"):
            raise HashprobeError(
                f"{self.name}: start must be clean, random or warm; got {self.start!r:.40}"
            )
        if self.attack_mode not in ("eval", "train"):
            raise HashprobeError(
                f"{self.name}: attack_mode must be eval or train; got {self.attack_mode!r:.40}"
            )

    def within(self, option: str, low: float, high: float) -> None:
        """Refuses an option out of its range."""
        value = getattr(self, option)
        if not low <= value <= high:
            raise HashprobeError(
                f"{self.name}: {option} must be {low:g} to {high:g}; got {value:g}"
            )

    @classmethod
    def without_effect(cls, option: str) -> HashprobeError:
        """What is raised for an option of `unused`."""
        return HashprobeError(
            f"{cls.name}: {option} has no effect, because there is no inner attack: leave it out"
        )

    def prepare(self, bench: Bench) -> None:  # noqa: B027
        """Makes networks of its own; by default none."""

    @abstractmethod
    def aim(self, bench: Bench, batch: Batch) -> Aim:
        """Where the adversary of a step drives its items.

        Args:
            bench: what is known of the training.
            batch: B items.
        """

    def inner(
        self, logits: Logits, towards: Float[Tensor, "b k"], done: Float[Tensor, "b 1"]
    ) -> Float[Tensor, " b"]:
        """What the adversary makes small, one a row; by default -mean_k b_k tanh(z_k).

        Args:
            logits: (B, K) of the items where they are.
            towards: of `Aim`.
            done: share of the steps that are done, from 0 to below 1.
        """
        return -(towards * logits.tanh()).mean(1)

    @abstractmethod
    def outer(self, bench: Bench, batch: Batch, aim: Aim, outputs: Outputs) -> Tensor:
        """What the network makes small, as a scalar.

        Args:
            bench: what is known of the training.
            batch: B items.
            aim: of `aim`.
            outputs: of the network in training.
        """

    def look(self, bench: Bench, turned: Turned) -> str | None:
        """Looks at the network after an epoch; a line for the log where something is wrong.

        Args:
            bench: what is known of the training.
            turned: see `Turned`.
        """
        return None

    def steps_now(self, bench: Bench) -> tuple[int, float | None]:
        """Inner steps and their length at this time of the training."""
        return self.steps, self.length

    @property
    def length(self) -> float | None:
        """Length of an inner step in pixels: the one that is given, or a share of eps."""
        if self.step_size is not None or self.step_share is None:
            return self.step_size
        return self.step_share * self.eps

    def as_begun(self, there: Mapping[str, Any]) -> "Trainer":
        """These options for a training that an earlier version began, with its defaults.

        So the same command goes on with it, although the defaults are others now. Step lengths that
        were not given did not grow with eps.

        Args:
            there: what `to_json` gave at its beginning.

        Example:
            >>> from hashprobe.defenses import P2s
            >>> P2s(n_t=1).as_begun({"name": "p2s", "steps": 3, "momentum": 0.6, "n_t": 1}).own
            'vote'
        """
        if there.get("name") != self.name:
            return self
        if self.step_size is None and self.step_share is not None:
            length = self.step_share * FIRST_EPS
            if there.get("step_size") == length != self.length and there.get("eps") == self.eps:
                return replace(self, step_size=length)
        changed = self.first.keys() & self.later.keys()
        if not changed or changed & there.keys():
            return self
        now = type(self)()
        kept = {
            name: value
            for name, value in self.first.items()
            if getattr(self, name) == getattr(now, name) and there.get(name, value) == value
        }
        return replace(self, **kept)

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files.

        Those of `later` are left out where they are as before, so that earlier trainings go on. A
        step length that follows eps is written as the number that it is.
        """
        known = {k: v for k, v in asdict(self).items() if k not in self.later or v != self.later[k]}
        if self.step_share is not None:
            known["step_size"] = self.length
        return {"name": self.name, **known}
