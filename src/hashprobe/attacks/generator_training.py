"""How the generator of ProS-GAN is trained for a victim, and its prototypes (section 3)."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int8
from torch import Tensor, nn
from torch.optim import Adam

from hashprobe.attacks._prosgan import ProsganOptions
from hashprobe.attacks.contract import Hasher
from hashprobe.attacks.generator import SIZES, Discriminator, Generator
from hashprobe.attacks.pairwise_prototypes import codes_by, label_net
from hashprobe.attacks.prototypes import BETAS, kinds_of
from hashprobe.attacks.targets import TargetCode
from hashprobe.attacks.trained_parts import TrainedParts, Unfinished
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes, labels_of
from hashprobe.data.arrays import as_pixels
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import jsonable, sha256_array
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget, Labels, Precision, Runtime, check_seed
from hashprobe.victims.base import frozen_eval, in_own_dtype
from hashprobe.victims.digest import sha256_weights
from hashprobe.victims.encoding import device_of
from hashprobe.victims.precision import in_precision


JUDGED_EVERY = 3
"""The discriminator is trained at one step in so many, as released."""
KEPT_EVERY = 500
"""Steps after which an unfinished training is kept."""
VERSION = 2
"""Changes when the same training gives another generator: what is kept is trained anew."""
DRAWS = 5
"""Which random numbers choose pictures and labels; every step has a stream of its own."""
BUDGET, OPTIONS = Budget(), ProsganOptions()


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
        runtime: precision of the victim and of the generator while it learns, who is told.
        keep: where trained networks are kept, and what an interrupted training has reached: the
            same call goes on from there.

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
    rng = np.random.default_rng([check_seed(seed), DRAWS])
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
            lesson.teach(made.to(device), seed, runtime)
            return made.cpu()
        key = {
            "version": VERSION,
            "precision": runtime.precision,
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
        begun = keep.unfinished("generator", key)
        kept = keep.get(
            "generator", key, made, lambda n: lesson.teach(n.to(device), seed, runtime, begun)
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

    def teach(
        self, made: nn.Module, seed: int, runtime: Runtime, begun: Unfinished | None = None
    ) -> None:
        """All steps of the training that are not taken yet."""
        options, device = self.options, device_of(self.victim)
        sides = (self.pixels.shape[-2], self.pixels.shape[-1])
        judge = Discriminator(self.kinds.shape[1], sides, SIZES[options.size]["judge"]).to(device)
        adams = [Adam(net.parameters(), options.rate, BETAS) for net in (made, judge)]
        state = LessonState((made, judge), adams)
        first = 0 if begun is None else state.read(begun)
        bar = runtime.progress.bar("training the generator")
        with frozen_eval(self.victim), bar as tick:
            fast = in_precision(self.victim, runtime.precision)
            pupil = Pupil(made, judge, fast, runtime.precision)
            for done in range(first, options.updates):
                for group in adams[0].param_groups + adams[1].param_groups:
                    group["lr"] = options.rate * min(1, 2 - 2 * done / options.updates)
                drawn = self.draw(np.random.default_rng([seed, DRAWS, done]))
                self.step(drawn, pupil, adams, done % JUDGED_EVERY == 0)
                tick(done + 1, options.updates)
                if begun is not None and (done + 1) % KEPT_EVERY == 0:
                    state.write(begun, done + 1)

    def draw(self, rng: np.random.Generator) -> "Drawn":
        """Pictures and target labels of a step."""
        options, device = self.options, device_of(self.victim)
        rows = rng.integers(len(self.pixels), size=options.batch)
        asked = rng.integers(len(self.kinds), size=options.batch)
        clean = self.pixels[rows].to(device)
        clean = clean if clean.is_floating_point() else clean.float() / 255
        own, wanted = (
            torch.from_numpy(e).to(clean) for e in (self.labels[rows], self.kinds[asked])
        )
        return Drawn(clean, own, wanted, torch.from_numpy(self.codes[asked]).to(clean))

    def step(self, drawn: "Drawn", pupil: "Pupil", adams: list[Adam], judging: bool) -> None:
        """One step of the generator, and where it is judging one of the discriminator before it."""
        moved = pupil.show(drawn.clean, drawn.wanted)
        loss = self.loss(pupil.victim, moved, drawn)
        weight, judge = self.options.adversarial, pupil.judge
        if weight:
            if judging:
                real = judged(judge(drawn.clean), drawn.own, 0.0)
                error = real + judged(judge(moved.detach()), drawn.wanted, 1.0)
                stepped(adams[1], error / 2)
            loss = loss + weight * judged(judge(moved), drawn.wanted, 0.0)
        stepped(adams[0], loss)

    def loss(self, victim: Hasher, moved: Images, drawn: "Drawn") -> Tensor:
        """What the generator minimises beside the discriminator's part."""
        logits = victim(in_own_dtype(victim, moved)).to(moved)
        options = self.options
        weights = {"hamming": options.hamming, "rec": options.distortion, "alpha": options.alpha}
        return generator_loss(logits, drawn.codes, moved, drawn.clean, **weights)


