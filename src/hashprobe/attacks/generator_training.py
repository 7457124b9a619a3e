"""How the generator of ProS-GAN is trained for a victim, and its prototypes (section 3)."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn

from hashprobe.attacks._prosgan import ProsganOptions
from hashprobe.attacks.contract import Hasher
from hashprobe.attacks.generator import SIZES, Discriminator, Generator, LabelNet
from hashprobe.attacks.prototypes import (
    BETAS,
    LabelNetKind,
    as_signs,
    check_wanted,
    kinds_of,
    trained_on_labels,
)
from hashprobe.attacks.targets import TargetCode
from hashprobe.attacks.trained_parts import TrainedParts
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.data.arrays import as_pixels
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import jsonable, sha256_array
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget, Labels, Runtime, check_seed
from hashprobe.victims.base import frozen_eval, in_own_dtype
from hashprobe.victims.digest import sha256_weights
from hashprobe.victims.encoding import device_of


LABELS_OF_A_STEP = 64
"""Label vectors of a step of the PrototypeNet, as published."""
JUDGED_EVERY = 3
"""The discriminator is trained at one step in so many, as released."""
BUDGET, OPTIONS = Budget(), ProsganOptions()
CLASSIFIED = "label-net"
"""What the PrototypeNet of ProS-GAN is kept under."""


@checked
def pairwise_prototype_loss(
    prototypes: Float[Tensor, "b k"],
    codes: Float[Tensor, "n k"],
    similar: Bool[Tensor, "b n"],
    guessed: Float[Tensor, "b c"],
    labels: Float[Tensor, "b c"],
) -> Float[Tensor, ""]:
    """Mean of log(1 + e^t) - s t over pairs, of |sign p - p|^2 / 10,000, and of (c - y)^2.

    t = p B^T / 2 and s says whether a pair shares a label (ProS-GAN, section 3.2); c are the labels
    that the network reads from its own semantic feature.

    Args:
        prototypes: p, in (-1, 1).
        codes: B, -1 and +1.
        similar: s.
        guessed: c, in (0, 1).
        labels: y, 0 and 1.

    Returns:
        The loss.

    Example:
        >>> p, y = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])
        >>> pairwise_prototype_loss(p, p, torch.tensor([[True]]), y, y)
        tensor(0.3133)
    """
    half = prototypes @ codes.T / 2
    pairs = (nn.functional.softplus(half) - similar * half).mean()
    signs = torch.where(prototypes >= 0, 1.0, -1.0).to(prototypes)
    kept = (signs - prototypes).square().sum(1).mean() / 1e4
    return pairs + kept + (guessed - labels).square().mean()


def label_net(
    database: Codes, *, steps: int = 300, seed: int = 0, keep: TrainedParts | None = None
) -> LabelNet:
    """The PrototypeNet of ProS-GAN, trained on the codes of a database."""

    def loss(net: Any, asked: Tensor, codes: Tensor, similar: Tensor) -> Tensor:
        prototypes, guessed = net(asked)
        return pairwise_prototype_loss(prototypes, codes, similar, guessed, asked)

    kind = LabelNetKind(CLASSIFIED, LabelNet, loss, LABELS_OF_A_STEP)
    net = trained_on_labels(kind, database, steps, seed, keep)
    assert isinstance(net, LabelNet)
    return net


@checked
def pairwise_prototype_codes(
    database: Codes,
    labels: Labels,
    *,
    steps: int = 300,
    seed: int = 0,
    keep: TrainedParts | None = None,
) -> Int8[np.ndarray, "n k"]:
    """The code that ProS-GAN's PrototypeNet gives each label vector (section 3.2).

    As `prototype_codes`, with `pairwise_prototype_loss` and a second output that must tell the
    label. 300 steps where the release takes 30,000 with two decays of the rate.

    Args:
        database: N codes with labels.
        labels: (Q, C) labels that are wanted, each shared by an item.
        steps: of Adam.
        seed: of the network's weights and of the draws.
        keep: where trained networks are kept.

    Returns:
        (Q, K) of -1 and +1.

    Raises:
        HashprobeError: a database without labels, or a label that no item has.

    Example:
        >>> database = Codes.of([[1, 1, 0, 1]] * 5 + [[0, 0, 1, 0]] * 5, [0] * 5 + [1] * 5)
        >>> pairwise_prototype_codes(database, np.eye(2, dtype=bool), steps=30)
        array([[ 1,  1, -1,  1],
               [-1, -1,  1, -1]], dtype=int8)
    """
    check_wanted(database, labels)
    return codes_by(label_net(database, steps=steps, seed=seed, keep=keep), labels)


def codes_by(net: LabelNet, labels: Bool[np.ndarray, "u c"]) -> Int8[np.ndarray, "u k"]:
    """The codes that a network gives label vectors."""
    with torch.no_grad():
        return as_signs(net(torch.from_numpy(labels).float())[0].numpy())


@checked
def generator_loss(
    logits: Logits,
    targets: Targets,
    moved: Images,
    clean: Images,
    *,
    hamming: float = 5.0,
    rec: float = 100.0,
    alpha: float = 1.0,
) -> Float[Tensor, ""]:
    """hamming (1 - mean u b) + rec times the mean squared change (ProS-GAN, section 3.4).

    Without what the discriminator says of the pictures.

    Args:
        logits: z of the adversarial pictures, u = tanh(alpha z).
        targets: b, -1 and +1.
        moved: adversarial pictures in [0, 1]; the change is that of pixels in [-1, 1].
        clean: the same before.
        hamming: weight.
        rec: weight.
        alpha: slope of tanh.

    Returns:
        The loss.

    Example:
        >>> x = torch.zeros(1, 3, 1, 1)
        >>> generator_loss(torch.zeros(1, 2), torch.ones(1, 2), x + 0.05, x)
        tensor(6.)
    """
    alike = ((alpha * logits).tanh() * targets).mean()
    return hamming * (1 - alike) + rec * (2 * (moved - clean)).square().mean()


@checked
def train_generator(
    victim: Hasher,
    database: Codes,
    *,
    budget: Budget = BUDGET,
    options: ProsganOptions = OPTIONS,
    pictured: Codes | None = None,
    code: TargetCode = "pairwise-prototype",
    seed: int = 0,
    runtime: Runtime = Runtime(),
    keep: TrainedParts | None = None,
) -> Generator:
    """Trains ProS-GAN's generator for a victim (Wang et al., CVPR 2021, section 3.4).

    At every step pictures of the database are steered to random label vectors of it. The generator
    minimises `generator_loss` plus what the discriminator says, which learns at one step in three
    to tell labels and fakes by least squares.

    Args:
        victim: of pictures; left as it was.
        database: codes with labels, on which the PrototypeNet is trained.
        budget: what the generator is limited to, with `options.project`.
        options: see `ProsganOptions`.
        pictured: items whose pictures it is trained on; None: those of the database, which must
            have its pictures then.
        code: which code stands for a label.
        seed: of weights and draws.
        runtime: who is told.
        keep: where trained networks are kept.

    Returns:
        The generator, on the CPU; give it to a goal.

    Raises:
        HashprobeError: clips, or a database without labels or pictures, or of other bits.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> victim, images = ImageHasher("small", 16), torch.rand(8, 3, 32, 32)
        >>> database = Codes.of(np.eye(8, 16, dtype=np.int8), [0, 1] * 4, pictures=images)
        >>> train_generator(victim, database, options=ProsganOptions(updates=2, batch=2)).classes
        2
    """
    from hashprobe.attacks._target_codes import target_codes

    some = database if pictured is None else pictured
    check_taught(victim, database, some)
    rng = np.random.default_rng([check_seed(seed), 5])
    rows = np.sort(rng.permutation(len(some))[: options.pictures])
    pixels = as_pixels(some.pictures[rows])
    kinds = kinds_of(labels_of(database))
    net = label_net(database, keep=keep)
    codes = codes_by(net, kinds)
    if code != "pairwise-prototype":
        codes = target_codes(database, kinds, code, keep=keep)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        side, device = max(pixels.shape[-2:]), device_of(victim)
        limit = budget if options.project else None
        made = Generator(kinds.shape[1], side, options.size, limit, victim.contract)
        made.semantic.load_state_dict(net.features.state_dict())
        made.semantic.requires_grad_(False)
        lesson = Lesson(victim, pixels, labels_of(some)[rows], kinds, codes, options)
        if keep is None:
            lesson.teach(made.to(device), rng, runtime)
            return made.cpu()
        key = {
            "victim": sha256_weights(victim),
            "contract": jsonable(victim.contract.to_json()),
            "options": jsonable(options),
            "budget": None if limit is None else limit.to_json(),
            "pictures": sha256_array(pixels.numpy()),
            "labels": sha256_array(lesson.labels),
            "kinds": sha256_array(kinds),
            "codes": sha256_array(codes),
            "semantic": sha256_weights(made.semantic),
            "seed": seed,
        }
        kept = keep.get(
            "generator", key, made, lambda net: lesson.teach(net.to(device), rng, runtime)
        )
    assert isinstance(kept, Generator)
    return kept.cpu()


def check_taught(victim: Hasher, database: Codes, pictured: Codes) -> None:
    """Refuses what no generator can be trained on."""
    if pictured.pictures is None:
        raise HashprobeError(
            "a generator is trained on pictures of the database, and there are none: give them to "
            "Codes.of(..., pictures=...)"
        )
    if len(pictured.pictures.shape) != 4 or victim.contract.frames:
        raise HashprobeError("a generator is trained on pictures; this victim or these are clips")
    if database.bits != victim.bits:
        raise HashprobeError(
            f"the database has codes of {database.bits} bits, the victim of {victim.bits}: encode "
            "the database with this victim"
        )


class Lesson:
    """What a generator is trained on."""

    def __init__(
        self,
        victim: Hasher,
        pixels: Tensor,
        labels: Labels,
        kinds: Bool[np.ndarray, "u c"],
        codes: Int8[np.ndarray, "u k"],
        options: ProsganOptions,
    ) -> None:
        self.victim, self.pixels, self.labels = victim, pixels, labels
        self.kinds, self.codes, self.options = kinds, codes, options

    def teach(self, made: nn.Module, rng: np.random.Generator, runtime: Runtime) -> None:
        """All steps of the training."""
        options, device = self.options, device_of(self.victim)
        sides = (self.pixels.shape[-2], self.pixels.shape[-1])
        judge = Discriminator(self.kinds.shape[1], sides, SIZES[options.size]["judge"]).to(device)
        adams = [torch.optim.Adam(net.parameters(), options.rate, BETAS) for net in (made, judge)]
        steps = options.updates
        bar = runtime.progress.bar("training the generator")
        with frozen_eval(self.victim), bar as tick:
            for done in range(steps):
                for group in adams[0].param_groups + adams[1].param_groups:
                    group["lr"] = options.rate * min(1, 2 - 2 * done / steps)
                rows = rng.integers(len(self.pixels), size=options.batch)
                asked = rng.integers(len(self.kinds), size=options.batch)
                clean = self.pixels[rows].to(device)
                clean = clean if clean.is_floating_point() else clean.float() / 255
                wanted = torch.from_numpy(self.kinds[asked]).to(clean)
                moved = made(clean, wanted)
                loss = self.loss(moved, clean, asked)
                if options.adversarial:
                    if done % JUDGED_EVERY == 0:
                        own = torch.from_numpy(self.labels[rows]).to(clean)
                        real = judged(judge(clean), own, 0.0)
                        error = real + judged(judge(moved.detach()), wanted, 1.0)
                        stepped(adams[1], error / 2)
                    loss = loss + options.adversarial * judged(judge(moved), wanted, 0.0)
                stepped(adams[0], loss)
                tick(done + 1, steps)

    def loss(self, moved: Images, clean: Images, asked: np.ndarray) -> Tensor:
        """What the generator minimises beside the discriminator's part."""
        logits = self.victim(in_own_dtype(self.victim, moved)).to(moved)
        codes = torch.from_numpy(self.codes[asked]).to(moved)
        options = self.options
        weights = {"hamming": options.hamming, "rec": options.distortion, "alpha": options.alpha}
        return generator_loss(logits, codes, moved, clean, **weights)


def judged(said: Float[Tensor, "n c1"], labels: Float[Tensor, "n c"], fake: float) -> Tensor:
    """Mean squared error of a discriminator's answers from labels and from real (0) or fake (1)."""
    last = torch.full_like(labels[:, :1], fake)
    return (said - torch.cat([labels, last], 1)).square().mean()


def stepped(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser; gradients that others left in its weights are cleared before."""
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