@dataclass(frozen=True)
class Drawn:
    """Pictures of a step and where they are steered."""

    clean: Images
    own: Float[Tensor, "n c"]
    """Labels of the pictures."""
    wanted: Float[Tensor, "n c"]
    """Target labels."""
    codes: Targets
    """Their codes."""


@dataclass(frozen=True)
class Pupil:
    """A generator that learns, its discriminator, and the victim as it is computed meanwhile."""

    made: nn.Module
    judge: nn.Module
    victim: Hasher
    precision: Precision

    def show(self, clean: Images, wanted: Float[Tensor, "n c"]) -> Images:
        """Pictures of the generator, in the precision of the clean ones."""
        fast = self.precision == "bfloat16"
        with torch.autocast(clean.device.type, torch.bfloat16, enabled=fast):
            shown: Tensor = self.made(clean, wanted)
        return shown.to(clean)


@dataclass(frozen=True)
class LessonState:
    """Everything that an unfinished training is continued from, as named tensors."""

    networks: tuple[nn.Module, nn.Module]
    adams: list[Adam]

    def write(self, kept: Unfinished, done: int) -> None:
        """Keeps weights and the optimisers' moments."""
        tensors: dict[str, Tensor] = {}
        for at, (net, adam) in enumerate(zip(self.networks, self.adams, strict=True)):
            tensors |= {f"net {at} {name}": each for name, each in net.state_dict().items()}
            for row, moments in adam.state_dict()["state"].items():
                tensors |= {f"adam {at} {row} {name}": each for name, each in moments.items()}
        kept.write(tensors, done)

    def read(self, kept: Unfinished) -> int:
        """Steps that are taken; what is kept is read into networks and optimisers."""
        found = kept.read()
        if found is None:
            return 0
        tensors, done = found
        for at, (net, adam) in enumerate(zip(self.networks, self.adams, strict=True)):
            net.load_state_dict(below(tensors, f"net {at} "))
            moments: dict[int, dict[str, Tensor]] = {}
            for name, each in below(tensors, f"adam {at} ").items():
                row, part = name.split(" ")
                moments.setdefault(int(row), {})[part] = each
            adam.load_state_dict({**adam.state_dict(), "state": moments})
        return done


def below(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name[len(start) :]: each for name, each in tensors.items() if name.startswith(start)}


def judged(said: Float[Tensor, "n c1"], labels: Float[Tensor, "n c"], fake: float) -> Tensor:
    """Mean squared error of a discriminator's answers from labels and from real (0) or fake (1)."""
    last = torch.full_like(labels[:, :1], fake)
    return (said - torch.cat([labels, last], 1)).square().mean()


def stepped(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser; gradients that others left in its weights are cleared before."""
    adam.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    adam.step()
